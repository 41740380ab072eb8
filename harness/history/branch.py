"""A history on a branch of its own: files are added, and pushed beside what others pushed.

Two runners may push at once. The one that comes second is refused by git; it fetches, puts its
files on top of the other's, and pushes again. Since every recording is a file of its own, there is
nothing to merge by hand."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .. import git
from ..errors import UserError
from . import lines, plumbing
from .plumbing import Refused

# Tries of a push. Waits grow from _WAIT_S, with chance, to _LONGEST_WAIT_S: 25 clones that pushed
# at once to one folder needed 19 s on two busy cores (2026-11-28).
_TRIES, _WAIT_S, _LONGEST_WAIT_S = 40, 0.2, 3.0
_RACES = ("fetch first", "non-fast-forward", "lock", "failed to update ref", "incorrect old value")


class Added(NamedTuple):
    """The branch's new commit, and the remote it was pushed to, "" if to none."""

    commit: str
    remote: str


def add(
    repository: Path, branch: str, files: Mapping[str, bytes], message: str, remote: str = ""
) -> Added:
    """Commits these files (path -> content) on the branch, new if need be, and pushes it to
    `remote` if one is named.

    The local branch has the files even if the push fails, in case of which UserError says why.
    UserError: no branch's name, the branch is checked out, no such remote."""
    ref = _checked(repository, branch)
    if remote:
        _check_remote(repository, remote)
    stored = {path: plumbing.store(repository, content) for path, content in files.items()}
    try:
        if remote:
            return Added(_pushed(repository, ref, stored, message, remote), remote)
        return Added(_kept(repository, ref, stored, message), "")
    except Refused as refused:
        raise UserError(f"--branch {branch}: git cannot commit on it: {refused}") from None


def check(repository: Path, branch: str, remote: str = "") -> None:
    """UserError, as `add`, for a branch or remote that cannot be written to."""
    _checked(repository, branch)
    if remote:
        _check_remote(repository, remote)


def is_there(repository: Path, branch: str) -> bool:
    """Whether the branch is known here, or was fetched from a remote."""
    return any(plumbing.tip(repository, ref) for ref in _refs(repository, branch))


def fetch(repository: Path, branch: str, remote: str) -> None:
    """The remote's branch as it is now, if there is one and it can be reached."""
    ref = _checked(repository, branch)
    with suppress(Refused):
        _fetched(repository, ref, f"refs/remotes/{remote}/{branch}", remote)


def read(repository: Path, branch: str) -> lines.Recorded:
    """The points on the branch, here and as last fetched from remotes. UserError: no such branch,
    or as lines.parsed."""
    _checked_name(repository, branch)
    tips = [tip for ref in _refs(repository, branch) if (tip := plumbing.tip(repository, ref))]
    if not tips:
        raise UserError(
            f"--branch {branch}: there is no such branch in {repository}; fetch it: git fetch"
            f" origin {branch}:{branch}"
        )
    return lines.parsed(_texts(repository, branch, list(dict.fromkeys(tips))))


def _refs(repository: Path, branch: str) -> list[str]:
    """Local, then of the remotes; `branch` may be 'origin/name' as well."""
    own = f"refs/heads/{branch}"
    remotes = [f"refs/remotes/{name}/{branch}" for name in _remotes(repository)]
    return [own, *remotes, f"refs/remotes/{branch}"]


def _texts(repository: Path, branch: str, tips: list[str]) -> Iterator[lines.Text]:
    found: dict[str, str] = {}
    for tip in tips:
        for path, name in plumbing.blobs(repository, tip).items():
            if path.endswith(lines.ENDING) and path.count("/") == 1:
                found.setdefault(name, path)
    contents = plumbing.contents(repository, list(found)) if found else iter(())
    for path, content in zip(found.values(), contents, strict=True):
        yield lines.Text(f"{branch}:{path}", content)


# -- names


def _checked(repository: Path, branch: str) -> str:
    """The branch's full name. UserError if it cannot be one, or is checked out."""
    _checked_name(repository, branch)
    ref = f"refs/heads/{branch}"
    listed = git.git(repository, "worktree", "list", "--porcelain").stdout.splitlines()
    if f"branch {ref}" in listed:
        raise UserError(
            f"--branch {branch}: it is checked out, and a commit on it would not be in the files"
            " there; name a branch that holds the history alone, such as gradrace-history"
        )
    return ref


def _checked_name(repository: Path, branch: str) -> None:
    good = git.git(repository, "check-ref-format", f"refs/heads/{branch}").returncode == 0
    if not good or branch.startswith("-"):
        raise UserError(f"--branch {branch!r}: git allows no branch of that name")


