"""Runs on this machine: one persistent worker process per framework, several side by side, and replaced when they die.

Timing jobs get a fresh process, pinned to its cores, with nothing beside it.
"""

from __future__ import annotations

import selectors
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..machine import this_machine, usable_cores
from ..process import Child
from ..record import Blocks, Curve, Norms, RunRecord, RunResult, Status
from ..spec import RunSpec
from ..train import summarise
from . import Event, Finished, Job, PlannedRun, Progress, Started
from .environment import environment

# Importing a framework from a cold disk has taken 16 s; ten times that is a hang.
START_TIMEOUT_S = 160.0


class LocalExecutor:
    """See gradrace.executor.Executor.

    interpreters: framework -> Python that has it, this one where none is named. timeout_s: per run, from its start.
    workers: how many work side by side, but for timing, which is always alone; 0: as many as cores and threads allow.
    """

    def __init__(
        self, plugins: tuple[Path, ...], interpreters: Mapping[str, str], timeout_s: float, workers: int = 0
    ) -> None:
        self._plugins = plugins
        self._interpreters = interpreters
        self._timeout_s = timeout_s
        self._workers_wanted = workers
        self._queue: deque[Job] = deque()
        self._workers: dict[tuple[Any, ...], _Worker] = {}
        self._broken: dict[tuple[Any, ...], str] = {}
        self._selector = selectors.DefaultSelector()

    def submit(self, job: Job) -> None:
        self._queue.append(job)

    def events(self) -> Iterator[Event]:
        while self._queue or self._busy():
            yield from self._start_jobs()
            if not self._busy():
                continue
            for key, _ in self._selector.select(timeout=self._until_deadline()):
                worker: _Worker = key.data
                for message in worker.read():
                    yield from self._handle(worker, message)
                if worker.child.ended:
                    yield from self._died(worker)
            for worker in [w for w in self._busy() if w.deadline <= time.monotonic()]:
                yield from self._timed_out(worker)

    def close(self) -> None:
        self._queue.clear()
        for worker in list(self._workers.values()):
            self._drop(worker)
        self._selector.close()

    # -- starting

    def _start_jobs(self) -> Iterator[Event]:
        """Gives waiting jobs to idle workers, in order, as far as cores reach; a job that is to be alone waits for all
        before it and holds up all behind it."""
        for job in list(self._queue):
            busy = self._busy()
            if busy and (job.alone or any(worker.job and worker.job.alone for worker in busy)):
                return
            if len(busy) >= max(1, len(usable_cores()) // job.runs[0].spec.threads):
                return
            key = _worker_key(job)
            if key in self._broken:
                self._queue.remove(job)
                yield from self._fail(list(job.runs), "failed", self._broken[key])
                continue
            worker = self._workers.get(key)
            if worker is None:
                worker = self._spawn(key, job)
            elif worker.job:
                continue
            self._queue.remove(job)
            worker.begin(job, START_TIMEOUT_S)
            if job.alone:
                return

    def _spawn(self, key: tuple[Any, ...], job: Job) -> _Worker:
        spec = job.runs[0].spec
        if job.alone:
            self._drop_idle()
        python = self._interpreters.get(spec.framework, sys.executable)
        cores = list(usable_cores()[: spec.threads]) if job.alone else []
        hello = {"framework": spec.framework, "plugins": [str(p.resolve()) for p in self._plugins], "cores": cores}
        worker = _Worker(key, python, environment(spec), hello)
        self._workers[key] = worker
        self._selector.register(worker.child.descriptor, selectors.EVENT_READ, worker)
        return worker

    # -- what workers say

    def _handle(self, worker: _Worker, message: dict[str, Any]) -> Iterator[Event]:
        job = worker.job
        assert job is not None, "only a worker with a job speaks"
        match message["event"]:
            case "broken":
                reason = f"{job.runs[0].spec.framework} cannot be loaded: {message['reason']}"
                self._broken[worker.key] = reason
                runs = worker.pending()
                self._drop(worker)
                yield from self._fail(runs, "failed", reason)
            case "started":
                worker.allow(self._timeout_s * (len(job.runs) if job.alone else 1))
                yield Started(job)
            case "progress":
                worker.keep(message)
                yield Progress(job.runs[message["index"]], message["step"])
            case "result":
                yield Finished(worker.finish(message["index"]), _result(message))
                if not job.alone:
                    worker.allow(self._timeout_s)
            case "done":
                worker.idle()
                if job.alone:
                    self._drop(worker)

    def _died(self, worker: _Worker) -> Iterator[Event]:
        job, runs, partial = worker.job, worker.pending(), worker.partial
        reason = f"the worker died: {worker.how_it_ended()}"
        ready = worker.ready
        self._drop(worker)
        if not runs or job is None:
            return
        if not ready:
            self._broken[worker.key] = reason
            yield from self._fail(runs, "failed", reason)
        elif job.alone and len(job.runs) > 1:
            # Cells that shared a process must not share its fate: each is tried again in a process of its own.
            self._queue.extendleft(Job((run,), alone=True) for run in reversed(runs))
        else:
            # The run in flight is lost, those queued behind it go to the next worker.
            yield from self._fail(runs[:1], "failed", reason, partial)
            if runs[1:]:
                self._queue.appendleft(Job(tuple(runs[1:])))

    def _timed_out(self, worker: _Worker) -> Iterator[Event]:
        job, runs, partial, ready = worker.job, worker.pending(), worker.partial, worker.ready
        self._drop(worker)
        assert job is not None, "only a worker with a job has a deadline"
        if not ready:
            self._broken[worker.key] = f"the worker did not start within {START_TIMEOUT_S:g} s"
            yield from self._fail(runs, "failed", self._broken[worker.key])
            return
        stuck = runs if job.alone else runs[:1]
        if job.alone and len(job.runs) > 1:
            self._queue.extendleft(Job((run,), alone=True) for run in reversed(runs))
            return
        yield from self._fail(stuck, "timeout", f"no result within {self._timeout_s:g} s", partial)
        if runs[len(stuck) :]:
            self._queue.appendleft(Job(tuple(runs[len(stuck) :])))

    def _fail(
        self, runs: list[PlannedRun], status: Status, reason: str, partial: Curve | None = None
    ) -> Iterator[Event]:
        for run in runs:
            yield Finished(run, unfinished(run, status, reason, partial))

    # -- bookkeeping

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.job]

    def _until_deadline(self) -> float:
        return max(0.0, min(worker.deadline for worker in self._busy()) - time.monotonic())

    def _drop(self, worker: _Worker) -> None:
        self._selector.unregister(worker.child.descriptor)
        del self._workers[worker.key]
        worker.child.kill()

    def _drop_idle(self) -> None:
        """Frees memory and caches before something is timed."""
        for worker in [w for w in self._workers.values() if not w.job]:
            self._drop(worker)


