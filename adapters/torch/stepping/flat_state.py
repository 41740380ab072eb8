"""All numbers that an optimizer keeps, as arrays by readable paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from gradrace.adapters.torch.layers import as_array
from gradrace.adapters.torch.stepping.making import inside, signature_of
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
    inner = inside(optimizer)
    settings = {"lr", *arguments}.union(*(signature_of(type(each)).known for each in inner))
    found: dict[str, np.ndarray] = {}
    for prefix, holder in (("", optimizer), *(("inner.", each) for each in inner)):
        for path, value in _entries(holder, names, settings):
            # A wrapper often shows the groups and the state of what it wraps as its own.
            if prefix and path in found:
                continue
            for end, number in _numbers(value, _DEEPEST, set(names)):
                found[prefix + path + end] = number
    return found


def _entries(
    optimizer: Any, names: Mapping[int, str], settings: Set[str]
) -> Iterator[tuple[str, Any]]:
    state = getattr(optimizer, "state", {})
    for key, value in state.items() if isinstance(state, Mapping) else ():
        label = names.get(id(key), "state" if torch.is_tensor(key) else str(key))
        for name, each in value.items() if isinstance(value, Mapping) else [("value", value)]:
            yield f"{label}.{name}", each
    groups: Sequence[Any] = getattr(optimizer, "param_groups", ())
    for place, group in enumerate(groups):
        label = "group" if len(groups) == 1 else f"group{place}"
        for key, value in group.items():
            if key not in settings and key != "params":
                yield f"{label}.{key}", value
    for key, value in vars(optimizer).items():
        if not key.startswith("_") and key not in _NO_STATE | settings:
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
            # Other keys belong to tables of views.
            if isinstance(key, str | int):
                yield from _below(str(key), each, deep, tensors)
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            yield from _below(str(place), each, deep, tensors)


def _below(key: str, value: Any, deep: int, tensors: Set[int]) -> Iterator[tuple[str, np.ndarray]]:
    for rest, number in _numbers(value, deep - 1, tensors):
        yield f".{key}{rest}", number
