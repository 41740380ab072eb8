"""The process that holds exactly one framework.

Started as `python -m gradrace.worker IN OUT` with two file descriptors: JSON lines come in on IN (a
hello, then jobs) and go out on OUT. Standard output and error belong to the run's log. The end of
IN ends the process, so no worker outlives its driver.
"""

from __future__ import annotations

import json
import math
import os
import queue
import sys
import threading
import time
import traceback
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

from ..adapter import Adapter, Session
from ..data import DataMissing
from ..errors import UserError
from ..machine import gpu_gauges, this_machine, usable_cores
from ..plan import RunInputs, initial_weights, make_plan
from ..plugins.absent import missing_package
from ..record import Curve, Memory, RunRecord, RunResult
from ..registry import Registry, import_adapter, load_registry
from ..schedules import SCHEDULES, same_rates
from ..sources import hash_of, is_as_planned
from ..spec import RunSpec
from . import clock, memory
from .train import Training, train


class Skip(Exception):
    """The framework cannot do this run; the message says why."""


class Worker:
    """Does runs with one adapter, which took `import_s` to load, and reports over a channel."""

    def __init__(
        self, registry: Registry, adapter: Adapter, out: BinaryIO, import_s: float = 0.0
    ) -> None:
        self._registry = registry
        self._adapter = adapter
        self._out = out
        self._import_s = import_s
        # Right after they were loaded, before somebody edits them.
        self._hashes = {file: hash_of(file) for file in registry.plugins} if registry else {}
        # How much of each column of the curve of the run in flight has been reported as progress.
        self._sent: Counter[str] = Counter()

    def send(self, event: str, **content: Any) -> None:
        """One JSON line to the driver."""
        self._out.write(json.dumps({"event": event, **content}).encode() + b"\n")
        self._out.flush()

    @cached_property
    def _versions(self) -> dict[str, str]:
        return self._adapter.versions()

    def do(self, runs: list[dict[str, Any]], memory_bytes: float = math.inf) -> bool:
        """A job: timing runs against each other, all others one by one.

        Ends before its last run, with True, after one that left more than memory_bytes resident.
        """
        drafts = [_Draft(planned, self._versions, self._import_s) for planned in runs]
        if drafts[0].spec.measure == "timing":
            self.time(drafts)
            return False
        work = {"convergence": self.converge, "memory": self.measure_memory}
        for index, draft in enumerate(drafts):
            draft.begin()
            work[draft.spec.measure](index, draft)
            if memory.resident_bytes() > memory_bytes:
                return True
        return False

    def converge(self, index: int, draft: _Draft) -> None:
        """One convergence run, with progress after every chunk."""
        spec = draft.spec
        try:
            plan = self._plan(draft)
            session = self._open(draft, plan)
            progress = partial(self._progress, index)
            # A report may be made when the user's file is not at hand.
            rates = None if spec.schedule.kind in SCHEDULES else plan.learning_rates
            training = train(session, spec.task, progress, spec.schedule, spec.diagnose, rates)
            draft.state_bytes = session.state_bytes()
            session.close()
            self._result(index, draft.trained(training))
        except Exception as error:
            self._result(index, draft.unfinished(error))

    def measure_memory(self, index: int, draft: _Draft) -> None:
        """One memory run, in a process that has done nothing before."""
        try:
            # The plan and its data are the harness's own, not the framework's: they stand in memory
            # before.
            plan = self._plan(draft)
            session, found = memory.measure(draft.spec, lambda: self._open(draft, plan))
            draft.state_bytes = session.state_bytes()
            session.close()
            self._result(index, draft.measured(found))
        except Exception as error:
            self._result(index, draft.unfinished(error))

    def time(self, drafts: list[_Draft]) -> None:
        """All timing runs of a job against each other; one that breaks leaves the others in the
        race.
        """
        opened: list[tuple[int, _Draft, Session]] = []
        began = time.perf_counter()
        for index, draft in enumerate(drafts):
            try:
                opened.append((index, draft, self._open(draft)))
            except Exception as error:
                self._result(index, draft.unfinished(error))
        if not opened:
            return
        first = opened[0][1].spec
        assert first.timing is not None, "a timing run states its timing"
        looped = [self._looped(draft.spec) for _, draft, _ in opened]
        read = gpu_gauges if first.device == "gpu" else dict
        before = read()
        timed = clock.time_cells([session for _, _, session in opened], first.timing, looped)
        gauges = _named(before, "before") | _named(read(), "after")
        # The cells took turns in one process: each has an equal share of its time.
        share = (self._import_s + time.perf_counter() - began) / len(opened)
        for (index, draft, session), cell in zip(opened, timed, strict=True):
            draft.share_s, draft.gauges = share, gauges
            self._result(index, self._outcome(draft, session, cell))

    def _outcome(
        self, draft: _Draft, session: Session, cell: clock.CellTimes | Exception
    ) -> RunResult:
        if isinstance(cell, Exception):
            return draft.unfinished(cell)
        try:
            draft.state_bytes = session.state_bytes()
            session.close()
        except Exception as error:
            return draft.unfinished(error)
        return draft.timed(cell)

    def _looped(self, spec: RunSpec) -> bool:
        return spec.mode in self._registry.frameworks[spec.framework].looped_modes

    def _plan(self, draft: _Draft) -> RunInputs:
        """What the run is to do. Skip where the framework cannot do it."""
        _redirect_output(draft.log)
        optimizer = self._registry.optimizers[draft.spec.optimizer.name]
        kind = draft.spec.schedule.kind
        for file in (
            self._registry.optimizer_files[optimizer.name],
            self._registry.schedule_files[kind],
        ):
            if file in self._hashes and not is_as_planned(file, draft.sources, self._hashes[file]):
                raise UserError(
                    f"{file.name} was edited after this sweep was planned; run it again"
                )
        reason = self._adapter.supports(draft.spec, optimizer)
        if reason:
            raise Skip(reason)
        plan = make_plan(draft.spec, optimizer, self._registry.schedules)
        if not same_rates(draft.spec.schedule, plan.learning_rates, draft.sources):
            raise self._registry.schedules[kind].error(
                "other rates here than when the sweep was planned; a schedule must depend on its"
                " arguments alone"
            )
        return plan

    def _open(self, draft: _Draft, plan: RunInputs | None = None) -> Session:
        spec, plan = draft.spec, plan or self._plan(draft)
        start = initial_weights(spec.task, spec.seed)
        draft.policy = self._adapter.policy(spec)
        began = time.perf_counter()
        session = self._adapter.open(spec, start, plan)
        draft.setup_s = time.perf_counter() - began
        return session

    def _progress(self, index: int, step: int, piece: Curve) -> None:
        lists = piece.to_lists()
        self._sent.update({name: len(entries) for name, entries in lists.items()})
        self.send("progress", index=index, step=step, curve=lists)

    def _result(self, index: int, result: RunResult) -> None:
        """The record and what has not been reported of its arrays."""
        arrays = {"curve": result.curve, "blocks": result.blocks, "norms": result.norms}
        lists = {name: columns.to_lists() if columns else None for name, columns in arrays.items()}
        if lists["curve"]:
            lists["curve"] = {
                name: entries[self._sent[name] :] for name, entries in lists["curve"].items()
            }
        self._sent.clear()
        self.send("result", index=index, record=result.record.to_json(), **lists)


