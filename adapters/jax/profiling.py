"""Operators, parts, counts and traces of a step of JAX, by jax.profiler.

Self-contained: JAX, NumPy and the standard library only. The driver runs this file's own source in
the process of a side whose gradrace may be older.

Operators are those of the compiled programs (HLO), under the names of the JAX primitives that they
come from, so that two versions of a program can be compared. The trace says what ran; what an
operator is, and in which part of a step, is in the HLO modules that the trace file holds.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.monitoring
import numpy as np

_TRAIN, _SYNC = "steps", "end of steps"
_WAIT, _COPY, _PYTHON = "synchronize (wait for the device)", "copy to the device", "(Python)"
_CALL, _PASSES = "PjitFunction(", {"forward", "backward"}
# Of numbers and NumPy arrays that a program or an operator is called with.
_PLACE = "place an argument on the device"
_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"
# Events of the main thread by what they begin with. The first that fits an event or, if none does,
# its nearest caller, names its operator.
_HOST = (
    (_WAIT, (_WAIT, "CommonPjRtBuffer::Await", "np.asarray(jax.Array)", "PjRtCpuBuffer::Await")),
    (_COPY, (_COPY, "batched_copy_array", "CopyToMemorySpace")),
    (_PLACE, ("DevicePut", "shard_args")),
    ("compile", ("backend_compile", "lower_sharding_computation")),
    ("XLA executor", ("ThunkExecutor",)),
    (_WAIT, (_SYNC,)),
    (_PYTHON, (_TRAIN,)),
)
_OF_NUMPY = (np.asarray, np.array)
_CALLBACKS = ("pure_callback", "io_callback", "debug_callback", "outside_call")
_EVERY_PRODUCT = {"dot": "dot_general", "convolution": "conv_general_dilated"}
# Bytes of an element by XLA's PrimitiveType; types that are not here have one.
_WIDTH = {3: 2, 4: 4, 5: 8, 7: 2, 8: 4, 9: 8, 10: 2, 11: 4, 12: 8, 15: 8, 16: 2, 18: 16}
_LIBRARY = re.compile(r"^$|(site|dist)-packages/(?!gradrace)|/lib/python\d")
_OPTIMIZER = re.compile(r"/optax/|optimi[sz]er")
_UNTRIED = "events of a device are read as documented; this was not tried on one"
_COUNTS = (
    *("kernels", "programs", "synchronisations", "compilations", "allocations"),
    *("allocated_bytes", "copies", "copied_bytes", "placed_arguments"),
)
_NOTES = (
    "bytes of an operator are those of its results",
    "placed arguments are numbers and NumPy arrays that programs are called with, of unknown size",
    "a thread that waits for its core counts as busy: operators of threads that share one overlap",
    "allocations are those of the compiled programs' plans; the allocator itself is not observed",
)


def profile(
    train: Callable[[range], None], sync: Callable[[], None], steps: range, folder: Path
) -> dict[str, Any]:
    """Trains these steps, already warm, under the profiler. Times in seconds a step.

    Returns plain JSON: steps, ops, counts, traces (a file in `folder` for Perfetto; TensorBoard
    reads the folder) and notes. host_s is self time, device_s None without a device of its own.
    """
    before = set(folder.rglob("*"))
    with _observed(), _Compilations() as compiled, _trace(folder):
        with jax.profiler.TraceAnnotation(_TRAIN):
            train(steps)
        with jax.profiler.TraceAnnotation(_SYNC):
            sync()
    found, traces = _Found(len(steps)), []
    for path in sorted(set(folder.rglob("*")) - before):
        if path.name.endswith(".xplane.pb"):
            found.read(path)
        if path.name.endswith(".trace.json.gz"):
            traces.append("jax.trace.json.gz")
            path.replace(folder / traces[-1])
    found.counts["compilations"] = compiled.count
    return found.table(traces)


def _trace(folder: Path) -> AbstractContextManager[Any]:
    # Without events of Python functions: they make short steps several times slower.
    if not hasattr(jax.profiler, "ProfileOptions"):
        return jax.profiler.trace(str(folder))
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    return jax.profiler.trace(str(folder), profiler_options=options)


class _Compilations:
    """Counts programs that XLA compiles inside."""

    _open: list[_Compilations] = []
    _listening = False

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> _Compilations:
        # Listeners cannot be taken away by a public name in every version: there is one for all.
        if not _Compilations._listening:
            jax.monitoring.register_event_duration_secs_listener(_Compilations._heard)
            _Compilations._listening = True
        self._open.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.remove(self)

    @classmethod
    def _heard(cls, event: str, *_: Any, **__: Any) -> None:
        for each in cls._open:
            each.count += event == _COMPILE_EVENT


@contextmanager
def _observed() -> Iterator[None]:
    """Inside, calls that wait for arrays or place them are events, as the runtime names not all.

    NumPy takes a CPU's arrays by the buffer protocol, which leaves no event.
    """
    with ExitStack() as undo:
        for owner, name, event in (
            (type(jax.device_put(0)), "block_until_ready", _WAIT),
            (np, "asarray", _WAIT),
            (np, "array", _WAIT),
            (jax, "block_until_ready", _WAIT),
            (jax, "device_get", _WAIT),
            (jax, "device_put", _COPY),
        ):
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, _named(getattr(owner, name), event))
        yield


def _named(function: Callable[..., Any], event: str) -> Callable[..., Any]:
    def named(value: Any, *arguments: Any, **options: Any) -> Any:
        if function in _OF_NUMPY and not isinstance(value, jax.Array):
            return function(value, *arguments, **options)
        size = sum(getattr(leaf, "nbytes", 0) for leaf in jax.tree.leaves(value))
        with jax.profiler.TraceAnnotation(event, bytes=size):
            return function(value, *arguments, **options)

    return named


class _Span:
    """An event of a thread or stream, in nanoseconds; `own` is its time outside of inner ones."""

    def __init__(self, event: Any) -> None:
        self.name: str = event.name
        self.start, self.own = float(event.start_ns), float(event.duration_ns)
        self.end = self.start + self.own
        self.stats: dict[str, Any] = dict(event.stats)
        self.above: _Span | None = None

    def callers(self) -> Iterator[_Span]:
        """Itself, then outwards."""
        span: _Span | None = self
        while span is not None:
            yield span
            span = span.above


def _spans(events: Iterable[Any]) -> list[_Span]:
    spans = [_Span(event) for event in events if not event.name.startswith("end: ")]
    spans.sort(key=lambda span: (span.start, -span.end))
    open_: list[_Span] = []
    for span in spans:
        while open_ and open_[-1].end <= span.start:
            open_.pop()
        if open_:
            span.above = open_[-1]
            span.above.own = max(0.0, span.above.own - (span.end - span.start))
        open_.append(span)
    return spans


class _Op:
    """Sums over the calls of an operator."""

    def __init__(self) -> None:
        self.calls, self.bytes, self.source = 0, 0, ""
        self.host_ns = 0.0
        self.device_ns: float | None = None


class _Found:
    """Sums over all steps."""

    def __init__(self, steps: int) -> None:
        self.steps, self.notes = steps, list(_NOTES)
        self.ops: dict[tuple[str, str], _Op] = defaultdict(_Op)
        self.counts: Counter[str] = Counter()
        self._runs: dict[tuple[str, str], set[Any]] = defaultdict(set)
        self._parts: dict[str, set[str]] = defaultdict(set)

    def read(self, path: Path) -> None:
        """Adds the events of one xplane.pb."""
        if not hasattr(jax.profiler, "ProfileData"):
            self.notes.append("this JAX cannot read its own traces: no operators (0.7 can)")
            return
        modules = _modules(path.read_bytes())
        lines = [
            (plane.name, line.name, _spans(line.events))
            for plane in jax.profiler.ProfileData.from_file(str(path)).planes
            for line in plane.lines
        ]
        for plane, name, spans in lines:
            if plane.startswith("/device:"):
                # Other lines of a device repeat its streams under other headings.
                if name.lower().startswith("stream"):
                    self._stream(spans, modules)
                    self.notes += [] if _UNTRIED in self.notes else [_UNTRIED]
                continue
            self._programs(spans, modules)
        busy = _busy(span for *_, spans in lines for span in spans if "hlo_op" in span.stats)
        for _, _, spans in lines:
            if any(span.name == _TRAIN for span in spans):
                self._main(spans, busy)
        for (module, program), runs in self._runs.items():
            plan = _instruction(modules, module, program, "").module
            self.counts["programs"] += len(runs)
            if plan is not None:
                self.counts["allocations"] += len(runs) * plan.allocations
                self.counts["allocated_bytes"] += len(runs) * plan.allocated

    def _programs(self, spans: list[_Span], modules: _Modules) -> None:
        """Operators that a CPU's threads computed."""
        for span in spans:
            if "hlo_op" in span.stats:
                self._operator(span, modules).host_ns += span.own
            elif span.name.startswith("ThunkExecutor") and not any(
                above.name == _TRAIN for above in span.callers()
            ):
                self.ops["", "XLA executor"].host_ns += span.own
                self.ops["", "XLA executor"].calls += 1

    def _operator(self, span: _Span, modules: _Modules) -> _Op:
        stats = span.stats
        module, program = str(stats.get("hlo_module", "")), str(stats.get("program_id", ""))
        self._runs[module, program].add(stats.get("run_id", 0))
        known = _instruction(modules, module, program, str(stats["hlo_op"]))
        self._parts[module].add(known.part)
        op = self.ops[known.part, known.name]
        op.calls, op.bytes = op.calls + 1, op.bytes + known.bytes
        op.source = op.source or known.source
        self.counts["kernels"] += 1
        if known.name == "copy":
            self.counts["copies"] += 1
            self.counts["copied_bytes"] += known.bytes
        self.counts["synchronisations"] += known.name in _CALLBACKS
        return op

    def _stream(self, spans: list[_Span], modules: _Modules) -> None:
        """Kernels and copies of a device."""
        for span in spans:
            if "hlo_op" in span.stats:
                op = self._operator(span, modules)
            else:
                op = self.ops["", span.name]
                op.calls += 1
            if "memcpy" in span.name.lower():
                size = re.search(r"size:(\d+)", str(span.stats.get("memcpy_details", "")))
                self.counts["copies"] += 1
                self.counts["copied_bytes"] += int(size[1]) if size else 0
            op.device_ns = (op.device_ns or 0.0) + span.own

    def _main(self, spans: list[_Span], busy: Callable[[float, float], float]) -> None:
        """Everything that the main thread did for the steps, but for operators of programs."""
        compiling = {
            id(above)
            for span in spans
            if span.name.startswith("backend_compile")
            for above in span.callers()
        }
        for span in spans:
            callers = list(span.callers())
            if "hlo_op" in span.stats or callers[-1].name not in (_TRAIN, _SYNC):
                continue
            name, at = _host_name(callers, compiling)
            op = self.ops[self._part_called(callers), name]
            outermost = at is span and all(
                _host_name([each], compiling)[0] != name for each in callers[1:]
            )
            op.calls += outermost
            waited = busy(span.start, span.end) if name == _WAIT else 0.0
            op.host_ns += max(0.0, span.own - waited)
            # Work inside a program's callback belongs to the callback, which counts once.
            inside = any("hlo_op" in each.stats for each in callers)
            if outermost and callers[-1].name == _TRAIN and not inside:
                self._count(name, span)

    def _part_called(self, callers: list[_Span]) -> str:
        """optimizer for calls of programs that compute nothing else: an update without jit."""
        for span in callers:
            if span.name.startswith(_CALL):
                parts = self._parts.get(f"jit_{span.name[len(_CALL) : -1]}", set())
                return "optimizer" if "optimizer" in parts and not parts & _PASSES else ""
        return ""

    def _count(self, name: str, span: _Span) -> None:
        self.counts["synchronisations"] += name == _WAIT
        self.counts["placed_arguments"] += name == _PLACE
        if name == _COPY:
            self.counts["copies"] += 1
            self.counts["copied_bytes"] += int(span.stats.get("bytes", 0))

    def table(self, traces: list[str]) -> dict[str, Any]:
        """Plain JSON, a step's share."""
        ops = [
            {
                "name": name,
                "part": part,
                "calls": op.calls / self.steps,
                "host_s": op.host_ns * 1e-9 / self.steps,
                "device_s": None if op.device_ns is None else op.device_ns * 1e-9 / self.steps,
                "bytes": op.bytes / self.steps if op.bytes else None,
                "source": op.source,
            }
            for (part, name), op in self.ops.items()
        ]
        counts = {key: self.counts[key] / self.steps for key in _COUNTS}
        parts = {"steps": self.steps, "ops": ops, "counts": counts}
        return {**parts, "traces": traces, "notes": self.notes}


