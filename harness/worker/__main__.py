"""The process that holds exactly one framework: `python -m gradrace.worker IN OUT`.

IN and OUT are file descriptors for JSON lines: in come a hello, then jobs. Standard output and
error belong to the run's log. The end of IN ends the process: no worker outlives its driver."""

from __future__ import annotations

import json
import math
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, BinaryIO

from .. import data
from ..adapter import Adapter, Session
from ..errors import UserError
from ..importpath import plugin_of, sources_of
from ..machine import gpu_gauges
from ..machine.energy import meter
from ..plan import RunInputs, initial_weights, make_plan
from ..record import Curve, RunResult
from ..registry import Registry, import_adapter, load_registry
from ..roles import refused
from ..schedules import SCHEDULES, same_rates
from ..sources import hash_of, is_as_planned
from ..spec import POPULATION, RunSpec
from . import clock, memory, resident, start
from .draft import Draft, Skip, reason_of, redirect_output
from .packed import packed, portions
from .populate import Member, train_together
from .train import train


class Worker:
    """Does runs with one adapter, which took `import_s` to load, and reports over a channel.

    beside: other workers may share the processor."""

    def __init__(
        self,
        registry: Registry,
        adapter: Adapter,
        out: BinaryIO,
        import_s: float = 0.0,
        beside: bool = False,
    ) -> None:
        self._registry = registry
        self._adapter = adapter
        self._out = out
        self._import_s = import_s
        self._beside = beside
        # Taken right after the files were loaded, before somebody edits them.
        self._hashes = {file: hash_of(file) for file in sources_of(registry.plugins)}
        # Of the last run's data set.
        self._data_bytes = 0
        # How many entries of each column of the present curve were sent as progress.
        self._sent: Counter[str] = Counter()

    def send(self, event: str, **content: Any) -> None:
        """One JSON line to the driver."""
        _send(self._out, event, **content)

    @cached_property
    def _versions(self) -> dict[str, str]:
        return self._adapter.versions()

    def do(
        self, runs: list[dict[str, Any]], memory_bytes: float = math.inf, lanes: int = 0
    ) -> bool:
        """A job: timing runs against each other, a population's in lanes, all others one by one.

        Ends early, with True, after a run that leaves more than memory_bytes beside its data:
        another worker would hold the data too."""
        drafts = [Draft(planned, self._versions, self._import_s) for planned in runs]
        if drafts[0].spec.measure == "timing":
            self.time(drafts)
            return False
        if lanes:
            self.populate(drafts, lanes)
            return self._outgrown(memory_bytes)
        work = {"convergence": self.converge, "memory": self.measure_memory}
        for index, draft in enumerate(drafts):
            draft.begin()
            work[draft.spec.measure](index, draft)
            if self._outgrown(memory_bytes):
                return True
        return False

    def _outgrown(self, memory_bytes: float) -> bool:
        return memory.private_bytes() > memory_bytes + self._data_bytes

    def converge(self, index: int, draft: Draft) -> None:
        """One convergence run, with progress after every chunk."""
        spec = draft.spec
        try:
            inputs = self._inputs(draft)
            draft.meter = meter(spec.device, self._beside)
            session = self._open(draft, inputs)
            progress = partial(self._progress, index)
            # A report may be made without the user's file.
            rates = None if spec.schedule.kind in SCHEDULES else inputs.learning_rates
            training = train(session, spec.task, progress, spec.schedule, spec.diagnose, rates)
            draft.state_bytes = session.state_bytes()
            session.close()
            self._result(index, draft.trained(training))
        except Exception as error:
            self._result(index, draft.unfinished(error))

    def populate(self, drafts: list[Draft], lanes: int) -> None:
        """Convergence runs of one shape, as many at once as there are lanes."""
        members: list[Member] = []
        for index, draft in enumerate(drafts):
            draft.begin()
            try:
                members.append(Member(index, draft, self._inputs(draft)))
            except Exception as error:
                self._result(index, draft.unfinished(error))
        for outcome in train_together(self._adapter, members, lanes, self._chunk, self._beside):
            if outcome.reason:
                (member,) = outcome.members
                member.draft.begin()
                member.draft.note = f"trained by itself: {outcome.reason}"
                self.converge(member.index, member.draft)
            else:
                pairs = zip(outcome.members, outcome.trainings, strict=True)
                self._results({m.index: m.draft.trained(training) for m, training in pairs})

    def _chunk(self, step: int) -> None:
        self.send("chunk", step=step)

    def _results(self, results: dict[int, RunResult]) -> None:
        """Those of a population, in as few messages as they fit into."""
        places = iter(results)
        for some in portions(list(results.values())):
            indices = [next(places) for _ in some]
            self.send("results", indices=indices, **packed(some))

    def measure_memory(self, index: int, draft: Draft) -> None:
        """One memory run, in a process that has done nothing before."""
        try:
            # Not counted: the data are in memory before.
            inputs = self._inputs(draft)
            session, found = memory.measure(draft.spec, lambda: self._open(draft, inputs))
            draft.state_bytes = session.state_bytes()
            session.close()
            self._result(index, draft.measured(found))
        except Exception as error:
            self._result(index, draft.unfinished(error))

    def time(self, drafts: list[Draft]) -> None:
        """All timing runs of a job against each other, also if one breaks."""
        opened: list[tuple[int, Draft, Session]] = []
        began = time.perf_counter()
        self._start(drafts)
        for index in start.turned([draft.spec for draft in drafts]):
            draft = drafts[index]
            try:
                opened.append((index, draft, self._open(draft, self._inputs(draft))))
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
        # The cells took turns: each has an equal share of the process's time.
        share = (self._import_s + time.perf_counter() - began) / len(opened)
        for (index, draft, session), cell in zip(opened, timed, strict=True):
            draft.share_s, draft.gauges = share, gauges
            self._result(index, self._outcome(draft, session, cell))

    def _start(self, drafts: Sequence[Draft]) -> None:
        """What no cell is to pay for the others."""
        redirect_output(drafts[0].log)
        runs, registry = [draft.spec for draft in drafts], self._registry
        mode, every = registry.frameworks[runs[0].framework].modes[0], registry.optimizers

        def inputs(run: RunSpec) -> RunInputs:
            optimizer = every[run.optimizer.name]
            if reason := refused(self._adapter, run, optimizer, every):
                raise Skip(reason)
            return make_plan(run, optimizer, registry.schedules, every)

        start_s = start.start(self._adapter, runs[0], mode, inputs)
        for draft in drafts:
            draft.start_s = start_s
        start.first_uses(self._adapter, runs, mode, inputs)

    def _outcome(
        self, draft: Draft, session: Session, cell: clock.CellTimes | Exception
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

    def _inputs(self, draft: Draft) -> RunInputs:
        """Skip if the framework cannot do the run, UserError if a user's file has changed."""
        redirect_output(draft.log)
        spec, registry = draft.spec, self._registry
        optimizer, kind = registry.optimizers[spec.optimizer.name], spec.schedule.kind
        own = [registry.optimizer_files[name] for name in spec.optimizer.names]
        for file in (*own, registry.schedule_files[kind]):
            if file in self._hashes and not is_as_planned(file, draft.sources, self._hashes[file]):
                raise UserError(
                    f"{file.name} was edited after this sweep was planned; run it again"
                )
        every = registry.optimizers
        if reason := refused(self._adapter, self._single(spec), optimizer, every):
            raise Skip(reason)
        data.expect(spec.task.data, draft.sources.get(f"data {spec.task.data}"))
        inputs = make_plan(spec, optimizer, registry.schedules, every)
        draft.data = inputs.data
        self._data_bytes = memory.data_bytes(inputs.data, spec.dtype)
        if not same_rates(spec.schedule, inputs.learning_rates, draft.sources):
            raise registry.schedules[kind].error(
                "other rates here than when the sweep was planned; a schedule must depend on its"
                " arguments alone"
            )
        return inputs

    def _open(self, draft: Draft, inputs: RunInputs) -> Session:
        spec = self._single(draft.spec)
        start = initial_weights(spec.task, spec.seed)
        draft.policy = self._adapter.policy(spec)
        began = time.perf_counter()
        session = self._adapter.open(spec, start, inputs)
        draft.setup_s = time.perf_counter() - began
        return session

    def _single(self, spec: RunSpec) -> RunSpec:
        """The run as it is trained by itself."""
        if spec.mode != POPULATION:
            return spec
        mode = self._registry.frameworks[spec.framework].convergence_mode
        return spec.model_copy(update={"mode": mode, "lanes": 1})

    def _progress(self, index: int, step: int, piece: Curve) -> None:
        lists = piece.to_lists()
        self._sent.update({name: len(entries) for name, entries in lists.items()})
        self.send("progress", index=index, step=step, curve=lists)

    def _result(self, index: int, result: RunResult) -> None:
        """Sends the record and its arrays, without the part of the curve that was sent before."""
        arrays = {"curve": result.curve, "blocks": result.blocks, "norms": result.norms}
        lists = {name: columns.to_lists() if columns else None for name, columns in arrays.items()}
        if curve := lists["curve"]:
            lists["curve"] = {name: sent[self._sent[name] :] for name, sent in curve.items()}
        self._sent.clear()
        self.send("result", index=index, record=result.record.to_json(), **lists)


def _named(gauges: dict[str, float], when: str) -> dict[str, float]:
    return {f"{name}_{when}": value for name, value in gauges.items()}


def _send(out: BinaryIO, event: str, **content: Any) -> None:
    out.write(json.dumps({"event": event, **content}).encode() + b"\n")
    out.flush()


def _pin(cores: list[int]) -> None:
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _read_messages(descriptor: int, messages: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Runs in a thread: a driver that dies closes the pipe, which must end a run as well."""
    with os.fdopen(descriptor, "rb") as lines:
        for line in lines:
            messages.put(json.loads(line))
    os._exit(0)


def _leave_signals_to_the_driver() -> None:
    """A scheduler that ends a job tells all its processes: the driver ends its workers, and a run
    must not count as failed before. Handlers, unlike SIG_IGN, are not inherited by programs that a
    user's code starts."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)


def main() -> None:
    """Serves one driver until it closes the pipe."""
    _leave_signals_to_the_driver()
    messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_messages, args=(int(sys.argv[1]), messages), daemon=True).start()
    out = os.fdopen(int(sys.argv[2]), "wb")
    hello = messages.get()
    _pin(hello["cores"])
    try:
        registry = load_registry([plugin_of(text) for text in hello["plugins"]])
        began = time.perf_counter()
        adapter = import_adapter(registry.frameworks[hello["framework"]])
        import_s, beside = time.perf_counter() - began, hello["beside"]
        worker = Worker(registry, adapter, out, import_s, beside)
        worker.send("ready")
    except BaseException as error:
        traceback.print_exception(error)
        _send(out, "broken", reason=reason_of(error))
        raise SystemExit(1) from error
    # Runs need room beside the framework, which alone may fill a small share of memory.
    memory_bytes = max(hello["memory_bytes"], 2 * resident.resident_bytes())
    with suppress(BrokenPipeError):
        while True:
            job = messages.get()
            worker.send("started")
            outgrown = worker.do(job["runs"], memory_bytes, job["lanes"])
            worker.send("done", outgrown=outgrown)


if __name__ == "__main__":
    main()
