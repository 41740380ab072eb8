"""Addresses of a repository on the web, from those that git fetches from."""

from __future__ import annotations

import re
from pathlib import Path

from .. import git
from ..errors import UserError

# ssh://git@host/owner/name.git, git@host:owner/name, https://token@host/owner/name
_URL = re.compile(r"(?:https?|ssh|git)://(?:[^@/]*@)?(?P<host>[\w.-]+)(?::\d+)?/(?P<path>[^?#]+)")
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[\w.-]+\.[\w-]+):(?P<path>[^/?#][^?#]*)")
_PLAIN = re.compile(r"https?://[^\s\"'<>@]+")


def of_repository(repository: Path | None) -> str:
    """The repository's page, "" if its remote is none on the web."""
    if repository is None:
        return ""
    found = git.git(repository, "remote", "get-url", "origin")
    return from_remote(found.stdout.strip()) if found.returncode == 0 else ""


def from_remote(url: str) -> str:
    """'https://host/owner/name', without a password; "" for a folder."""
    found = _URL.fullmatch(url) or _SCP.fullmatch(url)
    if not found:
        return ""
    path = re.sub(r"\.git$", "", found["path"].strip("/"))
    if not re.fullmatch(r"[\w.~/-]+", path):
        return ""
    return f"https://{found['host']}/{path}"


def checked(url: str) -> str:
    """An address that the user gives. UserError if it is none."""
    if not _PLAIN.fullmatch(url):
        raise UserError(
            f"--repo-url {url!r}: expected an address such as https://example.org/owner/name"
        )
    return url.rstrip("/")
