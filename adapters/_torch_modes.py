"""How PyTorch is driven: eager, eager-fused or compile.

eager: layers one by one, and the optimizer's class as it chooses to compute by itself (on a CPU one
tensor after the
    other, on a GPU all tensors together): what a user gets who sets nothing.
eager-fused: with `fused=True` where the class takes it (SGD, Adam, AdamW, Adagrad), else as eager.
compile: `torch.compile` of model, loss and penalties as one function, and so of their gradients;
the optimizer as in
    eager-fused, evaluations as in eager. Recurrent layers break the graph: torch.compile does not
    trace them unless told to (28 steps would be unrolled), so in a model that has any, they and the
    layers around them run as in eager.
"""

from __future__ import annotations

import inspect
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from gradrace.adapters._torch_losses import Criterion
from torch import Tensor, nn

Objective = Callable[[Tensor, Tensor], Tensor]


def fused(mode: str) -> bool:
    """Whether this mode takes the fused form of an optimizer that has one."""
    return mode != "eager"


def objective(
    model: nn.Module, criterion: Criterion, penalty: Callable[[], Tensor] | None
) -> Objective:
    """(x, prepared y) -> what a step differentiates: the mean loss of the batch and the penalties."""
    if penalty is None:
        return lambda x, y: criterion(model(x), y)
    return lambda x, y: criterion(model(x), y) + penalty()


def compiled(whole: Objective, model: nn.Module) -> Objective:
    """The objective of this model through torch.compile.

    Programs are kept apart from those of other sessions, which would count against one limit of
    recompilations; beyond it torch would go on in eager mode without a word.
    """
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    # The overloads of torch leave the last argument out.
    return torch.compile(whole, fullgraph=not recurrent, isolate_recompiles=True)  # type: ignore[call-overload]


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

        return (
            None
            if has_triton()
            else (
                "torch.compile needs Triton on a GPU, which is not installed or does not support it"
            )
        )
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
