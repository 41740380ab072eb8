"""Addresses of commits in a repository's web pages."""

from __future__ import annotations

from urllib.parse import quote, urlsplit


def commit_url(repository: str, commit: str) -> str:
    """The page of a commit; "" without a repository."""
    if not repository or not commit:
        return ""
    host = urlsplit(repository).hostname or ""
    between = "/-/commit/" if "gitlab" in host else "/commit/"
    between = "/commits/" if "bitbucket" in host else between
    return f"{repository}{between}{quote(commit)}"
