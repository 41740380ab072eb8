"""Whether an import path leads to a factory of Optax' transformations; see gradrace.describing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradrace.adapters.calls import INNER, said
from gradrace.adapters.jax.making import adapted

# Any name of the learning rate's argument will do, or none; how many arguments the adapter gives
# before it.
RATE, GIVEN = "", 0
# Arguments without a default that the adapter gives if nobody does.
SUPPLIED = frozenset(INNER)


def problem_of(target: Any, arguments: Mapping[str, Any]) -> str:
    """Why the target makes no transformation from a learning rate, or "". arguments: those that
    have no default and that somebody gave."""
    try:
        made = adapted(target, arguments)(learning_rate=1e-3, **arguments)
    # It may be any function.
    except Exception as error:
        return f"no optimizer: it cannot be called with a learning rate ({said(error)})"
    if callable(getattr(made, "init", None)) and callable(getattr(made, "update", None)):
        return ""
    return f"no optimizer: it gives a {type(made).__name__}, without init and update"
