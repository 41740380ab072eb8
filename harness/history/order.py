"""The order of points: by their commits in the history of HEAD, the others by time.

A rebase between two nights takes commits away. Their points stay, between those that were recorded
before and after them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from .. import git


def ranks(repository: Path | None) -> dict[str, int]:
    """Commit -> its place in the history of HEAD, the first commit 0; empty without a repository,
    and in a shallow clone, which cannot tell what is gone."""
    if repository is None or git.is_shallow(repository):
        return {}
    listed = git.git(repository, "rev-list", "--topo-order", "--reverse", "HEAD", "--")
    return {commit: number for number, commit in enumerate(listed.stdout.split())}


def repository_here(folder: Path) -> Path | None:
    """The repository that the folder lies in, None if in none."""
    found = git.git(folder, "rev-parse", "--show-toplevel")
    return Path(found.stdout.rstrip("\n")) if found.returncode == 0 else None


class Moment(Protocol):
    """Whatever was measured at a commit, and when."""

    @property
    def commit(self) -> str: ...
    @property
    def at(self) -> str: ...


Of = TypeVar("Of", bound=Moment)


def ordered(points: Sequence[Of], rank: Mapping[str, int]) -> list[Of]:
    """The points by the place of their commits, then by time. One whose commit is unknown comes
    after the latest commit that was recorded before it."""
    latest = -1.0
    keys: list[tuple[float, str, int, Of]] = []
    for number, point in enumerate(sorted(points, key=lambda point: point.at)):
        known = rank.get(point.commit)
        latest = max(latest, -1.0 if known is None else float(known))
        keys.append((latest + 0.5 if known is None else float(known), point.at, number, point))
    return [point for *_, point in sorted(keys, key=lambda key: key[:3])]


def gone(points: Iterable[Moment], rank: Mapping[str, int]) -> set[str]:
    """The commits that the history of HEAD lacks; none if that is not known."""
    return {point.commit for point in points if point.commit not in rank} if rank else set()
