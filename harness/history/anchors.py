"""Anchors: the release, commit or interpreter that HEAD is measured against."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import git
from ..errors import UserError
from . import Point

OPTION, COMMAND = "--anchor", "gradrace history record"


@dataclass(frozen=True)
class Anchor:
    """label: the same on every night, since it names the series; empty for an interpreter, whose
    versions are its label. commit: a full hash, or python: an interpreter."""

    label: str = ""
    commit: str = ""
    python: str = ""


@dataclass(frozen=True)
class Commit:
    """hash: full. at: ISO date of the commit. subject: first line of its message."""

    hash: str
    at: str
    subject: str


def head(repository: Path) -> Commit:
    """The commit that is checked out. UserError if there is none yet."""
    found = git.git(repository, "log", "-1", "--format=%H%x00%cI%x00%s", "HEAD", "--")
    if found.returncode:
        raise UserError(f"{repository}: it has no commit yet; a history is of commits")
    return Commit(*found.stdout.rstrip("\n").split("\0", maxsplit=2))


def chosen(repository: Path, given: Sequence[str], known: Sequence[Point]) -> tuple[Anchor, ...]:
    """The anchors that --anchor names, or the usual one.

    The usual one is the newest tag before HEAD, without tags the anchor of the newest recording
    whose commit is still there, without these the first commit recorded. UserError if nothing can
    be an anchor."""
    if given:
        anchors = [_named(repository, text) for text in given]
        return tuple(dict.fromkeys(anchors))
    for found in (_newest_tag(repository), *_recorded(known)):
        if found and _is_there(repository, found):
            return (_of_commit(repository, git.commit(repository, found, OPTION)),)
    shallow = f"; this clone is shallow, fetch more of it: {git.DEEPEN}"
    raise UserError(
        f"{repository}: nothing to measure HEAD against: no tag can be reached from HEAD, and"
        " nothing was recorded yet; name a release, commit or interpreter with --anchor, such as"
        f" --anchor HEAD~10{shallow if git.is_shallow(repository) else ''}"
    )


def _named(repository: Path, text: str) -> Anchor:
    """A commit, a tag by its version, or an interpreter. UserError if it is none of these."""
    for ref in (text, f"v{text}"):
        if _is_there(repository, ref):
            return _of_commit(repository, git.commit(repository, ref, OPTION))
    if Path(text).name != text and shutil.which(text):
        return Anchor(python=text)
    git.commit(repository, text, OPTION)
    raise AssertionError("git.commit raises for an unknown ref")


def _newest_tag(repository: Path) -> str:
    """The newest tag that can be reached from HEAD, HEAD's own only if there is no earlier one."""
    for ref in ("HEAD^", "HEAD"):
        found = git.git(repository, "describe", "--tags", "--abbrev=0", ref)
        if found.returncode == 0:
            return found.stdout.strip()
    return ""


def _recorded(known: Sequence[Point]) -> list[str]:
    """Commits recorded so far: the latest anchor, then the first commit."""
    by_time = sorted(known, key=lambda point: point.at)
    anchors = [point.anchor_commit for point in reversed(by_time) if point.anchor_commit]
    return [*anchors[:1], *(point.commit for point in by_time[:1])]


def _is_there(repository: Path, ref: str) -> bool:
    found = git.git(
        repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
    )
    return found.returncode == 0


def _of_commit(repository: Path, commit: str) -> Anchor:
    """By its tag, if it has one: names such as HEAD~10 move."""
    tag = git.git(repository, "describe", "--tags", "--exact-match", commit).stdout.strip()
    return Anchor(tag or commit[:12], commit)