def _host_name(callers: list[_Span], compiling: set[int]) -> tuple[str, _Span | None]:
    for span in callers:
        if span.name.startswith(_CALL):
            what = "compile" if id(span) in compiling else "dispatch"
            return f"{what} {span.name[len(_CALL) : -1]}", span
        for name, begins in _HOST:
            if span.name.startswith(begins):
                return name, span
    return callers[0].name, callers[0]


def _busy(spans: Iterable[_Span]) -> Callable[[float, float], float]:
    """Nanoseconds between two moments in which an operator ran anywhere."""
    joined: list[list[float]] = []
    for start, end in sorted((span.start, span.end) for span in spans):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    if not joined:
        return lambda start, end: 0.0
    edges = np.array(joined).ravel()
    total = np.concatenate(
        [[0.0], np.cumsum(np.diff(edges) * (np.arange(len(edges) - 1) % 2 == 0))]
    )

    def busy(start: float, end: float) -> float:
        before, after = np.interp([start, end], edges, total)
        return float(after - before)

    return busy


# HLO modules in a trace: XSpace.planes -> event_metadata -> stats -> HloProto, read field by field,
# as JAX has no public class of theirs. Numbers are those of xplane.proto and hlo.proto.


class _Module(NamedTuple):
    """A compiled program: its operators by name, and the buffers that a run allocates."""

    instructions: dict[str, _Instruction]
    allocations: int
    allocated: int


