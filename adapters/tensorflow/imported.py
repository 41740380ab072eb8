"""Whether an import path of Keras leads to an optimizer; see gradrace.describing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras

# The argument that the adapter gives the learning rate by, and how many it gives before it.
RATE, GIVEN = "learning_rate", 0
# Arguments without a default that the adapter gives if nobody does.
SUPPLIED: frozenset[str] = frozenset()


def problem_of(target: Any, arguments: Mapping[str, Any]) -> str:
    """Why the target is no optimizer of Keras' form, or "". arguments: those that have no default
    and that somebody gave."""
    if inspect.isclass(target):
        fits = issubclass(target, keras.optimizers.Optimizer)
        return "" if fits else "no optimizer: it is no keras.optimizers.Optimizer"
    try:
        made = target(learning_rate=1e-3, **arguments)
    # It may be any function.
    except Exception as error:
        return f"no optimizer: it cannot be called with a learning_rate ({error})"
    if isinstance(made, keras.optimizers.Optimizer):
        return ""
    return f"no optimizer: it gives a {type(made).__name__}, no keras.optimizers.Optimizer"
