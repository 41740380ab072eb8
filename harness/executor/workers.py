"""One worker process as the executor sees it: its job, its messages, its deadline."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..process import Child
from ..record import Blocks, Curve, Norms, RunRecord, RunResult
from ..worker.packed import fitting, unpacked
from . import Finished, Job, PlannedRun


class Nonsense(Exception):
    """A worker's message is none of ours: a user's code may have written it. The text shows it."""


class Said(NamedTuple):
    """A message that was understood, and its content: broken, started, progress (of a run), chunk
    (of a population), result, results (of a population) or done."""

    event: str
    run: PlannedRun | None = None
    step: int = 0
    reason: str = ""
    outgrown: bool = False
    finished: tuple[Finished, ...] = ()


class Key(NamedTuple):
    """The kind of runs that a process is started for. alone: for one job, pinned, by itself."""

    framework: str
    device: str
    dtype: str
    threads: int
    alone: bool


def key_of(job: Job) -> Key:
    """The key of workers for this job."""
    spec = job.runs[0].spec
    return Key(spec.framework, spec.device, spec.dtype, spec.threads, job.alone)


class Paced:
    """Something that was started and does one run after another. start_s: seconds of its start,
    infinite until it begins to work."""

    def __init__(self) -> None:
        self.start_s = float("inf")
        self._spawned = self._began = time.monotonic()
        self._done = 0

    def started(self) -> None:
        """It says that it begins with a job."""
        if self.start_s == float("inf"):
            self._began = time.monotonic()
            self.start_s = self._began - self._spawned

    def count(self, done: int) -> None:
        """So many runs more have ended."""
        if not self._done:
            self._began = time.monotonic()
        self._done += done

    def pace(self) -> float:
        """Seconds a run, without the first, which also imports and compiles.

        During the first it is 0, unless that takes longer than the start did."""
        since = time.monotonic() - self._began
        if self._done > 1 or since > self.start_s:
            return since / max(1, self._done - 1)
        return 0.0


def too_few(working: Sequence[Paced], waiting: int) -> bool:
    """Whether the waiting runs would take those at work longer than another one's start."""
    return any(each.pace() * waiting > len(working) * each.start_s for each in working)