class _Instruction(NamedTuple):
    name: str
    part: str
    bytes: int
    source: str
    module: _Module | None = None


_Modules = dict[tuple[str, str], _Module]


def _instruction(modules: _Modules, module: str, program: str, name: str) -> _Instruction:
    found = modules.get((module, program)) or modules.get((module, ""))
    known = found.instructions.get(name) if found else None
    plain = _Instruction(re.sub(r"[.\d]+$", "", name), "", 0, "", found)
    return known or plain


def _modules(trace: bytes) -> _Modules:
    found: _Modules = {}
    for plane in _get(memoryview(trace), 1):
        if _text(plane, 2) != "/host:metadata":
            continue
        for entry in _get(plane, 4):
            for event in _get(entry, 2):
                # "jit_step(3)": its third program.
                name, _, number = _text(event, 2).rstrip(")").partition("(")
                for stat in _get(event, 5):
                    for proto in _get(stat, 6):
                        found[name, number] = found[name, ""] = _module(proto)
    return found


def _module(proto: Any) -> _Module:
    hlo = next(_get(proto, 1), memoryview(b""))
    sources = _sources(next(_get(hlo, 17), memoryview(b"")))
    computations = {next(_get(each, 5), 0): list(_get(each, 2)) for each in _get(hlo, 3)}
    opcodes = {
        id_: [_text(instruction, 2) for instruction in inside]
        for id_, inside in computations.items()
    }
    known: dict[str, _Instruction] = {}
    for inside in computations.values():
        for instruction, part in zip(inside, _parts(inside), strict=True):
            called = (code for id_ in _packed(instruction, 38) for code in opcodes.get(id_, ()))
            metadata = next(_get(instruction, 7), memoryview(b""))
            source, updates = sources.get(next(_get(metadata, 15), 0), ("", False))
            part = part or ("optimizer" if updates else "")
            name = _primitive(instruction, metadata, tuple(called))
            size = _size(next(_get(instruction, 3), memoryview(b"")))
            known[_text(instruction, 1)] = _Instruction(name, part, size, source)
    buffers = next(_get(proto, 3), memoryview(b""))
    # Neither arguments, constants nor a thread's own: temporary buffers and new results.
    sizes = [
        next(_get(each, 2), 0)
        for each in _get(buffers, 3)
        if not any(next(_get(each, number), 0) for number in (3, 5, 12))
    ]
    return _Module(known, len(sizes), sum(sizes))


