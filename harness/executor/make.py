"""The executor of the user's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from . import Claim, Event, Executor, Job
from .local import LocalExecutor


@dataclass(frozen=True)
class Means:
    """With what runs are computed; the fields are as of LocalExecutor."""

    plugins: tuple[Path, ...] = ()
    interpreters: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 600.0
    workers: int = 0


def make_executor(means: Means, claim: Claim = lambda job: job) -> Executor:
    """An executor without jobs. Whoever makes it closes it."""
    return LocalExecutor(
        means.plugins, means.interpreters, means.timeout_s, means.workers, claim=claim
    )


class LateExecutor:
    """An executor that is made when there is something to do, and closed at the end."""

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._made: Executor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._made:
            self._made.close()

    def do(self, jobs: Iterable[Job]) -> Iterator[Event]:
        """The events of these jobs, until all have finished."""
        executor = self._made = self._made or self._make()
        for job in jobs:
            executor.submit(job)
        yield from executor.events()
