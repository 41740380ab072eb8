"""Operators, parts, counts and traces of a step of TensorFlow, by tf.profiler.

Self-contained: TensorFlow, NumPy and the standard library only. The driver runs this file's own
source in the process of a side whose gradrace may be older.

Operators are named by their type ("MatMul") and belong to a part by their scope in the graph.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

_TRAIN, _SYNC = "steps", "end of steps"
_WAIT, _COPY, _PYTHON = "numpy() (wait for the device)", "copy to the device", "(Python)"
# Of numbers and NumPy arrays that operators are called with.
_PLACE = "place an argument on the device"
_TRACING, _COMPILING = "compile (trace a tf.function)", "compile (XLA)"
# Events of the main thread by what they begin with. The first that fits an event or, if none does,
# its nearest caller, names its operator.
_HOST = (
    (_WAIT, (_WAIT,)),
    (_COPY, (_COPY,)),
    (_PLACE, ("tf.constant",)),
    (_TRACING, ("tf.function-graph_building",)),
    (_COMPILING, ("CpuCompiler::", "GpuCompiler::", "HLO passes", "XlaCompile", "XlaCompiler")),
    ("convert_to_tensor", ("convert_to_tensor",)),
    (_WAIT, (_SYNC,)),
    (_PYTHON, (_TRAIN,)),
)
# On a pool's thread it belongs to the call that follows.
_DONE = "ExecutorDoneCallback"
_COMPILED = ("CpuCompiler::RunBackend", "GpuCompiler::RunBackend")
_EAGER = "EagerLocalExecute: "
_OPERATOR = re.compile(r"^(?P<path>[^:\s]+):(?P<type>_?[A-Z]\w*)$")
# What control flow and calls put into the paths of operators.
_WRAPPED = re.compile(r"_?((while|body|cond|then|else|(Stateful)?PartitionedCall)(_\d+)?|\d+)")
_ASSIGNS = r"(Assign\w*Variable|Resource(Sparse)?Apply)"
_LIBRARY = re.compile(r"^_?(Mkl|Native|OneDnn)+")
_CALLBACKS = ("PyFunc", "EagerPyFunc", "PyFuncStateless")
_COPIES = ("DeepCopy", "Copy", "CopyHost", "Snapshot", "_Send", "_Recv", "_HostSend", "_HostRecv")
_WAITING = ("numpy", "__array__", "__float__", "__int__", "__bool__", "__index__")
_MOST_EVENTS = 300_000
# Nodes of a graph that compute nothing.
_STRUCTURE = (
    *("Const", "Placeholder", "NoOp", "Identity", "IdentityN", "ReadVariableOp", "While", "If"),
    *("StatelessWhile", "StatelessIf", "StatefulPartitionedCall", "PartitionedCall"),
)
_UNTRIED = "events of a device are read as documented; this was not tried on one"
_COUNTS = (
    *("kernels", "programs", "synchronisations", "compilations", "allocations"),
    *("allocated_bytes", "copies", "copied_bytes", "placed_arguments"),
)
_NOTES = (
    "operators of threads that share a core overlap: a thread that waits for it counts as busy",
    "operators that TensorFlow thinks cheap are timed together, and share that time evenly by their"
    " calls; those of the optimizer are counted in the graph, before TensorFlow rewrites it",
    "programs are calls from Python, of traced functions and of single operators",
    "TensorFlow's trace names no lines of Python",
    "allocations on a CPU are those of its pool: small arrays are not among them",
)


def profile(
    train: Callable[[range], None], sync: Callable[[], None], steps: range, folder: Path
) -> dict[str, Any]:
    """Trains these steps, already warm, under the profiler. Times in seconds a step.

    Returns plain JSON: steps, ops, counts, traces (a file in `folder` for Perfetto; TensorBoard
    reads the folder) and notes. host_s is self time, device_s None without a device of its own.
    """
    before, trace = set(folder.rglob("*")), tf.profiler.experimental.Trace
    # Without events of Python functions: they make short steps several times slower.
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3, python_tracer_level=0)
    with _observed():
        tf.profiler.experimental.start(str(folder), options)
        try:
            with trace(_TRAIN):
                train(steps)
            with trace(_SYNC):
                sync()
        finally:
            tf.profiler.experimental.stop()
    found = _Found(len(steps))
    lines: list[_Line] = []
    for path in sorted(set(folder.rglob("*")) - before):
        if path.name.endswith(".xplane.pb"):
            lines += found.read(path)
    with gzip.open(folder / "tensorflow.trace.json.gz", "wt", compresslevel=5) as file:
        json.dump({"traceEvents": _perfetto(lines)}, file)
    return found.table(["tensorflow.trace.json.gz"])


@contextmanager
def _observed() -> Iterator[None]:
    """Inside, calls that wait for tensors, or make them of arrays, are events."""
    with ExitStack() as undo:
        classes = [kind for kind in type(tf.constant(0)).__mro__ if kind.__name__ != "Tensor"]
        found = [(each, n) for n in _WAITING for each in classes if n in vars(each)]
        for owner, name, event in (
            *((owner, name, _WAIT) for owner, name in found),
            *((np, name, _WAIT) for name in ("asarray", "array")),
            *((tf, name, _COPY) for name in ("constant", "convert_to_tensor")),
        ):
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, _named(getattr(owner, name), event))
        yield


def _named(function: Callable[..., Any], event: str) -> Callable[..., Any]:
    kind = np.ndarray if event == _COPY else tf.Tensor

    @functools.wraps(function)
    def named(*arguments: Any, **options: Any) -> Any:
        value = arguments[0] if arguments else None
        # While a graph is traced, its tensors have no values to wait for.
        if not isinstance(value, kind) or not tf.executing_eagerly():
            return function(*arguments, **options)
        size = int(getattr(value, "nbytes", 0)) if kind is np.ndarray else 0
        with tf.profiler.experimental.Trace(event, bytes=size):
            return function(*arguments, **options)

    return named


class _Span:
    """An event of a thread or stream, in nanoseconds; `own` is its time outside of inner ones."""

    def __init__(self, name: str, start: float, length: float, stats: dict[str, Any]) -> None:
        self.name, self.stats = name, stats
        self.start, self.end, self.own = start, start + length, length
        self.above: _Span | None = None

    def callers(self) -> Iterator[_Span]:
        """Itself, then outwards."""
        span: _Span | None = self
        while span is not None:
            yield span
            span = span.above


class _Line(NamedTuple):
    plane: str
    name: str
    spans: list[_Span]


def _lines(space: Any) -> list[_Line]:
    """Every thread and stream, its events nested."""
    found = []
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        keys = {key: value.name for key, value in plane.stat_metadata.items()}
        for line in plane.lines:
            spans = [
                _Span(
                    names.get(event.metadata_id, ""),
                    line.timestamp_ns + event.offset_ps / 1000,
                    event.duration_ps / 1000,
                    {keys.get(stat.metadata_id, ""): _value(stat, keys) for stat in event.stats},
                )
                for event in line.events
            ]
            kept = [span for span in spans if not span.name.startswith("end: ")]
            found.append(_Line(plane.name, line.display_name or line.name, _nested(kept)))
    return found


def _value(stat: Any, keys: dict[int, str]) -> Any:
    kind = stat.WhichOneof("value")
    return keys.get(stat.ref_value, "") if kind == "ref_value" else getattr(stat, kind or "", "")


def _nested(spans: list[_Span]) -> list[_Span]:
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
        self.calls, self.bytes, self.host_ns = 0, 0, 0.0
        self.device_ns: float | None = None


class _Operator(NamedTuple):
    """One that ran: where it stands in the graph, its type, and when it began."""

    path: str
    type: str
    start: float


class _Found:
    """Sums over all steps."""

    def __init__(self, steps: int) -> None:
        self.steps, self.notes = steps, list(_NOTES)
        self.ops: dict[tuple[str, str], _Op] = defaultdict(_Op)
        self.counts: Counter[str] = Counter()
        self._compiled: dict[tuple[str, str], tuple[str, str]] = {}
        self._eager = ""

    def read(self, path: Path) -> list[_Line]:
        """Adds the events of one xplane.pb, and gives them."""
        try:
            from tensorflow.tsl.profiler.protobuf import xplane_pb2
        except ImportError:
            self.notes.append("this TensorFlow cannot read its own traces: no operators")
            return []
        space = xplane_pb2.XSpace()
        space.ParseFromString(path.read_bytes())
        self._compiled = _compiled(space)
        lines = _lines(space)
        # Nothing else happens in the main thread while a pool computes a graph for it.
        pools = [line for line in lines if line.name.startswith("tf_Compute")]
        threads = [line for line in lines if not line.plane.startswith("/device:")]
        ran = [(span, at) for line in threads for span in line.spans if (at := self._at(span))]
        nodes = self._nodes(lines)
        parts = _Parts([*(at for _, at in ran), *nodes])
        self._eager = self._part_of_eager(lines, parts)
        for span, at in ran:
            self._operator(span, parts.of(at), _LIBRARY.sub("", at.type))
        # Programs of XLA are traced whole.
        if not self._compiled:
            self._untraced(nodes, parts, pools)
        busy = _busy(span for line in pools for span in line.spans if span.name != _DONE)
        for line in lines:
            if line.plane.startswith("/device:") and line.name.lower().startswith("stream"):
                self._stream(line.spans, parts)
                self.notes += [] if _UNTRIED in self.notes else [_UNTRIED]
            if any(span.name == _TRAIN for span in line.spans):
                self._main(line.spans, busy)
            for span in line.spans:
                if span.name == "MemoryAllocation":
                    self.counts["allocations"] += 1
                    self.counts["allocated_bytes"] += int(span.stats.get("requested_bytes") or 0)
        return lines

    def _part_of_eager(self, lines: list[_Line], parts: _Parts) -> str:
        """Operators outside of graphs: the optimizer's if they, and no graph, move the weights."""
        names = [span.name for line in lines for span in line.spans]
        moves = sum(bool(re.match(rf"{_EAGER}{_ASSIGNS}", name)) for name in names)
        return "optimizer" if moves >= self.steps and parts.only_gradients else ""

    def _nodes(self, lines: list[_Line]) -> dict[_Operator, float]:
        """Those of all graphs that were called, and how often; a loop turns once a step."""
        names = [span.name for line in lines for span in line.spans]
        called = Counter(n[len(_EAGER) :] for n in names if n.startswith(f"{_EAGER}__inference_"))
        found: dict[_Operator, float] = defaultdict(float)
        for function, calls in called.items():
            turns = max(1.0, self.steps / calls)
            for path, kind, looped in _definition(function):
                if kind not in _STRUCTURE:
                    at = _Operator(_unwrapped(path), kind, float("nan"))
                    found[at] += calls * (turns if looped else 1.0)
        return found

    def _untraced(self, nodes: dict[_Operator, float], parts: _Parts, pools: list[_Line]) -> None:
        calls: Counter[str] = Counter()
        for at, times in nodes.items():
            if parts.of(at) == "optimizer":
                calls[at.type] += round(times)
        spans = [span for line in pools for span in line.spans if self._at(span) is None]
        seconds = sum(span.own for span in spans if span.name.startswith("ExecutorState"))
        total = max(1.0, sum(nodes.values()) - self.counts["kernels"])
        rest = 1.0
        for name, times in calls.items():
            op = self.ops["optimizer", name]
            untraced = max(0, times - op.calls)
            share = min(rest, untraced / total)
            op.calls, op.host_ns = op.calls + untraced, op.host_ns + seconds * share
            self.counts["kernels"] += untraced
            rest -= share
        self.ops["", "operators too cheap to be traced"].host_ns += rest * seconds

    def _at(self, span: _Span) -> _Operator | None:
        if "hlo_op" in span.stats:
            hlo = str(span.stats["hlo_op"])
            known = self._compiled.get((str(span.stats.get("hlo_module")), hlo))
            return _Operator(*(known or ("", re.sub(r"[.\d]+$", "", hlo))), span.start)
        found = _OPERATOR.match(span.name)
        return _Operator(_unwrapped(found["path"]), found["type"], span.start) if found else None

    def _operator(self, span: _Span, part: str, name: str) -> None:
        op = self.ops[part, name]
        op.calls, op.host_ns = op.calls + 1, op.host_ns + span.own
        self.counts["kernels"] += 1
        self.counts["copies"] += name in _COPIES or name == "copy"
        self.counts["synchronisations"] += name in _CALLBACKS

    def _stream(self, spans: list[_Span], parts: _Parts) -> None:
        """Kernels and copies of a device, under the operators that launched them."""
        for span in spans:
            launched = _OPERATOR.match(str(span.stats.get("tf_op", ""))) or _OPERATOR.match(
                span.name
            )
            if at := self._at(span):
                key = parts.of(at), _LIBRARY.sub("", at.type)
            elif launched:
                at = _Operator(_unwrapped(launched["path"]), launched["type"], span.start)
                key = parts.of(at), launched["type"]
            else:
                key = "", span.name
            op = self.ops[key]
            op.device_ns = (op.device_ns or 0.0) + span.own
            size = re.search(r"size:(\d+)", str(span.stats.get("memcpy_details", "")))
            if size or "memcpy" in span.name.lower():
                self.counts["copies"] += 1
                self.counts["copied_bytes"] += int(size[1]) if size else 0

    def _main(self, spans: list[_Span], busy: Callable[[float, float], float]) -> None:
        """Everything that the main thread did for the steps, but for operators of graphs."""
        idle = {id(span): busy(span.start, span.end) for span in spans}
        for span in spans:
            if span.above is not None:
                idle[id(span.above)] -= busy(span.start, span.end)
        for span in spans:
            callers = list(span.callers())
            if callers[-1].name not in (_TRAIN, _SYNC):
                continue
            self.counts["compilations"] += span.name.startswith(_COMPILED)
            if self._at(span) and not span.name.split(":")[0].startswith("__inference"):
                continue
            name, at = _host_name(callers)
            outermost = at is span and name not in {_host_name([each])[0] for each in callers[1:]}
            op = self.ops[self._eager if _is_eager(at) else "", name]
            op.calls += outermost
            op.host_ns += max(0.0, span.own - max(0.0, idle[id(span)]))
            if outermost and callers[-1].name == _TRAIN:
                self._count(name, span)

    def _count(self, name: str, span: _Span) -> None:
        self.counts["synchronisations"] += name == _WAIT
        self.counts["compilations"] += name == _TRACING
        self.counts["programs"] += span.name.startswith(_EAGER)
        self.counts["kernels"] += _is_eager(span)
        self.counts["placed_arguments"] += name == _PLACE
        if name == _COPY or name.removeprefix("dispatch ") in _COPIES:
            self.counts["copies"] += 1
            self.counts["copied_bytes"] += int(span.stats.get("bytes", 0))

    def table(self, traces: list[str]) -> dict[str, Any]:
        """Plain JSON, a step's share."""
        ops = [
            {
                "name": name[:300],
                "part": part,
                "calls": op.calls / self.steps,
                "host_s": op.host_ns * 1e-9 / self.steps,
                "device_s": None if op.device_ns is None else op.device_ns * 1e-9 / self.steps,
                "bytes": None,
                "source": "",
            }
            for (part, name), op in self.ops.items()
        ]
        counts = {key: self.counts[key] / self.steps for key in _COUNTS}
        parts = {"steps": self.steps, "ops": ops, "counts": counts}
        return {**parts, "traces": traces, "notes": self.notes}


