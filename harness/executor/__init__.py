"""Computes runs: the Executor's three methods, the jobs that go in, the events that come out.

make: the executor of the user's choice. local: the one on this machine; cluster/: on Ray's nodes.
workers: the local one's processes; queue: which waiting runs go to which of them; environment:
their variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ..record import RunRecord, RunResult
from ..spec import RunSpec


@dataclass(frozen=True)
class PlannedRun:
    """A run, its digest and the digest's origins; `log` takes the worker's stdout and stderr."""

    spec: RunSpec
    digest: str
    versions: dict[str, str]
    sources: dict[str, str]
    log: Path


@dataclass(frozen=True)
class Job:
    """Runs of one shape, shared out among workers: a program compiled for one serves the next.

    alone: in one fresh, pinned process with no other beside it, in which its runs are timed.
    lanes: of the one program that trains its runs together, 0 if they are trained one by one. Such
    a job is not shared out."""

    runs: tuple[PlannedRun, ...]
    alone: bool = False
    lanes: int = 0

    def of(self, runs: Sequence[PlannedRun]) -> Job:
        """The same kind of job with other runs."""
        return replace(self, runs=tuple(runs))


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

    @property
    def record(self) -> RunRecord:
        """Of its result."""
        return self.result.record


@dataclass(frozen=True)
class Elsewhere:
    """Another driver has done a run of this one's: its record is there."""

    run: PlannedRun
    record: RunRecord


@dataclass(frozen=True)
class Waiting:
    """Nothing is left to do but these runs, which other drivers do. drivers: for people."""

    runs: tuple[PlannedRun, ...]
    drivers: tuple[str, ...]


@dataclass(frozen=True)
class FinishedTogether:
    """Runs that were trained in one program came to their ends; they are to be kept together."""

    runs: tuple[Finished, ...]


# An event of one run, or of a job; the last two come from a sweep, not from an executor.
Single = Started | Progress | Finished | Elsewhere | Waiting
Event = Single | FinishedTogether


def one_by_one(event: Event) -> tuple[Single, ...]:
    """The event; or if runs ended together, the end of each."""
    return event.runs if isinstance(event, FinishedTogether) else (event,)


# Asked right before runs go to a worker: the job with those of its runs that this driver may do,
# none perhaps. The others are done elsewhere, and no event tells of them. Runs that were granted
# are granted again when they are asked for anew, after the death of a worker, say.
Claim = Callable[[Job], Job]


class Executor(Protocol):
    """Takes jobs, gives events until all have finished; every run that its `Claim` granted is in
    one Finished, by itself or in a FinishedTogether."""

    def submit(self, job: Job) -> None:
        """Queues a job."""

    def events(self) -> Iterator[Event]:
        """Events as they happen, until every submitted job has finished."""

    def close(self) -> None:
        """Stops at once, killing what runs. Safe to call twice."""
