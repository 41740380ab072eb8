"""Whether an import path of Keras leads to an optimizer; see gradrace.describing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
from gradrace.adapters.calls import INNER, said
from gradrace.adapters.tensorflow.making import adapted

# Any name of the learning rate's argument will do, or none; how many arguments the adapter gives
# before it.
RATE, GIVEN = "", 0
# Arguments without a default that the adapter gives if nobody does.
SUPPLIED = frozenset(INNER)


def problem_of(target: Any, arguments: Mapping[str, Any]) -> str:
    """Why the target is no optimizer of Keras' form, or "". arguments: those that have no default
    and that somebody gave."""
    if inspect.isclass(target):
        return _problem_of_class(target)
    try:
        made = adapted(target, arguments)(learning_rate=1e-3, **arguments)
    # It may be any function.
    except Exception as error:
        return f"no optimizer: it cannot be called with a learning rate ({said(error)})"
    if isinstance(made, keras.optimizers.Optimizer):
        return ""
    return f"no optimizer: it gives a {type(made).__name__}, no keras.optimizers.Optimizer"


def _problem_of_class(target: Any) -> str:
    base = keras.optimizers.Optimizer
    if not issubclass(target, base):
        return "no optimizer: it is no keras.optimizers.Optimizer"
    own = target.update_step is not base.update_step or target.apply is not base.apply
    return "" if own else "abstract: it does not define update_step"
