"""Runs on this machine: persistent workers of one framework each, several side by side, replaced
when they die or grow. Each is pinned to its cores. Timing jobs get a fresh process by itself."""

from __future__ import annotations

import selectors
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..errors import ExitCode, UserError, refused
from ..importpath import Plugin
from ..machine import this_machine, usable_cores, visible_gpus
from ..record import Curve, RunRecord, RunResult, Status
from ..worker.train import summarise
from . import Claim, Event, Finished, FinishedTogether, Job, PlannedRun, Progress, Started
from .environment import environment
from .queue import Group, Queue, best_for, core_share, side_by_side
from .workers import Key, Nonsense, Said, WorkerProcess, too_few

# Importing a framework from a cold disk has taken 16 s; ten times that is a hang.
START_TIMEOUT_S = 160.0
# The system kills processes if memory is short. A worker that is killed while it loads its
# framework is started again, up to so many starts in a row.
STARTS = 3
# The share of the machine's memory for all workers. One that outgrows its part is replaced after
# its run: frameworks keep programs of earlier shapes, and a user's rule may leak.
MEMORY_SHARE = 0.5


class LocalExecutor:
    """See gradrace.executor.Executor.

    interpreters: framework -> its Python, by default this one. timeout_s: of a run, from its start.
    workers: how many work side by side; timing is always alone. 0: as many as cores and threads
    allow, and a further one of a framework only if the waiting runs take longer than its start. On
    GPUs a framework has one worker a card at most, which sees no other card. claim: by default
    grants everything. sharers: how many executors such as this one share the machine."""

    def __init__(
        self,
        plugins: tuple[Plugin, ...],
        interpreters: Mapping[str, str],
        timeout_s: float,
        workers: int = 0,
        claim: Claim = lambda job: job,
        sharers: int = 1,
    ) -> None:
        self._plugins = plugins
        self._interpreters = interpreters
        self._timeout_s = timeout_s
        self._workers_wanted = workers
        self._claim = claim
        self._sharers = sharers
        self._cores = usable_cores()
        self._gpus: tuple[str, ...] | None = None
        self._queue = Queue()
        self._workers: list[WorkerProcess] = []
        self._groups: dict[WorkerProcess, Group] = {}
        self._broken: dict[Key, str] = {}
        self._failed_starts: Counter[Key] = Counter()
        self._enough: set[Key] = set()
        self._selector = selectors.DefaultSelector()

    def submit(self, job: Job) -> None:
        self._queue.add(job)

    def events(self) -> Iterator[Event]:
        while self._queue or self._busy():
            yield from self._start_jobs()
            if not self._busy():
                continue
            for key, _ in self._selector.select(timeout=self._until_deadline()):
                worker: WorkerProcess = key.data
                for message in worker.read():
                    yield from self._handle(worker, message)
                if worker.child.ended and worker in self._workers:
                    yield from self._died(worker)
            for worker in [w for w in self._busy() if w.deadline <= time.monotonic()]:
                yield from self._timed_out(worker)

    def close(self) -> None:
        self._queue.clear()
        for worker in list(self._workers):
            self._drop(worker)
        self._selector.close()

    # -- starting

    def _start_jobs(self) -> Iterator[Event]:
        """Gives waiting runs to idle workers, and to new ones as far as cores reach."""
        while groups := self._queue.ready([w.key for w in self._busy()]):
            broken = next((group for group in groups if group.key in self._broken), None)
            if broken:
                yield from self._fail(broken.take_all(), "failed", self._broken[broken.key])
                continue
            worker = self._idle_worker(groups)
            key = worker.key if worker else self._new_key(groups)
            if key is None:
                return
            taken = [self._groups[busy] for busy in self._busy()]
            last = self._groups.get(worker) if worker else None
            group = best_for(key, groups, last, taken)
            # Before a worker starts: loading its framework would disturb others that time.
            job = self._claim(group.take(self._limit(key.threads)))
            if job.runs:
                worker = worker or self._new_worker(group)
                self._groups[worker] = group
                worker.begin(job, START_TIMEOUT_S)

    def _idle_worker(self, groups: list[Group]) -> WorkerProcess | None:
        keys = {group.key for group in groups}
        return next((w for w in self._workers if w.job is None and w.key in keys), None)

    def _new_key(self, groups: list[Group]) -> Key | None:
        """Of the group with the fewest workers, if one more may be started; None if no core is
        free, or waiting is cheaper."""
        living = [worker.key for worker in self._workers]
        group = min(groups, key=lambda group: living.count(group.key))
        if len(self._busy()) >= self._limit(group.key.threads):
            return None
        if group.key in living and not self._may_have_another(group.key):
            return None
        return group.key

    def _new_worker(self, group: Group) -> WorkerProcess:
        self._make_room(group)
        used = {worker.slot for worker in self._workers}
        return self._spawn(group, next(slot for slot in range(len(used) + 1) if slot not in used))

    def _may_have_another(self, key: Key) -> bool:
        same = sum(worker.key == key for worker in self._workers)
        if key in self._enough or (key.device == "gpu" and same >= max(1, len(self._cards()))):
            return False
        return self._worth_another(key)

    def _cards(self) -> tuple[str, ...]:
        """The GPUs; asked for once, and only if a run wants one."""
        if self._gpus is None:
            self._gpus = visible_gpus()
        return self._gpus

    def _card(self, key: Key) -> str:
        """The GPU with the fewest workers, for one more; "" on a CPU, or if there are no two."""
        if key.device != "gpu" or len(self._cards()) < 2:
            return ""
        taken = [worker.gpu for worker in self._workers]
        return min(self._cards(), key=taken.count)

    def _worth_another(self, key: Key) -> bool:
        """Whether a framework that has a worker needs one more: if the user set their number, or
        the waiting runs would take the others longer than its start."""
        if self._workers_wanted:
            return True
        same = [worker for worker in self._workers if worker.key == key]
        return too_few(same, self._queue.waiting(key))

    def _has_company(self, key: Key) -> bool:
        """Whether others may use the device while a worker of this kind trains: on a processor if
        there may be several workers, on a card if another kind uses it too."""
        if key.alone or self._limit(key.threads) * self._sharers == 1:
            return False
        kinds = {*self._queue.keys(), *(worker.key for worker in self._workers)} - {key}
        return key.device == "cpu" or any(
            other.device == "gpu" and not other.alone for other in kinds
        )

    def _limit(self, threads: int) -> int:
        return self._workers_wanted or side_by_side(len(self._cores), threads)

    def _make_room(self, group: Group) -> None:
        """Ends idle workers if there are too many, or the new one has other cores or is alone."""
        idle = [worker for worker in self._workers if worker.job is None]
        for worker in idle:
            crowded = len(self._workers) >= self._limit(group.key.threads)
            if crowded or group.key.alone or worker.key.threads != group.key.threads:
                self._drop(worker)

    def _spawn(self, group: Group, slot: int) -> WorkerProcess:
        spec = group.spec
        limit = self._limit(spec.threads)
        cores = (
            self._cores[: spec.threads]
            if group.key.alone
            else core_share(self._cores, slot, limit, spec.threads)
        )
        hello = {
            "framework": spec.framework,
            "plugins": [str(p.resolve()) for p in self._plugins],
            "cores": cores,
            "memory_bytes": int(this_machine().memory_bytes * MEMORY_SHARE / limit / self._sharers),
            "beside": self._has_company(group.key),
        }
        python = self._interpreters.get(spec.framework, sys.executable)
        try:
            gpu = self._card(group.key)
            worker = WorkerProcess(group.key, slot, python, environment(spec, gpu), hello, gpu)
        except OSError as error:
            reason = f"no worker can be started with {python}: {refused(error)}"
            raise UserError(reason, ExitCode.NOTHING_MEASURED) from None
        self._workers.append(worker)
        self._selector.register(worker.child.descriptor, selectors.EVENT_READ, worker)
        return worker

    # -- what workers say

    def _handle(self, worker: WorkerProcess, message: dict[str, Any]) -> Iterator[Event]:
        if worker not in self._workers:
            return
        try:
            said = worker.understand(message)
        except Nonsense as error:
            yield from self._died(worker, f"the worker was ended: {error}")
            return
        job = worker.job
        assert job is not None, "what was understood belongs to a job"
        match said.event:
            case "broken":
                reason = f"{job.runs[0].spec.framework} cannot be loaded: {said.reason}"
                left = job.of(worker.pending())
                self._drop(worker)
                yield from self._did_not_start(worker.key, reason, left)
            case "started":
                yield self._started(worker, job)
            case "progress" | "chunk" if said.run:
                if said.event == "chunk":
                    # A population lives as long as its chunks come.
                    worker.allow(self._timeout_s)
                yield Progress(said.run, said.step)
            case "result" | "results":
                yield self._ended(worker, job, said)
            case "done":
                self._done(worker, job, said.outgrown)

    def _started(self, worker: WorkerProcess, job: Job) -> Event:
        worker.started()
        self._failed_starts.pop(worker.key, None)
        worker.allow(self._timeout_s * (len(job.runs) if job.alone else 1))
        return Started(job)

    def _ended(self, worker: WorkerProcess, job: Job, said: Said) -> Event:
        if not job.alone:
            worker.allow(self._timeout_s)
        return FinishedTogether(said.finished) if said.event == "results" else said.finished[0]

    def _done(self, worker: WorkerProcess, job: Job, outgrown: bool) -> None:
        left = worker.pending()
        worker.idle()
        if job.alone or outgrown:
            self._drop(worker)
        self._queue.put_back(job.of(left))

    def _died(self, worker: WorkerProcess, reason: str = "") -> Iterator[Event]:
        job, runs, partial = worker.job, worker.pending(), worker.partial
        # The system ends processes so if memory is short.
        short = not reason and worker.child.exit_status() == "SIGKILL"
        reason = reason or f"the worker died: {worker.how_it_ended()}"
        killed = not worker.ready and worker.child.signalled
        self._drop(worker)
        if not runs or job is None:
            return
        left = job.of(runs)
        if killed and self._failed_starts[worker.key] + 1 < STARTS:
            self._failed_starts[worker.key] += 1
            self._queue.put_back(left)
        elif not worker.ready:
            again = f", {STARTS} times in a row" if killed else ""
            yield from self._did_not_start(worker.key, f"{reason} while it loaded{again}", left)
        elif short and left.lanes > 1:
            self._queue.put_back(replace(left, lanes=left.lanes // 2))
        else:
            yield from self._lost(left, "failed", reason, partial)

    def _timed_out(self, worker: WorkerProcess) -> Iterator[Event]:
        job, runs, partial = worker.job, worker.pending(), worker.partial
        self._drop(worker)
        assert job is not None, "only a worker with a job has a deadline"
        left = job.of(runs)
        if not worker.ready:
            yield from self._did_not_start(
                worker.key, f"the worker did not start within {START_TIMEOUT_S:g} s", left
            )
        else:
            reason = f"no result within {self._timeout_s:g} s"
            yield from self._lost(left, "timeout", reason, partial)

    def _lost(
        self, left: Job, status: Status, reason: str, partial: Curve | None
    ) -> Iterator[Event]:
        """A worker was lost in the midst of these runs. One of them has that status; which one of
        those that shared the process, a smaller company shows."""
        runs = left.runs
        if left.alone and len(runs) > 1:
            for run in reversed(runs):
                self._queue.put_back(left.of([run]))
        elif left.lanes and len(runs) > 1:
            middle = len(runs) // 2
            for half in (runs[middle:], runs[:middle]):
                self._queue.put_back(left.of(half))
        else:
            # The run in flight is lost, those queued behind it go to the next worker.
            self._queue.put_back(left.of(runs[1:]))
            yield from self._fail(runs[:1], status, reason, partial)

    def _did_not_start(self, key: Key, reason: str, left: Job) -> Iterator[Event]:
        """Does not try the framework again, unless others of it work: then memory is short, and
        they go on."""
        if any(worker.ready and worker.key == key for worker in self._workers):
            self._enough.add(key)
            self._queue.put_back(left)
            return
        self._broken[key] = reason
        yield from self._fail(left.runs, "failed", reason)

    def _fail(
        self, runs: Sequence[PlannedRun], status: Status, reason: str, partial: Curve | None = None
    ) -> Iterator[Event]:
        for run in runs:
            yield Finished(run, unfinished(run, status, reason, partial))

    # -- bookkeeping

    def _busy(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.job]

    def _until_deadline(self) -> float:
        return max(0.0, min(worker.deadline for worker in self._busy()) - time.monotonic())

    def _drop(self, worker: WorkerProcess) -> None:
        self._selector.unregister(worker.child.descriptor)
        self._workers.remove(worker)
        self._groups.pop(worker, None)
        worker.child.kill()


def unfinished(
    run: PlannedRun, status: Status, reason: str, partial: Curve | None = None
) -> RunResult:
    """The result of a run that gave none itself; `partial` is its curve so far."""
    summary = summarise(partial, run.spec.task.target) if partial else None
    record = RunRecord(
        digest=run.digest,
        spec=run.spec,
        status=status,
        reason=reason,
        summary=summary,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        versions=run.versions,
        sources=run.sources,
        machine=this_machine(),
    )
    return RunResult(record, curve=partial)
