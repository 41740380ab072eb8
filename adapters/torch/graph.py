"""A training step as a CUDA graph: all its numbers that change lie on the device.

Only `_graph` needs a GPU. On a CPU the step is called instead of replayed, so that all the rest can
be tested there; `supports` refuses such runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gradrace.adapter import Unsupported
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# As many steps as in torch's documentation.
_WARM_UP = 3
# Reads a value of the device: .item(), float(tensor), a tensor as a condition.
_READS = torch.ops.aten._local_scalar_dense.default

# A value for each step: on the host, or on the device for a step that is captured.
Table = list[float] | Tensor


def table(values: np.ndarray, on: torch.device | None) -> Table:
    """values: float64[steps]. on: the device, or None for the host. Values that are all equal stay
    on the host: a graph may hold them as a constant, as a user's would."""
    if on is None or (values == values[0]).all():
        held: list[float] = values.tolist()
        return held
    return torch.tensor(values, dtype=torch.get_default_dtype(), device=on)


def entry(values: Table, step: int | Tensor) -> float | Tensor:
    """The value of a step; if its number is on the device, int64[1], it is looked up there."""
    if not isinstance(step, Tensor):
        return values[step]
    if isinstance(values, Tensor):
        return values.index_select(0, step).squeeze(0)
    return values[0]


def multiply(tensors: list[Tensor], by: float | Tensor) -> None:
    """In place, all together. Of two overloads torch would choose the one that reads a number of
    the device."""
    if isinstance(by, Tensor):
        torch.ops.aten._foreach_mul_.Tensor(tensors, by)
    else:
        torch._foreach_mul_(tensors, by)


def add(tensors: list[Tensor], what: float | Tensor) -> None:
    """As `multiply`."""
    if isinstance(what, Tensor):
        torch.ops.aten._foreach_add_.Tensor(tensors, what)
    else:
        torch._foreach_add_(tensors, what)


class CapturedStep:
    """A training step that `replay` takes, the same work whichever step it is.

    body: enqueues step number `step`, int64[1] on the device, and gives its loss, or [lanes] of
    them. steps: of a run. replay: None until `capture`.
    """

    def __init__(
        self,
        body: Callable[[Tensor], Tensor],
        steps: int,
        device: torch.device,
        lanes: tuple[int, ...] = (),
    ) -> None:
        self._body, self._device = body, device
        self._step = torch.zeros(1, dtype=torch.int64, device=device)
        self._all_steps = torch.arange(steps, device=device).view(-1, *(1 for _ in lanes))
        self._losses = torch.zeros((steps, *lanes), dtype=torch.get_default_dtype(), device=device)
        self._untold = range(0)
        self.replay: Callable[[], None] | None = None

    def begin(self, steps: range) -> None:
        """These are to be taken now."""
        self._step.fill_(steps.start)
        self._untold = range(self._untold.start, steps.stop)

    def losses(self) -> Tensor:
        """Of the steps since the last call, in order."""
        untold, self._untold = self._untold, self._untold[len(self._untold) :]
        return self._losses[untold.start : untold.stop].clone()

    def take(self) -> None:
        """The step without a graph."""
        with _side_stream(self._device):
            self._take()

    def warm_up(self, moved: Sequence[Tensor], host: Callable[[], Mapping[str, str]]) -> None:
        """Steps before the capture, which leave no trace in `moved`, all tensors that a step moves.

        host: what the step keeps on the host. Unsupported if that changes from step to step, or if
        the step reads the device: a graph would repeat what it found once.
        """
        kept = [(tensor, tensor.detach().clone()) for tensor in [*moved, self._step, self._losses]]
        before = host()
        with _side_stream(self._device):
            for number in range(_WARM_UP):
                # A later step may not exist.
                self._step.zero_()
                with _Watch() if number else nullcontext():
                    self._take()
        _check_unchanged(before, host())
        with torch.no_grad():
            for tensor, values in kept:
                tensor.copy_(values)

    def capture(self) -> Callable[[], None]:
        """Makes `replay`; takes no step."""
        self.replay = _graph(self._take) if self._device.type == "cuda" else self._take
        return self.replay

    def _take(self) -> None:
        loss = self._body(self._step).detach()
        # In deterministic mode an indexed write would sort its indices.
        self._losses.copy_(torch.where(self._all_steps == self._step, loss, self._losses))
        self._step.add_(1)


def _graph(take: Callable[[], None]) -> Callable[[], None]:
    """The work as a CUDA graph, as in torch's documentation ("CUDA Graphs"). Unsupported with
    torch's reason."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            take()
    except RuntimeError as error:
        # The end of a broken capture raises once more.
        first = error.__context__ or error
        reason = next(iter(str(first).splitlines()), type(first).__name__)
        raise Unsupported(f"torch cannot capture this step in a CUDA graph: {reason}") from error
    replay: Callable[[], None] = graph.replay
    return replay


@contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """Work before a capture must not use the default stream, as torch's documentation says."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


class _Watch(TorchDispatchMode):
    """Raises Unsupported where a value of a tensor is read on the host: a capture would fail there,
    or, for a tensor of the CPU, keep the value that it found."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is _READS:
            raise Unsupported(
                f"its step reads a tensor on the host{_caller()}, which a CUDA graph cannot repeat"
            )
        return func(*args, **(kwargs or {}))


def _caller() -> str:
    """File and line of the code that called torch, if it is Python."""
    frame, torch_ = sys._getframe(2), Path(torch.__file__).parent
    inside = (torch_ / "_dynamo", torch_ / "_compile.py", torch_ / "utils", Path(__file__))
    while frame and any(Path(frame.f_code.co_filename).is_relative_to(each) for each in inside):
        frame = frame.f_back  # type: ignore[assignment]
    return f" ({Path(frame.f_code.co_filename).name}, line {frame.f_lineno})" if frame else ""


def on_host(optimizer: torch.optim.Optimizer, but: Collection[str]) -> dict[str, str]:
    """Everything in an optimizer that a graph does not move, by its place: numbers, texts, the
    addresses of its tensors, and the values of tensors on the CPU beside parameters elsewhere.

    but: keys of parameter groups that are set before every step."""
    found: dict[str, str] = {}
    groups = optimizer.param_groups
    device = groups[0]["params"][0].device
    _note(found, "", {**vars(optimizer), "state": None, "param_groups": None}, device)
    for group in groups:
        settings = {key: value for key, value in group.items() if key not in ("params", *but)}
        _note(found, "", settings, device)
        for place, parameter in enumerate(group["params"]):
            _note(found, f"[{place}]", optimizer.state.get(parameter, {}), device)
    return found


def _note(found: dict[str, str], place: str, value: Any, device: torch.device) -> None:
    if isinstance(value, Tensor):
        here = value.device == device
        found[place] = f"tensor at {value.data_ptr()}" if here else str(value.tolist())
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _note(found, f"{place}.{key}" if place else str(key), inner, device)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            _note(found, f"{place}[{number}]", inner, device)
    elif isinstance(value, int | float | complex | str | None):
        found[place] = repr(value)


def _check_unchanged(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for place in after:
        if before.get(place) != after[place]:
            raise Unsupported(
                f"its optimizer changes {place!r} on the host at every step, which a CUDA graph"
                " cannot repeat"
            )
