"""Where runs are computed: the Executor's three methods, and what goes in and comes out.

`local.LocalExecutor` is the only one now; another (a cluster's, say) offers the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..record import RunResult
from ..spec import RunSpec


@dataclass(frozen=True)
class PlannedRun:
    """A run with its digest and what the digest was made from; `log` takes the worker's stdout and
    stderr.
    """

    spec: RunSpec
    digest: str
    versions: dict[str, str]
    sources: dict[str, str]
    log: Path


@dataclass(frozen=True)
class Job:
    """Runs of one shape, which workers of its kind share out among themselves: what one has
    compiled for a run serves the next. `alone`: in one fresh, pinned process with nothing beside
    it; its runs are timed together."""

    runs: tuple[PlannedRun, ...]
    alone: bool = False


@dataclass(frozen=True)
class Started:
    """A worker is ready and begins with this job, or part of a job."""

    job: Job


@dataclass(frozen=True)
class Progress:
    """A convergence run has done this many of its steps."""

    run: PlannedRun
    step: int


@dataclass(frozen=True)
class Finished:
    """A run came to its end, whatever its status."""

    run: PlannedRun
    result: RunResult


Event = Started | Progress | Finished


class Executor(Protocol):
    """Takes jobs, gives events until all have finished, and never loses a run: each gives one
    Finished.
    """

    def submit(self, job: Job) -> None:
        """Queues a job."""

    def events(self) -> Iterator[Event]:
        """What happens, as it happens; ends when every submitted job has finished."""

    def close(self) -> None:
        """Stops at once, killing what runs. Safe to call twice."""
