"""All numbers that an optimizer keeps, as arrays by readable paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from gradrace.adapters.torch.layers import as_array
from gradrace.adapters.torch.stepping.making import inside
from torch import Tensor

# Attributes of torch's base class, and of classes that note what they were made with.
_NO_STATE = {"param_groups", "state", "defaults", "model"}
# Deeper objects lead to a library, not to a state.
_DEEPEST = 6


def flat_state(
    optimizer: Any, tensors: Mapping[str, Tensor], arguments: Set[str]
) -> dict[str, np.ndarray]:
    """Copies. The state of a tensor under its name, that of a parameter group under "group",
    attributes under their names. arguments: of the class; settings are no state."""
    names = {id(tensor): name for name, tensor in tensors.items()}
    found: dict[str, np.ndarray] = {}
    for place, holder in enumerate([optimizer, *inside(optimizer)]):
        prefix = "inner." if place else ""
        for path, value in _entries(holder, names, arguments | {"lr"}):
            for end, number in _numbers(value, _DEEPEST, set(names)):
                found.setdefault(prefix + path + end, number)
    return found


def _entries(
    optimizer: Any, names: Mapping[int, str], arguments: Set[str]
) -> Iterator[tuple[str, Any]]:
    state = getattr(optimizer, "state", {})
    for key, value in state.items() if isinstance(state, Mapping) else ():
        yield names.get(id(key), "state" if torch.is_tensor(key) else str(key)), value
    groups: Sequence[Any] = getattr(optimizer, "param_groups", ())
    for place, group in enumerate(groups):
        label = "group" if len(groups) == 1 else f"group{place}"
        for key, value in group.items():
            if key not in arguments and key != "params":
                yield f"{label}.{key}", value
    for key, value in vars(optimizer).items():
        if not key.startswith("_") and key not in _NO_STATE | arguments:
            yield key, value


def _numbers(value: Any, deep: int, tensors: Set[int]) -> Iterator[tuple[str, np.ndarray]]:
    """(rest of the path, array) of every number below a value; parameters left out."""
    if id(value) in tensors or not deep:
        return
    if torch.is_tensor(value):
        yield "", as_array(value.detach()).copy()
    elif isinstance(value, bool | int | float | np.ndarray | np.generic):
        yield "", np.array(value)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _below(str(key), each, deep, tensors)
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            yield from _below(str(place), each, deep, tensors)


def _below(key: str, value: Any, deep: int, tensors: Set[int]) -> Iterator[tuple[str, np.ndarray]]:
    for rest, number in _numbers(value, deep - 1, tensors):
        yield f".{key}{rest}", number
