"""The outcome of a merge, done or planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Conflict:
    """Two finished results of one training run that are not equal; the first was kept.

    what: in which they differ. relative: the largest difference of two numbers, as a share of the
    larger; None if they cannot be compared one by one."""

    digest: str
    run: str
    kept: str
    kept_host: str
    other: str
    other_host: str
    what: str
    relative: float | None


@dataclass(frozen=True)
class Sample:
    """A timing or memory run that was left out: the same run was measured twice, and a folder holds
    one of them."""

    digest: str
    run: str
    kept: str
    kept_host: str
    other: str
    other_host: str


@dataclass(frozen=True)
class SuiteMerged:
    """taken: folder -> how many of the runs kept are from there, the target's own included.

    planned: runs that the plan names; missing: those of them without a result. equal: copies
    that were not needed; unfinished: failed or skipped tries that gave way. superseded: skipped
    runs that stand in the plan under another digest. other_designs: ids of timed
    runs that were copied, but left out of the plan since their cell was timed in another way.
    unsound: files that were left out, and why."""

    suite: str
    planned: int
    missing: int
    taken: Mapping[str, int]
    equal: int
    unfinished: int
    conflicts: tuple[Conflict, ...]
    samples: tuple[Sample, ...]
    superseded: int
    other_designs: tuple[str, ...]
    unsound: tuple[str, ...]


@dataclass(frozen=True)
class Merged:
    """files: what became of the files beside the runs, a sentence each."""

    output: Path
    sources: tuple[str, ...]
    suites: tuple[SuiteMerged, ...]
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        found = {"output": str(self.output), "sources": list(self.sources)}
        return {**found, "suites": [asdict(each) for each in self.suites], "files": [*self.files]}
