"""How PyTorch is driven: eager, eager-fused, cudagraph or compile.

eager: layers one by one, and the optimizer's class as it chooses by itself (on a CPU one tensor
after the other, on a GPU all together), as for a user who sets nothing.
eager-fused: with `fused=True` if the class takes it (SGD, Adam, AdamW, Adagrad), else as eager.
cudagraph: the whole step as one CUDA graph, which the host replays (captured.py); the optimizer as
in eager-fused, with `capturable=True` if its class takes it, and with `foreach=True` if its fused
form cannot read the numbers of a step on the device exactly.
compile: `torch.compile` of model, loss and penalties as one function, and so of their gradients;
the optimizer as in eager-fused, evaluations as in eager. torch.compile does not trace recurrent
layers unless told to (28 steps would be unrolled): they and their neighbours run as in eager.
"""

from __future__ import annotations

import gc
import inspect
import sysconfig
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakSet

import torch
from gradrace.adapter import Unsupported
from gradrace.adapters.torch.losses import Criterion
from gradrace.optimizer import Optimizer
from gradrace.spec import RunSpec
from torch import Tensor, nn

Objective = Callable[[Tensor, Tensor], Tensor]


class Mode(NamedTuple):
    """fused: the optimizer's fused form if it has one. compiled: the loss through torch.compile.
    captured: the step as a CUDA graph."""

    fused: bool
    compiled: bool = False
    captured: bool = False


MODES: Mapping[str, Mode] = {
    "eager": Mode(fused=False),
    "eager-fused": Mode(fused=True),
    "cudagraph": Mode(fused=True, captured=True),
    "compile": Mode(fused=True, compiled=True),
}


def objective(
    model: nn.Module, criterion: Criterion, penalty: Callable[[], Tensor] | None
) -> Objective:
    """(x, prepared y) -> the value to differentiate: the batch's mean loss plus penalties."""
    if penalty is None:
        return lambda x, y: criterion(model(x), y)
    return lambda x, y: criterion(model(x), y) + penalty()


def compiled(whole: Objective, model: nn.Module) -> Objective:
    """The objective of this model through torch.compile; see `released`.

    Sessions' programs are kept apart: together they would reach torch's limit of recompilations,
    beyond which it goes on in eager mode without a word. A release that cannot do so holds one
    session at a time. Unsupported if another one is open.
    """
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    # torch's overloads leave the last argument out.
    compile_: Any = torch.compile
    if "isolate_recompiles" in inspect.signature(torch.compile).parameters:
        apart = {"isolate_recompiles": True}
    else:
        apart = {}
        _have_alone(model)
    program: Objective = compile_(whole, fullgraph=not recurrent, **apart)
    return program


# Models of open sessions, if their programs share a process.
_OPEN: WeakSet[nn.Module] = WeakSet()


def _have_alone(model: nn.Module) -> None:
    if _OPEN:
        # A session that broke may wait to be collected.
        gc.collect()
    if _OPEN:
        raise Unsupported(
            f"torch.compile of PyTorch {torch.__version__} cannot keep the programs of two sessions"
            " apart, and this process has another one open"
        )
    torch.compiler.reset()
    _OPEN.add(model)


def released(model: nn.Module) -> None:
    """The session of this model is closed."""
    _OPEN.discard(model)


def programs() -> int:
    """How many graphs torch.compile has compiled in this process so far."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def cannot_capture(run: RunSpec, optimizer: Optimizer) -> str | None:
    """The reason why no step of this run fits into a CUDA graph, or None; others show only when
    the step is tried, and raise Unsupported then."""
    if run.device != "gpu":
        return "mode cudagraph needs a GPU: a CUDA graph replays work of the device"
    binding = optimizer.bindings[run.framework]
    if binding.loss_asked_for(run.optimizer.rule):
        return f"{binding.label} evaluates the loss itself, on the host; no CUDA graph can do that"
    return None


@cache
def cannot_compile(device: str) -> str | None:
    """The reason why torch.compile cannot work here, or None. Asks the toolchain only once."""
    if device == "gpu":
        from torch.utils._triton import has_triton

        if has_triton():
            return None
        return "torch.compile needs Triton on a GPU, which is not installed or does not support it"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "torch.compile needs the headers of Python (Python.h), which are not installed"
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return (
            "torch.compile needs a C++ compiler (g++, or the one that CXX names), and none works"
            " here"
        )
    return None
