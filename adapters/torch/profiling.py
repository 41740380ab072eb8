"""Operators, parts, counts and traces of a step of PyTorch, by torch.profiler.

Self-contained: the driver starts this file inside a process whose gradrace may be older. It imports
torch, NumPy and the standard library only."""

from __future__ import annotations

import inspect
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, record_function
from torch.utils._python_dispatch import TorchDispatchMode

_STEP = "ProfilerStep"
_BACKWARD = "autograd::engine::evaluate_function"
_OPTIMIZER = "Optimizer."
_READS = ("aten::_local_scalar_dense", "aten::nonzero")
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
_COPIES = ("aten::copy_", "aten::_copy_from")
_COMPILED = "(torch.compile: compiling)"
_BYTES = {
    **dict.fromkeys(("double", "long int", "long", "c10::complex<float>"), 8),
    **dict.fromkeys(("c10::BFloat16", "c10::Half", "short", "short int"), 2),
    **dict.fromkeys(("bool", "unsigned char", "signed char"), 1),
}


def profile(
    train: Callable[[range], None], sync: Callable[[], None], steps: range, folder: Path
) -> dict[str, Any]:
    """Trains these steps under the profiler, and one more to see where each call comes from.

    Writes a trace for Perfetto or chrome://tracing. Figures are a step's, seconds and bytes."""
    gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    before = _Compiler()
    with torch.profiler.profile(
        activities=kinds, record_shapes=True, profile_memory=True, **_kept_events()
    ) as found:
        for step in steps:
            with record_function(f"{_STEP}#{step}"):
                train(range(step, step + 1))
        sync()
    events = list(found.events() or ())
    compiler = _Compiler()
    notes: list[str] = []
    sources = _sources(train, steps.stop, notes)
    traces = _traces(found, folder, notes)
    if not events:
        notes.append("torch's profiler recorded nothing")
    count = len(steps)
    ops = _ops(events, count, gpu, sources)
    if seconds := compiler.seconds - before.seconds:
        # Compiling happens outside of all operations.
        ops.append(_op(_COMPILED, "", 0.0, seconds / count, None, None, ""))
    counts = _counts(events, count, gpu)
    counts["compilations"] = (compiler.graphs - before.graphs) / count
    counts["graph_breaks"] = compiler.breaks
    return {"ops": ops, "counts": counts, "traces": traces, "notes": notes + compiler.notes(before)}


def _kept_events() -> dict[str, Any]:
    """Older releases have no such argument, and need none."""
    known = inspect.signature(torch.profiler.profile).parameters
    return {"acc_events": True} if "acc_events" in known else {}


class _Compiler:
    """torch.compile in this process so far: graphs, graph breaks, seconds, and reasons of each
    compilation after the first of a function."""

    def __init__(self) -> None:
        self.graphs, self.breaks, self.seconds = 0, 0, 0.0
        self.reasons: list[str] = []
        utils: Any = sys.modules.get("torch._dynamo.utils")
        if utils is None:
            return
        # Private: absent or changed in other releases.
        with suppress(Exception):
            self.graphs = int(utils.counters["stats"]["unique_graphs"])
            self.breaks = int(sum(utils.counters["graph_break"].values()))
        with suppress(Exception):
            for each in utils.get_compilation_metrics():
                self.seconds += float(getattr(each, "entire_frame_compile_time_s", None) or 0.0)
                reason = getattr(each, "recompile_reason", None)
                self.reasons.append(str(reason or ""))

    def notes(self, before: _Compiler) -> list[str]:
        new = [reason for reason in self.reasons[len(before.reasons) :] if reason]
        return [f"torch.compile says why: {' '.join(new[-1].split())[:300]}"] if new else []


def _op(
    name: str,
    part: str,
    calls: float,
    host_s: float,
    device_s: float | None,
    allocated: float | None,
    source: str,
) -> dict[str, Any]:
    return {
        "name": name[:300],
        "part": part,
        "calls": calls,
        "host_s": host_s,
        "device_s": device_s,
        "bytes": allocated,
        "source": source,
    }


# -- operations


def _ops(
    events: Iterable[Any], steps: int, gpu: bool, sources: Mapping[str, str]
) -> list[dict[str, Any]]:
    """By part and name."""
    sums: dict[tuple[str, str], np.ndarray] = {}
    parts = _Parts(events)
    for event in events:
        if _on_device(event) or event.name.startswith((_STEP, "[memory]")):
            continue
        key = parts.part(event), _plain(event.name)
        device_us = float(getattr(event, "self_device_time_total", 0.0) or 0.0) if gpu else 0.0
        host_us = max(event.self_cpu_time_total, 0.0)
        taken = (1.0, host_us * 1e-6, device_us * 1e-6, _memory(event))
        of_step = sums.setdefault(key, np.zeros((4, steps)))
        of_step[:, min(max(parts.step(event), 0), steps - 1)] += taken
    return [
        _op(name, part, *_typical(taken, gpu), sources.get(name, ""))
        for (part, name), taken in sums.items()
    ]


