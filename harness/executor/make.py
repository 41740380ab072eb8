"""The executor of the user's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import UserError, nearest
from ..importpath import Plugin
from ..strict import given
from . import Claim, Event, Executor, Job
from .local import LocalExecutor

LOCAL, RAY = "local", "ray"


@dataclass(frozen=True)
class Means:
    """With what runs are computed: executor is local or ray, address that of Ray's cluster, "" for
    the one that runs here; the other fields are as of LocalExecutor."""

    plugins: tuple[Plugin, ...] = ()
    interpreters: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 600.0
    workers: int = 0
    executor: str = LOCAL
    address: str = ""


def check_executor(executor: str, address: str) -> None:
    """UserError unless there is such an executor, and an address only if it needs one."""
    if executor not in (LOCAL, RAY):
        known = nearest(executor, (LOCAL, RAY)) or "; expected local or ray"
        raise UserError(f"--executor {given(executor)}: no such executor{known}")
    if executor == LOCAL and address:
        raise UserError(f"--address {given(address)}: only with --executor ray")
    if executor == RAY:
        from .cluster.connection import check_installed

        check_installed()


def make_executor(means: Means, claim: Claim = lambda job: job) -> Executor:
    """An executor without jobs. Whoever makes it closes it. UserError if Ray has no cluster."""
    given_to_all = (means.plugins, means.interpreters, means.timeout_s, means.workers)
    if means.executor == RAY:
        from .cluster.executor import ClusterExecutor

        return ClusterExecutor(*given_to_all, address=means.address, claim=claim)
    return LocalExecutor(*given_to_all, claim=claim)


class LateExecutor:
    """An executor that is made when there is something to do."""

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._made: Executor | None = None

    def do(self, jobs: Iterable[Job]) -> Iterator[Event]:
        """The events of these jobs, until all have finished."""
        executor = self._made = self._made or self._make()
        for job in jobs:
            executor.submit(job)
        yield from executor.events()

    def close(self) -> None:
        """See Executor."""
        if self._made:
            self._made.close()
