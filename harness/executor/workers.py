"""One worker process as the executor sees it: what it is given, what it has said, how long it may take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..process import Child
from ..record import Blocks, Curve, Norms, RunRecord, RunResult
from . import Job, PlannedRun


class Key(NamedTuple):
    """What a worker's process is started for. alone: for one job, pinned, with nothing beside it."""

    framework: str
    device: str
    dtype: str
    threads: int
    alone: bool


def key_of(job: Job) -> Key:
    """What the worker of this job must have been started for."""
    spec = job.runs[0].spec
    return Key(spec.framework, spec.device, spec.dtype, spec.threads, job.alone)


class WorkerProcess:
    """A process with the job that it does. slot: which share of the cores it has. start_s: how long its start took, once
    it has begun to work."""

    def __init__(self, key: Key, slot: int, python: str, env: Mapping[str, str], hello: Mapping[str, Any]) -> None:
        """hello: what the worker is told first, see gradrace.worker."""
        self.key = key
        self.slot = slot
        self.job: Job | None = None
        self.deadline = float("inf")
        self.ready = False
        self.start_s = float("inf")
        self._spawned = self._began = time.monotonic()
        self._done = 0
        self._pieces: list[Curve] = []
        self._finished: set[int] = set()
        self.child = Child([python, "-m", "gradrace.worker"], env)
        self.child.send(hello)

    def begin(self, job: Job, timeout_s: float) -> None:
        """Hands over a job; its runs' own time starts when the worker says so."""
        self.job, self._pieces, self._finished = job, [], set()
        self.allow(timeout_s)
        self.child.send({"runs": [_as_json(run) for run in job.runs]})

    def started(self) -> None:
        """The worker says that it begins with a job."""
        if self.start_s == float("inf"):
            self._began = time.monotonic()
            self.start_s = self._began - self._spawned

    def pace(self) -> float:
        """Seconds a run. Without the first one, which also imports and compiles; while it goes on, 0 unless it takes longer
        than the start did."""
        since = time.monotonic() - self._began
        if self._done > 1 or since > self.start_s:
            return since / max(1, self._done - 1)
        return 0.0

    def allow(self, seconds: float) -> None:
        """Moves the deadline to this many seconds from now."""
        self.deadline = time.monotonic() + seconds

    def read(self) -> list[dict[str, Any]]:
        """Whole messages that have come."""
        messages = self.child.read()
        self.ready = self.ready or any(message["event"] == "ready" for message in messages)
        return [message for message in messages if message["event"] != "ready"]

    def keep(self, message: Mapping[str, Any]) -> None:
        """Adds a piece to the curve of the run in flight."""
        if not message["step"]:
            self._pieces = []
        self._pieces.append(Curve.from_lists(message["curve"]))

    @property
    def partial(self) -> Curve | None:
        """What is known of the curve of the run in flight."""
        return _joined(self._pieces) if self._pieces else None

    def finish(self, message: Mapping[str, Any]) -> tuple[PlannedRun, RunResult]:
        """A run of the job with its result: its record, and with the pieces that came before, its curve."""
        assert self.job is not None, "results belong to a job"
        index = message["index"]
        self._finished.add(index)
        self._done += 1
        if self._done == 1:
            self._began = time.monotonic()
        pieces, self._pieces = self._pieces, []
        if message["curve"]:
            pieces.append(Curve.from_lists(message["curve"]))
        curve = _joined(pieces) if pieces and message["curve"] is not None else None
        blocks = Blocks.from_lists(message["blocks"]) if message["blocks"] else None
        norms = Norms.from_lists(message["norms"]) if message.get("norms") else None
        record = RunRecord.model_validate(message["record"])
        return self.job.runs[index], RunResult(record, curve, blocks, norms)

    def pending(self) -> list[PlannedRun]:
        """The job's runs without a result, in order."""
        return [run for index, run in enumerate(self.job.runs) if index not in self._finished] if self.job else []

    def idle(self) -> None:
        """The job is done."""
        self.job, self.deadline = None, float("inf")

    def how_it_ended(self) -> str:
        """Signal or exit code, and the last line it printed before any run's log was opened."""
        return self.child.exit_status() if self.ready else self.child.how_it_ended()


def _joined(pieces: Sequence[Curve]) -> Curve:
    """One curve of pieces in order. An empty array may lack the dimensions of the others."""
    columns = {name: [getattr(piece, name) for piece in pieces] for name in Curve.DTYPES}
    filled = {name: [array for array in arrays if array.size] or arrays[:1] for name, arrays in columns.items()}
    return Curve(**{name: np.concatenate(arrays) for name, arrays in filled.items()})


def _as_json(run: PlannedRun) -> dict[str, Any]:
    return {
        "spec": run.spec.to_json(), "digest": run.digest, "versions": run.versions, "sources": run.sources,
        "log": str(run.log),
    }  # fmt: skip
