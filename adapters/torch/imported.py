"""Whether an import path of torch leads to an optimizer; see gradrace.describing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from gradrace.adapters.torch.stepping.making import GIVEN_PARTS

# The learning rate's argument may have any known name, or none, as a wrapper's; the adapter gives
# one argument before it.
RATE, GIVEN = "", 1
# Arguments without a default that the adapter gives if nobody does.
SUPPLIED = frozenset((*GIVEN_PARTS, "params"))


def problem_of(target: Any, arguments: Mapping[str, Any]) -> str:
    """Why the target is no optimizer of torch's form, or "". arguments: those that have no default
    and that somebody gave."""
    if inspect.isclass(target):
        if issubclass(target, torch.optim.Optimizer) or callable(getattr(target, "step", None)):
            return ""
        return "no optimizer: it is no torch.optim.Optimizer, and has no method step"
    try:
        made = target([torch.nn.Parameter(torch.zeros(2, 2))], lr=1e-3, **arguments)
    # It may be any function.
    except Exception as error:
        return f"no optimizer: it cannot be called with parameters and lr ({error})"
    if hasattr(made, "param_groups") and callable(getattr(made, "step", None)):
        return ""
    return f"no optimizer: it gives a {type(made).__name__}, without step and param_groups"
