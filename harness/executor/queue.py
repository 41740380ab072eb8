"""Which waiting runs go to which worker, how many at once, and which cores are whose."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from ..spec import RunSpec
from . import Job, PlannedRun
from .workers import Key, key_of

# The most runs that a worker gets at once: messages stay cheap, and the rest can be shared out.
_PORTION = 16


def side_by_side(cores: int, threads: int) -> int:
    """How many workers of this many threads have cores of their own; one at least."""
    return max(1, cores // threads)


def core_share(cores: Sequence[int], slot: int, workers: int, threads: int) -> list[int]:
    """The cores of the worker in this slot: an even share, or if there are too few for all,
    `threads` cores that others have too."""
    size = min(len(cores), max(threads, len(cores) // workers))
    first = slot * size % len(cores)
    return sorted({cores[(first + i) % len(cores)] for i in range(size)})


class Group:
    """The waiting runs of a job."""

    def __init__(self, job: Job) -> None:
        self.key = key_of(job)
        self.spec: RunSpec = job.runs[0].spec
        self.runs = deque(job.runs)
        self._job = job

    def take(self, workers: int) -> Job:
        """The next portion for one of so many workers: smaller and smaller, so that all end at
        about one time. Runs that are timed or trained together stay together."""
        size = max(1, min(_PORTION, len(self.runs) // (2 * workers)))
        if self._job.alone or self._job.lanes:
            size = len(self.runs)
        return self._job.of([self.runs.popleft() for _ in range(size)])

    def take_all(self) -> list[PlannedRun]:
        """All waiting runs."""
        taken, self.runs = list(self.runs), deque()
        return taken


class Queue:
    """Groups of runs in the order in which they were submitted."""

    def __init__(self) -> None:
        self._groups: list[Group] = []

    def __bool__(self) -> bool:
        return any(group.runs for group in self._groups)

    def add(self, job: Job) -> None:
        """Behind all others."""
        self._groups.append(Group(job))

    def put_back(self, job: Job) -> None:
        """Before all others: runs that a worker did not reach."""
        if job.runs:
            self._groups.insert(0, Group(job))

    def clear(self) -> None:
        """Forgets all of them."""
        self._groups.clear()

    def ready(self, busy: Collection[Key]) -> list[Group]:
        """Groups of which a run may start beside busy workers.

        A group alone waits for all before it and holds up all behind it. Workers with different
        numbers of threads, whose cores overlap, wait for each other."""
        self._groups = [group for group in self._groups if group.runs]
        if any(key.alone for key in busy):
            return []
        alone = next(
            (i for i, group in enumerate(self._groups) if group.key.alone), len(self._groups)
        )
        if alone == 0:
            return [] if busy else self._groups[:1]
        threads = {key.threads for key in busy} or {group.key.threads for group in self._groups[:1]}
        return [group for group in self._groups[:alone] if group.key.threads in threads]

    def keys(self) -> set[Key]:
        """The kinds of workers that runs wait for."""
        return {group.key for group in self._groups if group.runs}

    def waiting(self, key: Key) -> int:
        """How many runs wait for workers of this kind."""
        return sum(len(group.runs) for group in self._groups if group.key == key)


def best_for(
    key: Key, groups: Sequence[Group], last: Group | None, taken: Sequence[Group]
) -> Group:
    """A worker's next group: the one it has compiled programs for, else one without a worker."""
    fitting = [group for group in groups if group.key == key]
    return min(fitting, key=lambda group: (group is not last, taken.count(group)))
