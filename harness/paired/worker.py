"""The process of one side: `python -P worker.py IN OUT`, two file descriptors.

Interface between commits: the driver starts this file from its own source, while `gradrace` is the
side's, perhaps older. Each import from it is marked, and
tests/core/test_interface_between_commits.py lists them all. Newer methods of sessions are used if
they are there.

JSON lines come in on IN: a hello {framework, plugins, slowdown}, then requests. Each is answered on
OUT by one line whose `event` is `done`, or `skipped` (the side cannot do this run) or `failed` with
a reason. The end of IN ends the process.

    {"do": "pin", cores}                 every thread of the process to these cores
    {"do": "open", spec}                 a cell's session; cells are counted from 0. -> parts
    {"do": "first"}                      the first call, which compiles -> wall_ns, cpu_ns, switches
    {"do": "grow", spec, steps}          opens a session and takes these steps -> bytes by which the
                                         resident set grew at its peak, device_bytes (or null)
    {"do": "try"}                        first calls, then how long a step takes -> step_s
    {"do": "warm", block_steps, steps}   at least so many steps, in whole blocks; then the slowdown
                                         is set up
    {"do": "block", part}                one timed block -> wall_ns, cpu_ns, switches
    {"do": "check"}                      after the timed blocks: it trained, and compiled nothing
    {"do": "profile", file, steps, folder}  further steps under the profiler in `file`, "" for none;
                                         it writes traces into the folder -> profile
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# If one step is too short to be timed: steps of a longer try, and how many such tries are timed.
_TRIED_STEPS, _TRIES = 16, 3
_SHORTEST_TRY_S = 0.02
# Self-contained, and the driver's own: both sides are measured by one method.
_RESIDENT = Path(__file__).parents[1] / "worker" / "resident.py"
# Blocks that measure a step before it is slowed down; measure.table_steps counts them in.
SLOWDOWN_BLOCKS = 9
# Steps of `try` at most: the first call, one step, then one longer try untimed and the timed ones.
TRY_STEPS = 2 + (1 + _TRIES) * _TRIED_STEPS


class TimedSession:
    """One session being timed; it takes its steps in order."""

    def __init__(self, session: Any, one_thread: bool) -> None:
        self._session = session
        # One thread is slowed by CPU time: the share then holds whatever else runs on the core.
        by_cpu, by_wall = ("cpu_ns", time.thread_time_ns), ("wall_ns", time.perf_counter_ns)
        self._busy = by_cpu if one_thread else by_wall
        self._next = 0
        self._block_steps = 0
        self._delay_ns = 0
        self._before: Any = None
        self._compiled = 0

    def parts(self) -> list[str]:
        """Parts of a step that can be timed alone."""
        return list(getattr(self._session, "parts", tuple)())

    def first(self) -> dict[str, int]:
        """The first call, with its compilation."""
        return self._train(1)

    def grow(self, steps: int) -> int | None:
        """Takes these steps; the peak of the device's memory, None if it is not counted."""
        self._train(steps)
        # Older sessions do not count it.
        peak: int | None = getattr(self._session, "peak_bytes", lambda: None)()
        return peak

    def try_(self) -> dict[str, float]:
        """Seconds of the first call with its compilation, and roughly of a later step."""
        first = self._seconds(1)
        step = self._seconds(1)
        if step * _TRIED_STEPS < _SHORTEST_TRY_S:
            # The first is not timed: it may compile a program for this length. The fastest counts:
            # a disturbed try would make all blocks of the comparison too short.
            self._seconds(_TRIED_STEPS)
            step = min(self._seconds(_TRIED_STEPS) for _ in range(_TRIES)) / _TRIED_STEPS
        return {"first_call_s": first, "step_s": step}

    def warm(self, block_steps: int, steps: int, slowdown: float) -> dict[str, float]:
        """Untimed blocks; afterwards nothing compiles."""
        self._block_steps = block_steps
        for _ in range(-(-steps // block_steps)):
            self._seconds(block_steps)
        if slowdown:
            taken = [self._train(block_steps)[self._busy[0]] for _ in range(SLOWDOWN_BLOCKS)]
            self._delay_ns = int(slowdown * np.percentile(taken, 25))
        self._before, self._compiled = self._session.weights(), self._compilations()
        return {"delay_ns": self._delay_ns}

    def block(self, part: str) -> dict[str, int]:
        """One block, synchronised at its ends only."""
        if part == "step":
            return self._train(self._block_steps, self._delay_ns)
        steps = range(self._block_steps)
        return _timed(lambda: self._session.probe(part, steps), self._session.sync)

    def check(self) -> dict[str, Any]:
        """RuntimeError if the timed steps were no training."""
        after = self._session.weights()
        if all(np.array_equal(after[name], self._before[name]) for name in after):
            raise RuntimeError(
                "the weights did not change during the timed steps: nothing was trained"
            )
        compiled = self._compilations() - self._compiled
        if compiled:
            raise RuntimeError(f"{compiled} programs were compiled during the timed steps")
        return {}

    def profile(self, file: str, count: int, folder: str) -> dict[str, Any]:
        """What the profiler finds in the next steps. It may take one more, which is not timed. One
        that breaks costs its findings only."""
        steps, compiled, taken = range(self._next, self._next + count), self._compilations(), []
        self._next += count + 1

        def timed(do: Any, *given: Any) -> None:
            began = time.perf_counter()
            do(*given)
            taken.append(time.perf_counter() - began)

        def train(part: range) -> None:
            timed(self._session.train, part) if part.stop <= steps.stop else self._session.train(
                part
            )

        sync = partial(timed, self._session.sync)
        try:
            found = _module(file).profile(train, sync, steps, Path(folder)) if file else {}
        except Exception as error:
            found = {
                "notes": [f"the profiler failed: {type(error).__name__}: {_first_line(error)}"]
            }
        if not file:
            train(steps)
            sync()
        self._session.losses()
        counts = {"compilations": (self._compilations() - compiled) / count}
        found["counts"] = {**counts, **found.get("counts", {})}
        # If steps came one by one: without the few that compiled, or in which others had the core.
        each = float(np.median(taken)) if len(taken) > count else sum(taken) / count
        return {**found, "steps": count, "wall_s": each}

    def _seconds(self, count: int) -> float:
        return self._train(count)["wall_ns"] * 1e-9

    def _train(self, count: int, delay_ns: int = 0) -> dict[str, int]:
        steps = range(self._next, self._next + count)
        self._next += count

        def enqueue() -> None:
            self._session.train(steps)
            if delay_ns:
                self._spin(delay_ns)

        timed = _timed(enqueue, self._session.sync)
        # Fetching the losses is not timed; keeping them is part of the step.
        self._session.losses()
        return timed

    def _spin(self, delay_ns: int) -> None:
        """Keeps the core busy after the device has finished, so that nothing overlaps."""
        self._session.sync()
        clock = self._busy[1]
        end = clock() + delay_ns
        while clock() < end:
            pass

    def _compilations(self) -> int:
        return int(getattr(self._session, "compilations", lambda: 0)())


class Skip(Exception):
    """This side cannot do the run; the message says why."""


class Worker:
    """Answers requests with one adapter."""

    def __init__(self, hello: dict[str, Any]) -> None:
        from gradrace.registry import import_adapter, load_registry  # between commits

        self._registry = load_registry([Path(file) for file in hello["plugins"]])
        framework = self._registry.frameworks.get(hello["framework"])
        if framework is None or framework.versions() is None:
            raise Skip(f"{hello['framework']} is not installed for {sys.executable}")
        self._adapter = import_adapter(framework)
        self._slowdown = float(hello["slowdown"])
        self._sessions: dict[int, TimedSession] = {}

    def about(self) -> dict[str, Any]:
        """The versions and the source of this side, for the result."""
        versions = {"python": ".".join(map(str, sys.version_info[:3])), **self._adapter.versions()}
        source = str(importlib.import_module("gradrace").__file__)
        return {"versions": versions, "gradrace": str(Path(source).parent)}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request, or why there is none."""
        try:
            return {"event": "done", **self._do(request)}
        except Exception as error:
            return _refusal(error)

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "pin":
            return _pin(request["cores"])
        if request["do"] == "open":
            session = self._sessions[request["cell"]] = self._ready(request["spec"])()
            return {"parts": session.parts()}
        if request["do"] == "grow":
            return self._grow(request["spec"], request["steps"])
        session = self._sessions[request["cell"]]
        match request["do"]:
            case "first":
                return session.first()
            case "try":
                return session.try_()
            case "warm":
                return session.warm(request["block_steps"], request["steps"], self._slowdown)
            case "block":
                return session.block(request["part"])
            case "check":
                return session.check()
            case "profile":
                file, folder = request["file"], request["folder"]
                return {"profile": session.profile(file, request["steps"], folder)}
        raise ValueError(f"no request {request['do']!r}")

    def _grow(self, spec: dict[str, Any], steps: int) -> dict[str, Any]:
        """Data, weights and plan are in memory before, and are not counted."""
        ready, on_device = self._ready(spec), []
        before, peak, method = _resident().peak_during(
            lambda: on_device.append(ready().grow(steps))
        )
        return {"bytes": peak - before, "device_bytes": on_device[0], "method": method}

    def _ready(self, spec: dict[str, Any]) -> Callable[[], TimedSession]:
        """All that the harness prepares; the call opens the session."""
        from gradrace.plan import initial_weights, make_plan  # between commits
        from gradrace.spec import RunSpec  # between commits

        run = RunSpec.model_validate(spec)
        optimizer = self._registry.optimizers.get(run.optimizer.name)
        if optimizer is None:
            raise Skip(f"there is no optimizer {run.optimizer.name!r} here")
        if reason := self._reason(run, optimizer):
            raise Skip(reason)
        # An older registry has no schedules of the user's.
        known: list[Any] = (
            [self._registry.schedules] if hasattr(self._registry, "schedules") else []
        )
        if getattr(run.optimizer, "groups", ()):
            known.append(self._registry.optimizers)
        plan, start = make_plan(run, optimizer, *known), initial_weights(run.task, run.seed)
        one_thread = run.device == "cpu" and run.threads == 1
        return lambda: TimedSession(self._adapter.open(run, start, plan), one_thread)

    def _reason(self, run: Any, optimizer: Any) -> str | None:
        """Why the adapter cannot do the run, or None."""
        if not getattr(run.optimizer, "groups", ()):
            reason: str | None = self._adapter.supports(run, optimizer)
            return reason
        from gradrace.roles import refused  # between commits

        return refused(self._adapter, run, optimizer, self._registry.optimizers)


def _resident() -> Any:
    spec = importlib.util.spec_from_file_location("gradrace_resident", _RESIDENT)
    assert spec and spec.loader, "the driver's source has this file"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _refusal(error: BaseException) -> dict[str, Any]:
    # By name: an older gradrace may lack the classes.
    if isinstance(error, Skip) or type(error).__name__ in ("DataMissing", "Unsupported"):
        return {"event": "skipped", "reason": str(error)}
    if package := _missing_package(error):
        return {"event": "skipped", "reason": f"not installed: {package}"}
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return {"event": "failed", "reason": f"{type(error).__name__}: {_first_line(error)}{where}"}


def _missing_package(error: BaseException) -> str | None:
    """As gradrace.plugins.absent, which an older gradrace lacks."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    top = error.name.partition(".")[0]
    try:
        return None if top in sys.modules or importlib.util.find_spec(top) else top
    except (ImportError, ValueError):
        return None


def _module(file: str) -> Any:
    """The module in a file of the driver's, under a name of its own."""
    spec = importlib.util.spec_from_file_location("gradrace_profiling", file)
    assert spec and spec.loader, "a path of a Python file"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _timed(enqueue: Any, sync: Any) -> dict[str, int]:
    before = time.perf_counter_ns(), time.process_time_ns(), _involuntary_switches()
    enqueue()
    sync()
    after = time.perf_counter_ns(), time.process_time_ns(), _involuntary_switches()
    wall_ns, cpu_ns, switches = (b - a for a, b in zip(before, after, strict=True))
    return {"wall_ns": wall_ns, "cpu_ns": cpu_ns, "switches": switches}


def _pin(cores: list[int]) -> dict[str, Any]:
    """All threads, also those that a framework's import started; later ones inherit it."""
    if hasattr(os, "sched_setaffinity"):
        tasks = Path("/proc/self/task")
        for thread in [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]:
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, cores)
    return {}


def _involuntary_switches() -> int:
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")


def _read_messages(descriptor: int, messages: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Runs in a thread: if the driver dies, the pipe closes, and this process ends in mid-step."""
    with os.fdopen(descriptor, "rb") as lines:
        for line in lines:
            messages.put(json.loads(line))
    os._exit(0)


def _send(out: BinaryIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


def main() -> None:
    """Serves one driver until it closes the pipe."""
    messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_messages, args=(int(sys.argv[1]), messages), daemon=True).start()
    out = os.fdopen(int(sys.argv[2]), "wb")
    try:
        worker = Worker(messages.get())
    except BaseException as error:
        _send(out, _refusal(error))
        raise SystemExit(1) from error
    _send(out, {"event": "done", **worker.about()})
    with suppress(BrokenPipeError):
        while True:
            _send(out, worker.answer(messages.get()))


if __name__ == "__main__":
    main()