def _primitive(instruction: Any, metadata: Any, called: tuple[str, ...]) -> str:
    """The JAX primitive that an operator, or the root of a fusion, comes from."""
    opcode = _text(instruction, 2)
    for code in (opcode, *(called if opcode == "fusion" else ())):
        if code in _EVERY_PRODUCT:
            return _EVERY_PRODUCT[code]
    name = _text(metadata, 2).rpartition("/")[2] if "/" in _text(metadata, 2) else ""
    if name == "dot_general" or not name:
        return name or opcode
    return "copy" if opcode == "copy" else name


def _parts(instructions: list[Any]) -> list[str]:
    """Of each operator of a computation: forward, backward or optimizer; "" in one without.

    JAX marks derivatives in names: jvp is forward, its transpose backward. Operators without a mark
    belong to forward if an operator with one needs them, else to the optimizer.
    """
    names = [_text(next(_get(each, 7), memoryview(b"")), 2) for each in instructions]
    marked = ["backward" if "transpose(" in n else "forward" if "jvp(" in n else "" for n in names]
    if "backward" not in marked:
        return marked
    place = {next(_get(each, 35), 0): i for i, each in enumerate(instructions)}
    needed = [bool(part) for part in marked]
    for i in reversed(range(len(instructions))):
        for operand in _packed(instructions[i], 36) if needed[i] else ():
            needed[place.get(operand, i)] = True
    return [
        part or ("forward" if need else "optimizer")
        for part, need in zip(marked, needed, strict=True)
    ]