class _Parts:
    """Which part of a step an operator belongs to.

    Gradients have a scope of their own, in which the scopes of layers and losses come again. A
    scope that assigns variables, and has no gradients, is the optimizer's. All others belong to it
    if they usually begin after the gradients.
    """

    def __init__(self, ran: Iterable[_Operator]) -> None:
        starts: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._differentiated, assigning = set(), set()
        for at in ran:
            if not np.isnan(at.start):
                starts[at.path, at.type].append(at.start)
            scope, backward = _scope(at.path)
            if backward:
                self._differentiated.add(scope)
            elif scope and re.match(_ASSIGNS, at.type):
                assigning.add(scope)
        self._optimizer = assigning - self._differentiated
        self.only_gradients = bool(self._differentiated) and not self._optimizer
        self._starts = {key: float(np.mean(times)) for key, times in starts.items()}
        gradients = [t for key, t in self._starts.items() if _scope(key[0])[1]]
        self._after = float(np.mean(gradients)) if gradients else None

    def of(self, at: _Operator) -> str:
        """forward, backward or optimizer; "" if no gradient was computed."""
        scope, backward = _scope(at.path)
        if not at.path:
            # XLA made it, and says of which operators.
            return ""
        if self._after is None:
            return "optimizer" if scope in self._optimizer and scope else ""
        if backward:
            return "backward"
        if scope and scope in self._differentiated:
            return "forward"
        late = self._starts.get((at.path, at.type), at.start) > self._after
        return "optimizer" if scope in self._optimizer or late else "forward"


