"""How PyTorch is driven: eager, eager-fused or compile.

eager: layers one by one, and the optimizer's class as it chooses by itself (on a CPU one tensor
after the other, on a GPU all together), as for a user who sets nothing.
eager-fused: with `fused=True` if the class takes it (SGD, Adam, AdamW, Adagrad), else as eager.
compile: `torch.compile` of model, loss and penalties as one function, and so of their gradients;
the optimizer as in eager-fused, evaluations as in eager. torch.compile does not trace recurrent
layers unless told to (28 steps would be unrolled): they and their neighbours run as in eager.
"""

from __future__ import annotations

import inspect
import sysconfig
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gradrace.adapters.torch.losses import Criterion
from torch import Tensor, nn

Objective = Callable[[Tensor, Tensor], Tensor]


class Mode(NamedTuple):
    """fused: the optimizer's fused form if it has one. compiled: the loss through torch.compile."""

    fused: bool
    compiled: bool


MODES: Mapping[str, Mode] = {
    "eager": Mode(fused=False, compiled=False),
    "eager-fused": Mode(fused=True, compiled=False),
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
    """The objective of this model through torch.compile.

    Sessions' programs are kept apart: together they would reach torch's limit of recompilations,
    beyond which it goes on in eager mode without a word.
    """
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    # torch's overloads leave the last argument out.
    compile_: Any = torch.compile
    program: Objective = compile_(whole, fullgraph=not recurrent, isolate_recompiles=True)
    return program


def programs() -> int:
    """How many graphs torch.compile has compiled in this process so far."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


@cache
def cannot_compile(device: str) -> str | None:
    """The reason why torch.compile cannot work here, or None. Asks the toolchain only once."""
    if "isolate_recompiles" not in inspect.signature(torch.compile).parameters:
        return (
            f"torch.compile of PyTorch {torch.__version__} cannot keep the programs of two sessions"
            " apart"
        )
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
