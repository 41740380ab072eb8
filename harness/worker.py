"""The process that holds exactly one framework.

Started as `python -m gradrace.worker IN OUT` with two file descriptors: JSON lines come in on IN (a hello, then jobs)
and go out on OUT. Standard output and error belong to the run's log. The end of IN ends the process, so no worker
outlives its driver.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from . import clock
from .adapter import Adapter, Session
from .data import DataMissing
from .machine import this_machine, usable_cores
from .plan import initial_weights, make_plan
from .record import Curve, RunRecord, RunResult
from .registry import Registry, import_adapter, load_registry
from .spec import RunSpec
from .train import Training, train


class Skip(Exception):
    """The framework cannot do this run; the message says why."""


class Worker:
    """Does runs with one adapter and reports over a channel."""

    def __init__(self, registry: Registry, adapter: Adapter, out: BinaryIO) -> None:
        self._registry = registry
        self._adapter = adapter
        self._out = out

    def send(self, event: str, **content: Any) -> None:
        """One JSON line to the driver."""
        self._out.write(json.dumps({"event": event, **content}).encode() + b"\n")
        self._out.flush()

    def converge(self, index: int, planned: dict[str, Any]) -> None:
        """One convergence run, with progress after every chunk."""
        spec = RunSpec.model_validate(planned["spec"])
        draft = _Draft(spec, planned, self._adapter)
        try:
            session = self._open(spec, draft)
            training = train(session, spec.task, lambda step, piece: self._progress(index, step, piece), spec.schedule)
            draft.state_bytes = session.state_bytes()
            session.close()
            self._result(index, draft.trained(training))
        except Exception as error:
            self._result(index, draft.unfinished(error))

    def time(self, runs: list[dict[str, Any]]) -> None:
        """All timing runs of a job against each other; one that cannot be opened leaves the others in the race."""
        opened: list[tuple[int, _Draft, Session]] = []
        for index, planned in enumerate(runs):
            spec = RunSpec.model_validate(planned["spec"])
            draft = _Draft(spec, planned, self._adapter)
            try:
                opened.append((index, draft, self._open(spec, draft)))
            except Exception as error:
                self._result(index, draft.unfinished(error))
        if not opened:
            return
        timing = opened[0][1].spec.timing
        assert timing is not None, "a timing run states its timing"
        try:
            timed = clock.time_cells([session for _, _, session in opened], timing)
        except Exception as error:
            for index, draft, _ in opened:
                self._result(index, draft.unfinished(error))
            return
        for (index, draft, session), cell in zip(opened, timed, strict=True):
            draft.state_bytes = session.state_bytes()
            self._result(index, draft.timed(cell))
            session.close()

    def _open(self, spec: RunSpec, draft: _Draft) -> Session:
        _redirect_output(draft.log)
        optimizer = self._registry.optimizers[spec.optimizer.name]
        reason = self._adapter.supports(spec, optimizer)
        if reason:
            raise Skip(reason)
        plan, start = make_plan(spec, optimizer), initial_weights(spec.task, spec.seed)
        began = time.perf_counter()
        session = self._adapter.open(spec, start, plan)
        draft.setup_s = time.perf_counter() - began
        return session

    def _progress(self, index: int, step: int, piece: Curve) -> None:
        self.send("progress", index=index, step=step, curve=piece.to_lists())

    def _result(self, index: int, result: RunResult) -> None:
        curve = result.curve.to_lists() if result.curve else None
        blocks = result.blocks.to_lists() if result.blocks else None
        self.send("result", index=index, record=result.record.to_json(), curve=curve, blocks=blocks)


class _Draft:
    """A record in the making."""

    def __init__(self, spec: RunSpec, planned: dict[str, Any], adapter: Adapter) -> None:
        self.spec = spec
        self.log = Path(planned["log"])
        self.setup_s: float | None = None
        self.state_bytes: int | None = None
        self._began = time.perf_counter()
        self._fixed = {
            "digest": planned["digest"],
            "spec": spec,
            "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "versions": {**planned["versions"], **adapter.versions()},
            "sources": planned["sources"],
            "machine": this_machine(),
            "cores": usable_cores(),
        }

    def trained(self, training: Training) -> RunResult:
        record = self._record(status=training.status, reason=training.reason, summary=training.summary)
        return RunResult(record, curve=training.curve)

    def timed(self, cell: clock.Timed) -> RunResult:
        return RunResult(self._record(status="ok", first_call_s=cell.first_call_s), blocks=cell.blocks)

    def unfinished(self, error: Exception) -> RunResult:
        """Skipped for a stated reason, or failed with the error's last line; the whole traceback goes to the log."""
        if isinstance(error, Skip | DataMissing):
            return RunResult(self._record(status="skipped", reason=str(error)))
        traceback.print_exception(error)
        sys.stderr.flush()
        return RunResult(self._record(status="failed", reason=f"{type(error).__name__}: {error}"))

    def _record(self, **outcome: Any) -> RunRecord:
        measured = {
            "setup_s": self.setup_s, "state_bytes": self.state_bytes, "wall_s": time.perf_counter() - self._began,
        }  # fmt: skip
        return RunRecord(**{**self._fixed, **measured, **outcome})


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
    """Runs in a thread: a driver that dies closes the pipe, and then this process must end in mid-run too."""
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
        adapter = import_adapter(registry.frameworks[hello["framework"]])
        worker = Worker(registry, adapter, out)
        worker.send("ready")
    except BaseException as error:
        traceback.print_exception(error)
        Worker(None, None, out).send("broken", reason=f"{type(error).__name__}: {error}")  # type: ignore[arg-type]
        raise SystemExit(1) from error
    with suppress(BrokenPipeError):
        while True:
            job = messages.get()
            worker.send("started")
            if job["timing"]:
                worker.time(job["runs"])
            else:
                for index, planned in enumerate(job["runs"]):
                    worker.converge(index, planned)
            worker.send("done")


if __name__ == "__main__":
    main()