def _typical(taken: np.ndarray, gpu: bool) -> tuple[float, float, float | None, float]:
    """Calls, seconds of host and device, and bytes of a step, from those of each step [4, steps].

    The median of what every step does alike: another process that takes the core for a moment
    lengthens one operation of one step. The mean of what only some steps do."""
    alike = bool((taken[0] == taken[0, 0]).all())
    calls, host, device, memory = np.median(taken, axis=1) if alike else taken.mean(axis=1)
    return float(calls), float(host), float(device) if gpu else None, float(memory)


class _Parts:
    """Which part of its step an event belongs to."""

    def __init__(self, events: Iterable[Any]) -> None:
        self._spans = sorted(
            (e.time_range.start, e.time_range.end) for e in events if e.name.startswith(_STEP)
        )
        self._backward = sorted(e.time_range.start for e in events if e.name.startswith(_BACKWARD))

    def step(self, event: Any) -> int:
        """Which step it began in, counted from 0; -1 before all."""
        return bisect_right(self._spans, (event.time_range.start, float("inf"))) - 1

    def part(self, event: Any) -> str:
        """Inside of the backward pass; or else forward before it, and optimizer after it."""
        each = event
        while each is not None:
            if each.name.startswith(_BACKWARD):
                return "backward"
            if each.name.startswith(_OPTIMIZER):
                return "optimizer"
            each = each.cpu_parent
        at = event.time_range.start
        place = self.step(event)
        if place < 0 or at > self._spans[place][1]:
            return ""
        began = self._spans[place][0]
        # Of this step, any backward pass that has begun by now.
        begun = bisect_right(self._backward, at) - bisect_right(self._backward, began)
        return "optimizer" if begun else "forward"


def _on_device(event: Any) -> bool:
    return "CPU" not in str(event.device_type)


def _plain(name: str) -> str:
    """Without what differs from process to process."""
    if name.startswith(_BACKWARD):
        return name.removeprefix(f"{_BACKWARD}: ") + " (autograd)"
    return name.split(": 0x")[0]


# -- counts


def _counts(events: list[Any], steps: int, gpu: bool) -> dict[str, float]:
    """A step's."""
    names = Counter(event.name for event in events if not _on_device(event))
    moved = [event for event in events if event.name in _COPIES and not _on_device(event)]
    fresh = [event for event in events if not _on_device(event) and _memory(event) > 0]
    counts = {
        # The wait at the end of the profile is not the step's.
        "synchronisations": max(sum(names[w] for w in _WAITS) - 1, 0)
        if gpu
        else sum(names[read] for read in _READS),
        "copies": len(moved),
        "copied_bytes": sum(_copied(event) for event in moved),
        "allocations": len(fresh),
        "allocated_bytes": sum(_memory(event) for event in fresh),
    }
    if gpu:
        kernels = [event for event in events if _on_device(event)]
        counts["kernels"] = sum(not e.name.startswith(("Mem", "[mem")) for e in kernels)
    else:
        # On a CPU an operation that calls no other counts as a kernel.
        leaves = [e for e in events if e.name.startswith("aten::") and not e.cpu_children]
        counts["kernels"] = len(leaves)
    return {name: value / steps for name, value in counts.items()}


def _memory(event: Any) -> float:
    """Bytes that an operation takes itself, on the host or on the card."""
    device = getattr(event, "self_device_memory_usage", 0) or 0
    return max(float(event.self_cpu_memory_usage or 0), 0.0) + max(float(device), 0.0)


def _copied(event: Any) -> float:
    """Bytes that a copy writes: those of its first tensor."""
    shapes = event.input_shapes or [[]]
    kinds = getattr(event, "input_dtypes", None) or [""]
    return float(prod(shapes[0])) * _BYTES.get(str(kinds[0]), 4)


# -- callers


class _Callers(TorchDispatchMode):
    """Notes, for each operation, the line of Python that it comes from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Counter[str]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if line := _caller(sys._getframe(1)):
            self.found.setdefault(str(func.name()).split(".")[0], Counter())[line] += 1
        return func(*args, **(kwargs or {}))


def _caller(frame: FrameType | None) -> str:
    """The nearest line outside of torch."""
    torch_ = str(Path(torch.__file__).parent)
    while frame:
        file = frame.f_code.co_filename
        if not file.startswith(("<", torch_)) and file != __file__:
            return f"{Path(file).name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _sources(train: Callable[[range], None], step: int, notes: list[str]) -> dict[str, str]:
    """Operation -> the line that calls it most often in this step."""
    callers = _Callers()
    # A compiled program may not be traced, and is not worth compiling anew.
    if _Compiler().graphs:
        return {}
    try:
        with callers:
            train(range(step, step + 1))
    except Exception as error:
        notes.append(f"callers are not known: {type(error).__name__}")
    found = {name: lines.most_common(1)[0][0] for name, lines in callers.found.items()}
    if reads := found.get("aten::_local_scalar_dense"):
        found["aten::item"] = reads
    return found


def _traces(found: Any, folder: Path, notes: list[str]) -> list[str]:
    try:
        found.export_chrome_trace(str(folder / "torch.trace.json.gz"))
    except Exception as error:
        notes.append(f"no trace was written: {type(error).__name__}: {error}")
        return []
    return ["torch.trace.json.gz"]