class _Draft:
    """A record in the making."""

    def __init__(self, planned: dict[str, Any], versions: dict[str, str], import_s: float) -> None:
        self.spec = spec = RunSpec.model_validate(planned["spec"])
        self.sources: dict[str, str] = planned["sources"]
        self.log = Path(planned["log"])
        self.setup_s: float | None = None
        self.state_bytes: int | None = None
        self.share_s: float | None = None
        self.policy: dict[str, str] = {}
        self.gauges: dict[str, float] = {}
        self._fixed = {
            "digest": planned["digest"],
            "spec": spec,
            "import_s": import_s,
            "versions": {**planned["versions"], **versions},
            "sources": planned["sources"],
            "machine": this_machine(),
            "cores": usable_cores(),
        }
        self.begin()

    def begin(self) -> None:
        """The run's own time starts now."""
        self._began, self._started_at = (
            time.perf_counter(),
            datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    def trained(self, training: Training) -> RunResult:
        record = self._record(
            status=training.status, reason=training.reason, summary=training.summary
        )
        return RunResult(record, curve=training.curve, norms=training.norms)

    def timed(self, cell: clock.CellTimes) -> RunResult:
        first = {"first_call_s": cell.first_call_s, "first_call_steps": cell.first_call_steps}
        return RunResult(self._record(status="ok", **first), blocks=cell.blocks)

    def measured(self, found: Memory) -> RunResult:
        return RunResult(self._record(status="ok", memory=found))

    def unfinished(self, error: Exception) -> RunResult:
        """Skipped for a stated reason, or failed with the error's last line; the whole traceback
        goes to the log.
        """
        if isinstance(error, Skip | DataMissing):
            return RunResult(self._record(status="skipped", reason=str(error)))
        if package := missing_package(error):
            return RunResult(self._record(status="skipped", reason=f"not installed: {package}"))
        # Of cells that were timed together, each has its own log.
        _redirect_output(self.log)
        traceback.print_exception(error)
        sys.stderr.flush()
        return RunResult(self._record(status="failed", reason=_reason(error)))

    def _record(self, **outcome: Any) -> RunRecord:
        wall = self.share_s if self.share_s is not None else time.perf_counter() - self._began
        found = {
            "started_at": self._started_at,
            "setup_s": self.setup_s,
            "state_bytes": self.state_bytes,
            "wall_s": wall,
            "policy": self.policy,
            "gauges": self.gauges,
        }
        return RunRecord(**{**self._fixed, **found, **outcome})


def _reason(error: BaseException) -> str:
    """Errors that a user can mend say it all; of others the kind counts as well."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _named(gauges: dict[str, float], when: str) -> dict[str, float]:
    return {f"{name}_{when}": value for name, value in gauges.items()}


def _redirect_output(log: Path) -> None:
    """File descriptors 1 and 2, which native code writes to as well, to this file."""
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    os.close(target)


def _pin(cores: list[int]) -> None:
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _read_messages(descriptor: int, messages: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Runs in a thread: a driver that dies closes the pipe, and then this process must end in
    mid-run too.
    """
    with os.fdopen(descriptor, "rb") as lines:
        for line in lines:
            messages.put(json.loads(line))
    os._exit(0)


def main() -> None:
    """Serves one driver until it closes the pipe."""
    messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_messages, args=(int(sys.argv[1]), messages), daemon=True).start()
    out = os.fdopen(int(sys.argv[2]), "wb")
    hello = messages.get()
    _pin(hello["cores"])
    try:
        registry = load_registry([Path(file) for file in hello["plugins"]])
        began = time.perf_counter()
        adapter = import_adapter(registry.frameworks[hello["framework"]])
        worker = Worker(registry, adapter, out, time.perf_counter() - began)
        worker.send("ready")
    except BaseException as error:
        traceback.print_exception(error)
        Worker(None, None, out).send("broken", reason=_reason(error))  # type: ignore[arg-type]
        raise SystemExit(1) from error
    # A framework alone may fill a small share of memory; runs must then have room beside it.
    memory_bytes = max(hello["memory_bytes"], 2 * memory.resident_bytes())
    with suppress(BrokenPipeError):
        while True:
            job = messages.get()
            worker.send("started")
            outgrown = worker.do(job["runs"], memory_bytes)
            worker.send("done", outgrown=outgrown)


if __name__ == "__main__":
    main()