def _remotes(repository: Path) -> list[str]:
    return git.git(repository, "remote").stdout.split()


def _check_remote(repository: Path, remote: str) -> None:
    known = _remotes(repository)
    if remote not in known:
        there = f"there are {', '.join(known)}" if known else "the repository has none"
        raise UserError(f"--push {remote}: no such remote ({there}); git remote add {remote} URL")


# -- commits


def _kept(repository: Path, ref: str, files: Mapping[str, str], message: str) -> str:
    """The files on the local branch. Another process may move it at the same time."""
    for wait in _waits():
        before = plumbing.tip(repository, ref)
        base = before or _fetched_before(repository, ref)
        made = plumbing.commit(repository, files, [base] if base else [], message)
        try:
            plumbing.move(repository, ref, made, before)
        except Refused:
            if plumbing.tip(repository, ref) == before:
                raise
            time.sleep(wait)
        else:
            return made
    raise Refused("other processes kept moving it")


def _fetched_before(repository: Path, ref: str) -> str:
    """The branch as a remote had it when it was last fetched, "" if none had it."""
    branch = ref.removeprefix("refs/heads/")
    tips = (
        plumbing.tip(repository, f"refs/remotes/{name}/{branch}") for name in _remotes(repository)
    )
    return next(filter(None, tips), "")


def _pushed(repository: Path, ref: str, files: Mapping[str, str], message: str, remote: str) -> str:
    """The files on top of the remote's branch, with whatever the local one has beyond it."""
    local = _kept(repository, ref, files, message)
    branch = ref.removeprefix("refs/heads/")
    tracking, why = f"refs/remotes/{remote}/{branch}", ""
    for wait in _waits():
        try:
            there = _fetched(repository, ref, tracking, remote)
            made = _united(repository, local, there, files, message)
            plumbing.call(repository, "push", "--porcelain", remote, f"{made}:{ref}")
        except Refused as refused:
            why = str(refused)
            if not (_is_race(why) or _others_pushed(repository, ref, remote, tracking)):
                break
            time.sleep(wait)
        else:
            _follow(repository, ref, made, local)
            return made
    raise UserError(
        f"--push {remote}: git refused the push of {branch}: {why}. Nothing is lost: the points"
        f" are in the folder and on the local branch {branch}. A job needs the right to write"
        " (`permissions: contents: write`), which pull requests of forks never have; `git push"
        f" {remote} {branch}` tries again"
    )


def _fetched(repository: Path, ref: str, tracking: str, remote: str) -> str:
    """The remote's commit of the branch, "" if it has none."""
    if not plumbing.call(repository, "ls-remote", remote, ref).strip():
        return ""
    plumbing.call(repository, "fetch", "--no-tags", "--quiet", remote, f"+{ref}:{tracking}")
    return plumbing.tip(repository, tracking)


def _united(
    repository: Path, local: str, there: str, files: Mapping[str, str], message: str
) -> str:
    """A commit with all files of both, on top of the remote's; the local one if that is such.

    A local branch with recordings that were never pushed becomes a second parent."""
    if not there or plumbing.is_ancestor(repository, there, local):
        return local
    parents = _parents(repository, local)
    pushed = all(plumbing.is_ancestor(repository, parent, there) for parent in parents)
    known = plumbing.blobs(repository, there)
    ours = plumbing.blobs(repository, local)
    missing = {path: name for path, name in ours.items() if path not in known} | dict(files)
    return plumbing.commit(repository, missing, [there] if pushed else [there, local], message)


def _parents(repository: Path, commit: str) -> list[str]:
    listed = plumbing.call(repository, "rev-list", "--parents", "--max-count=1", commit)
    return listed.decode().split()[1:]


def _is_race(why: str) -> bool:
    """Whether git says that another push came first, or is at work."""
    return any(words in why for words in _RACES)


def _others_pushed(repository: Path, ref: str, remote: str, tracking: str) -> bool:
    """Whether the remote's branch is not what was fetched: then another try may succeed."""
    try:
        answer = plumbing.call(repository, "ls-remote", remote, ref).decode().split()
    except Refused:
        return False
    return (answer[0] if answer else "") != plumbing.tip(repository, tracking)


def _follow(repository: Path, ref: str, made: str, local: str) -> None:
    """The local branch follows. If another process has moved it meanwhile, its own push will."""
    try:
        plumbing.move(repository, ref, made, local)
    except Refused:
        return


def _waits() -> Iterator[float]:
    """Seconds between tries; chance keeps two runners out of step."""
    for number in range(_TRIES):
        yield random.uniform(0.5, 1.0) * min(_WAIT_S * 1.5**number, _LONGEST_WAIT_S)