def _definition(
    name: str, looped: bool = False, depth: int = 20
) -> Iterator[tuple[str, str, bool]]:
    """The nodes of a traced function: path, type, and whether they stand in a loop."""
    try:
        # No public name gives a function by its name.
        from tensorflow.python.eager import context

        nodes = context.context().get_function_def(name).node_def
    except Exception:
        return
    for node in nodes:
        yield node.name, node.op, looped
        for key, value in node.attr.items():
            if value.HasField("func") and key != "cond" and depth:
                yield from _definition(value.func.name, looped or key == "body", depth - 1)


def _unwrapped(path: str) -> str:
    *scopes, name = path.split("/")
    return "/".join([*(scope for scope in scopes if not _WRAPPED.fullmatch(scope)), name])


def _scope(path: str) -> tuple[str, bool]:
    """The outermost scope of an operator, and whether it computes gradients."""
    names = path.split("/")
    inner = [name for name in names if name not in ("gradient_tape", "gradients")]
    return (inner[0] if len(inner) > 1 else ""), len(inner) < len(names)


def _is_eager(span: _Span) -> bool:
    """Whether it is an operator outside of graphs."""
    return span.name.startswith(_EAGER) and not span.name.startswith(f"{_EAGER}__inference_")


def _host_name(callers: list[_Span]) -> tuple[str, _Span]:
    for span in callers:
        if span.name.startswith(_EAGER):
            what = span.name[len(_EAGER) :]
            called = re.match(r"__inference_(.+)_\d+$", what)
            return f"dispatch {called[1] if called else what}", span
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
    lengths = np.diff(edges) * (np.arange(len(edges) - 1) % 2 == 0)
    total = np.concatenate([[0.0], np.cumsum(lengths)])

    def busy(start: float, end: float) -> float:
        before, after = np.interp([start, end], edges, total)
        return float(after - before)

    return busy