class WorkerProcess(Paced):
    """A process and its job. slot: number of its share of the cores. gpu: its card of several, else
    ""."""

    def __init__(
        self,
        key: Key,
        slot: int,
        python: str,
        env: Mapping[str, str],
        hello: Mapping[str, Any],
        gpu: str = "",
    ) -> None:
        """hello: the first message to the worker, see gradrace.worker."""
        super().__init__()
        self.key = key
        self.slot, self.gpu = slot, gpu
        self.job: Job | None = None
        self.deadline = float("inf")
        self.ready = False
        self._pieces: list[Curve] = []
        self._finished: set[int] = set()
        self.child = Child([python, "-m", "gradrace.worker"], env)
        self.child.send(hello)

    def begin(self, job: Job, timeout_s: float) -> None:
        """Hands over a job; its runs' own time starts when the worker says so."""
        self.job, self._pieces, self._finished = job, [], set()
        self.allow(timeout_s)
        self.child.send({"runs": [_as_json(run) for run in job.runs], "lanes": job.lanes})

    def allow(self, seconds: float) -> None:
        """Moves the deadline to this many seconds from now."""
        self.deadline = time.monotonic() + seconds

    def read(self) -> list[dict[str, Any]]:
        """Whole messages; see `understand`."""
        messages = self.child.read()
        self.ready = self.ready or any(message.get("event") == "ready" for message in messages)
        return [message for message in messages if message.get("event") != "ready"]

    def understand(self, message: Mapping[str, Any]) -> Said:
        """The message, checked against the worker's job, and kept. Nonsense if it is not ours."""
        try:
            return self._understood(message)
        # Untrusted values fail wherever they are used first.
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
            event = str(message.get("event", "nothing"))[:40]
            reason = str(error).partition("\n")[0][:200]
            raise Nonsense(
                f"its message {event!r} is none: {type(error).__name__}: {reason}"
            ) from None

    def _understood(self, message: Mapping[str, Any]) -> Said:
        if self.job is None:
            raise ValueError("it has no job")
        event = message["event"]
        match event:
            case "started":
                return Said(event)
            case "broken":
                return Said(event, reason=str(message["reason"]))
            case "done":
                return Said(event, outgrown=message["outgrown"] is True)
            case "progress":
                return self._keep(message, self._run_of(message))
            case "chunk" if self.job.lanes:
                first = self.pending()[0]
                return Said(event, first, _step(message, first))
            case "result":
                return self._finish(message, self._run_of(message))
            case "results" if self.job.lanes:
                return self._finish_together(message)
        raise ValueError("no such event")

    def _finish_together(self, message: Mapping[str, Any]) -> Said:
        indices = message["indices"]
        runs = [self._run_at(index) for index in indices]
        if not runs or len(set(indices)) < len(indices):
            raise ValueError("it is of no runs, or of one twice")
        results = unpacked(message, runs)
        self._pieces = []
        self._finished.update(indices)
        self.count(len(runs))
        return Said("results", finished=tuple(map(Finished, runs, results)))

    def _run_of(self, message: Mapping[str, Any]) -> PlannedRun:
        return self._run_at(message["index"])

    def _run_at(self, index: Any) -> PlannedRun:
        assert self.job is not None, "messages are read with a job"
        if type(index) is not int or index < 0 or index in self._finished:
            raise ValueError(f"run {index!r} is not in flight")
        return self.job.runs[index]

    def _keep(self, message: Mapping[str, Any], run: PlannedRun) -> Said:
        """Adds a piece to the curve of the run in flight."""
        step = _step(message, run)
        piece = _columns(Curve, message["curve"])
        if not step:
            self._pieces = []
        self._pieces.append(piece)
        return Said("progress", run, step)

    @property
    def partial(self) -> Curve | None:
        """The curve so far of the run in flight."""
        return _joined(self._pieces) if self._pieces else None

    def _finish(self, message: Mapping[str, Any], run: PlannedRun) -> Said:
        """A run of the job with its record and its whole curve."""
        record = RunRecord.model_validate(message["record"])
        if record.digest != run.digest or record.spec != run.spec:
            raise ValueError(f"the record is that of another run, {record.digest}")
        pieces = list(self._pieces)
        if message["curve"]:
            pieces.append(_columns(Curve, message["curve"]))
        curve = _joined(pieces) if pieces and message["curve"] is not None else None
        blocks = _columns(Blocks, message["blocks"]) if message["blocks"] else None
        norms = _columns(Norms, message["norms"]) if message.get("norms") else None
        self._pieces = []
        self._finished.add(message["index"])
        self.count(1)
        return Said("result", finished=(Finished(run, RunResult(record, curve, blocks, norms)),))

    def pending(self) -> list[PlannedRun]:
        """The job's runs without a result, in order."""
        runs = self.job.runs if self.job else ()
        return [run for index, run in enumerate(runs) if index not in self._finished]

    def idle(self) -> None:
        """The job is done."""
        self.job, self.deadline = None, float("inf")

    def how_it_ended(self) -> str:
        """Signal or exit code, and its last line from before any run's log was opened."""
        return self.child.how_it_ended(printed=not self.ready)


def _step(message: Mapping[str, Any], run: PlannedRun) -> int:
    step = message["step"]
    if type(step) is not int or not 0 <= step <= run.spec.steps:
        raise ValueError(f"step {step!r} of {run.spec.steps}")
    return step


def _joined(pieces: Sequence[Curve]) -> Curve:
    """One curve of pieces in order. An empty array may lack the dimensions of the others."""
    columns = {name: [getattr(piece, name) for piece in pieces] for name in Curve.DTYPES}
    filled = {
        name: [array for array in arrays if array.size] or arrays[:1]
        for name, arrays in columns.items()
    }
    return Curve(**{name: np.concatenate(arrays) for name, arrays in filled.items()})


_C = TypeVar("_C", Blocks, Curve, Norms)


def _columns(kind: type[_C], lists: Any) -> _C:
    """Arrays from lists. ValueError: more than one dimension (points: two), or unequal lengths."""
    found = kind.from_lists(lists)
    arrays = {name: getattr(found, name) for name in kind.DTYPES}
    if any(array.ndim > (2 if name == "points" else 1) for name, array in arrays.items()):
        raise ValueError("its arrays have too many dimensions")
    return fitting(found)


def _as_json(run: PlannedRun) -> dict[str, Any]:
    return {
        "spec": run.spec.to_json(),
        "digest": run.digest,
        "versions": run.versions,
        "sources": run.sources,
        "log": str(run.log),
    }
