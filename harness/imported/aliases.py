"""Which argument of a library's optimizer means what: names differ, the meaning is one of a few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# Meaning -> the arguments that have it, in torch's, Keras' and Optax' spellings. A number behind a
# name is the place in a tuple.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("lr", "learning_rate", "max_lr", "max_learning_rate"),
    "beta1": ("betas.0", "beta_1", "beta1", "b1"),
    "beta2": ("betas.1", "beta_2", "beta2", "b2"),
    "beta3": ("betas.2", "beta_3", "beta3", "b3"),
    "epsilon": ("eps", "epsilon"),
    "weight_decay": ("weight_decay",),
    "momentum": ("momentum",),
    "rho": ("rho", "alpha", "decay"),
}


class Place(NamedTuple):
    """An argument, or one entry of an argument that takes a tuple."""

    argument: str
    entry: int | None = None

    def value(self, arguments: Mapping[str, Any]) -> Any:
        """The value there."""
        found = arguments[self.argument]
        return found if self.entry is None else found[self.entry]


def places(defaults: Mapping[str, Any]) -> dict[str, Place]:
    """Meaning -> its place, for the arguments with these defaults (as of a signature)."""
    found: dict[str, Place] = {}
    for meaning, names in _NAMES.items():
        for place in map(_place, names):
            if _fits(place, defaults):
                found.setdefault(meaning, place)
    return found


def learning_rate_argument(arguments: Iterable[str]) -> str | None:
    """The name of the learning rate's argument; None if there is none."""
    known = set(arguments)
    return next((name for name in _NAMES["learning_rate"] if name in known), None)


def _place(text: str) -> Place:
    name, dot, entry = text.partition(".")
    return Place(name, int(entry) if dot else None)


def _fits(place: Place, defaults: Mapping[str, Any]) -> bool:
    if place.argument not in defaults:
        return False
    if place.entry is None:
        return True
    default = defaults[place.argument]
    return isinstance(default, list | tuple) and len(default) > place.entry
