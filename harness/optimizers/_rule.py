"""Types of an optimizer's rule, and the arguments of its bindings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..optimizer import Array, Hypers, State

__all__ = ["Array", "Hypers", "State", "Updated", "arguments"]

# The parameter and the state after a step.
Updated = tuple[Array, State]


def arguments(**given: str | tuple[str, ...] | float) -> Callable[[Hypers], dict[str, Any]]:
    """For `Binding.canonical`: keyword arguments from hyperparameters by name, or fixed numbers."""

    def canonical(hyper: Hypers) -> dict[str, Any]:
        return {name: value_of(value, hyper) for name, value in given.items()}

    def value_of(value: str | tuple[str, ...] | float, hyper: Hypers) -> Any:
        if isinstance(value, tuple):
            return tuple(hyper[name] for name in value)
        return hyper[value] if isinstance(value, str) else value

    return canonical
