"""Other packages' classes with a state that starts as the weights, made with the optimizer.

By themselves they make it in their first step. A task's decoupled weight decay has then moved the
weights, so that the start would be another than in other libraries. The packages are imported late:
each is needed by its own optimizers alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def schedule_free_adamw(parameters: Any, **given: Any) -> torch.optim.Optimizer:
    """schedulefree.AdamWScheduleFree, whose fast iterate z starts at the weights."""
    import schedulefree

    optimizer = schedulefree.AdamWScheduleFree(parameters, **given)
    for parameter in _all(optimizer):
        second_moment = torch.zeros_like(parameter)
        optimizer.state[parameter].update(z=_copy(parameter), exp_avg_sq=second_moment)
    return optimizer


def schedule_free_sgd(parameters: Any, **given: Any) -> torch.optim.Optimizer:
    """schedulefree.SGDScheduleFree, whose fast iterate z starts at the weights."""
    import schedulefree

    optimizer = schedulefree.SGDScheduleFree(parameters, **given)
    for parameter in _all(optimizer):
        optimizer.state[parameter]["z"] = _copy(parameter)
    return optimizer


def prodigy(parameters: Any, **given: Any) -> torch.optim.Optimizer:
    """prodigyopt.Prodigy, whose distance is that from the first weights."""
    import prodigyopt

    optimizer = prodigyopt.Prodigy(parameters, **given)
    for parameter in _all(optimizer):
        zeros = torch.zeros_like(parameter)
        flat = _copy(parameter).flatten()
        moments = {"exp_avg": zeros, "exp_avg_sq": zeros.clone()}
        optimizer.state[parameter].update(step=0, s=torch.zeros_like(flat), p0=flat, **moments)
    return optimizer


def _all(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _copy(parameter: Tensor) -> Tensor:
    return parameter.detach().clone()
