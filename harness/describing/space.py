"""The search space of an optimizer that comes by its import path, by rules from its signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..imported.aliases import places
from ..optimizer import Argument, Hyper, Range, SearchSpace
from ..optimizers._shared import ADAM_RANGES

# Of a class that has none by default.
LEARNING_RATE = 1e-3
_DECAYS = Range(5e-3, 1.0, log=True)
_SOURCE = (
    "by rule from the signature: the learning rate within two decades of its default, weight decay"
    " from 0.005 to 1 or within one decade of a default above 0, beta1 and beta2 as of Adam"
)


def numbers_of(arguments: Mapping[str, Argument]) -> dict[str, Hyper]:
    """The numbers among the arguments, by their own names and by their meaning: beta1 of betas."""
    own = {name: argument.default for name, argument in arguments.items()}
    meant = {name: place.value(own) for name, place in places(own).items()}
    if "weight_decay" in own and own["weight_decay"] is None:
        # Keras' way to say that there is none.
        own["weight_decay"] = meant["weight_decay"] = 0.0
    return {
        name: Hyper(float(value), "an argument of the library", low=float("-inf"))
        for name, value in {**own, **meant}.items()
        if _is_number(value)
    }


def space_of(learning_rate: float, numbers: Mapping[str, Hyper]) -> SearchSpace:
    """numbers: as of `numbers_of`. Everything else stays at the library's default."""
    ranges = {"learning_rate": Range(learning_rate / 100, learning_rate * 100, log=True)}
    if "weight_decay" in numbers:
        decay = numbers["weight_decay"].default
        ranges["weight_decay"] = Range(decay / 10, decay * 10, log=True) if decay > 0 else _DECAYS
    for name in ("beta1", "beta2"):
        if name in numbers and 0.0 < numbers[name].default < 1.0:
            ranges[name] = ADAM_RANGES[name]
    return SearchSpace(ranges, _SOURCE)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