def unfinished(run: PlannedRun, status: Status, reason: str, partial: Curve | None = None) -> RunResult:
    """The result of a run that gave none itself, with what is known of its curve."""
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


class _Worker:
    """One worker process with the job that it does."""

    def __init__(self, key: tuple[Any, ...], python: str, env: dict[str, str], hello: dict[str, Any]) -> None:
        self.key = key
        self.job: Job | None = None
        self.deadline = float("inf")
        self.ready = False
        self.partial: Curve | None = None
        self._finished: set[int] = set()
        self.child = Child([python, "-m", "gradrace.worker"], env)
        self.child.send(hello)

    def begin(self, job: Job, timeout_s: float) -> None:
        """Hands over a job; its runs' own time starts when the worker says so."""
        self.job, self.partial, self._finished = job, None, set()
        self.allow(timeout_s)
        runs = [
            {
                "spec": run.spec.to_json(),
                "digest": run.digest,
                "versions": run.versions,
                "sources": run.sources,
                "log": str(run.log),
            }
            for run in job.runs
        ]
        self.child.send({"timing": job.runs[0].spec.measure == "timing", "runs": runs})

    def allow(self, seconds: float) -> None:
        """Moves the deadline to this many seconds from now."""
        self.deadline = time.monotonic() + seconds

    def read(self) -> list[dict[str, Any]]:
        """Whole messages that have come."""
        messages = self.child.read()
        self.ready = self.ready or any(message["event"] == "ready" for message in messages)
        return [message for message in messages if message["event"] != "ready"]

    def keep(self, message: dict[str, Any]) -> None:
        """Adds a piece to the curve of the run in flight."""
        piece = Curve.from_lists(message["curve"])
        self.partial = _join(self.partial, piece) if message["step"] and self.partial else piece

    def finish(self, index: int) -> PlannedRun:
        """Notes that the job's run of this index has a result."""
        assert self.job is not None, "results belong to a job"
        self._finished.add(index)
        self.partial = None
        return self.job.runs[index]

    def pending(self) -> list[PlannedRun]:
        """The job's runs without a result, in order."""
        return [run for index, run in enumerate(self.job.runs) if index not in self._finished] if self.job else []

    def idle(self) -> None:
        """The job is done."""
        self.job, self.deadline = None, float("inf")

    def how_it_ended(self) -> str:
        """Signal or exit code, and the last line it printed before any run's log was opened."""
        return self.child.exit_status() if self.ready else self.child.how_it_ended()


def _worker_key(job: Job) -> tuple[Any, ...]:
    spec: RunSpec = job.runs[0].spec
    return (spec.framework, spec.device, spec.dtype, spec.threads, job.alone)


def _join(a: Curve, b: Curve) -> Curve:
    lists = {name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in Curve.DTYPES}
    return Curve(**lists)


def _result(message: dict[str, Any]) -> RunResult:
    curve = Curve.from_lists(message["curve"]) if message["curve"] else None
    blocks = Blocks.from_lists(message["blocks"]) if message["blocks"] else None
    norms = Norms.from_lists(message["norms"]) if message["norms"] else None
    return RunResult(RunRecord.model_validate(message["record"]), curve, blocks, norms)