def _sources(index: Any) -> dict[int, tuple[str, bool]]:
    """By frame: the nearest file:line that is not of a library, and if an optimizer called it."""
    files = ["", *(bytes(each).decode(errors="replace") for each in _get(index, 1))]
    places = [(0, 0), *((next(_get(p, 1), 0), next(_get(p, 3), 0)) for p in _get(index, 3))]
    frames = [(0, 0), *((next(_get(f, 1), 0), next(_get(f, 2), 0)) for f in _get(index, 4))]

    def stack(at: int) -> Iterator[tuple[str, int]]:
        for _ in frames:
            if not 0 < at < len(frames):
                return
            place, at = frames[at]
            file, line = places[place] if place < len(places) else (0, 0)
            yield files[file] if file < len(files) else "", line

    found = {}
    for first in range(1, len(frames)):
        own = [(file, line) for file, line in stack(first) if not _LIBRARY.search(file)]
        source = f"{own[0][0]}:{own[0][1]}" if own else ""
        found[first] = source, any(_OPTIMIZER.search(file) for file, _ in stack(first))
    return found


def _size(shape: Any) -> int:
    """Bytes of an array, or of all arrays of a tuple."""
    inner = sum(_size(each) for each in _get(shape, 4))
    count = int(np.prod([*_packed(shape, 3)], dtype=np.int64))
    kind = next(_get(shape, 2), 0)
    return inner if kind in (0, 13, 17) else count * _WIDTH.get(kind, 1)


def _get(message: Any, number: int) -> Iterator[Any]:
    """The values of a field: numbers as int, all else as bytes."""
    return (value for key, value in _fields(message) if key == number)


def _text(message: Any, number: int) -> str:
    return bytes(next(_get(message, number), b"")).decode(errors="replace")


def _packed(message: Any, number: int) -> Iterator[int]:
    for value in _get(message, number):
        at = 0
        while not isinstance(value, int) and at < len(value):
            each, at = _varint(value, at)
            yield each
        if isinstance(value, int):
            yield value


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 0:
            value, at = _varint(message, at)
        else:
            length = {1: 8, 5: 4}.get(key & 7)
            if length is None:
                length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        yield key >> 3, value


def _varint(message: Any, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[at]
        at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value, at
