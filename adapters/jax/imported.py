"""Whether an import path leads to a factory of Optax' transformations; see gradrace.describing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The argument that the adapter gives the learning rate by, and how many it gives before it.
RATE, GIVEN = "learning_rate", 0
# Arguments without a default that the adapter gives if nobody does.
SUPPLIED: frozenset[str] = frozenset()


def problem_of(target: Any, arguments: Mapping[str, Any]) -> str:
    """Why the target makes no transformation from a learning rate, or "". arguments: those that
    have no default and that somebody gave."""
    try:
        made = target(learning_rate=1e-3, **arguments)
    # It may be any function.
    except Exception as error:
        return f"no optimizer: it cannot be called with a learning_rate ({error})"
    if callable(getattr(made, "init", None)) and callable(getattr(made, "update", None)):
        return ""
    return f"no optimizer: it gives a {type(made).__name__}, without init and update"