def _compiled(space: Any) -> dict[tuple[str, str], tuple[str, str]]:
    """Programs of XLA: (module, HLO operator) -> path and type in the graph that it comes from."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    try:
        from tensorflow.compiler.xla.service import hlo_pb2
    except ImportError:
        return found
    for plane in space.planes:
        if plane.name != "/host:metadata":
            continue
        for event in plane.event_metadata.values():
            for stat in event.stats:
                proto = hlo_pb2.HloProto.FromString(stat.bytes_value)
                module = proto.hlo_module
                inside = {each.id: list(each.instructions) for each in module.computations}
                for each in (one for instructions in inside.values() for one in instructions):
                    # A fusion without a name is of the operators that it holds.
                    ids = each.called_computation_ids if each.opcode == "fusion" else ()
                    held = [each, *(one for id_ in ids for one in inside.get(id_, ()))]
                    at = next((o.metadata for o in held if o.metadata.op_name), each.metadata)
                    name = "MatMul" if each.opcode == "dot" else at.op_type or each.opcode
                    found[module.name, each.name] = _unwrapped(at.op_name), name
    return found


def _perfetto(lines: list[_Line]) -> list[dict[str, Any]]:
    """Chrome's trace events: TensorFlow itself keeps a file for TensorBoard only."""
    planes = {name: i for i, name in enumerate(dict.fromkeys(line.plane for line in lines), 1)}
    events: list[dict[str, Any]] = [
        {"ph": "M", "pid": number, "name": "process_name", "args": {"name": name}}
        for name, number in planes.items()
    ]
    began = min((span.start for line in lines for span in line.spans), default=0.0)
    for thread, line in enumerate(lines, 1):
        at = {"pid": planes[line.plane], "tid": thread}
        events.append({"ph": "M", "name": "thread_name", "args": {"name": line.name}, **at})
        events += [
            {
                "ph": "X",
                "name": span.name,
                "ts": (span.start - began) / 1000,
                "dur": (span.end - span.start) / 1000,
                **at,
            }
            for span in line.spans[: _MOST_EVENTS // max(len(lines), 1)]
        ]
    return events
