"""The arrays that an optimizer holds, wherever it keeps them."""

from __future__ import annotations

import functools
import logging
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

# These hold no arrays, or none that are an optimizer's state.
_PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    type(Ellipsis),
    type(NotImplemented),
    range,
    slice,
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    types.CodeType,
    types.GenericAlias,
    np.generic,
    np.dtype,
    Enum,
    logging.Logger,
    type(threading.Lock()),
    type(threading.RLock()),
    threading.local,
    weakref.ref,
)
# An object that leads to more than these leads to a library, not to a state.
_MOST = 200_000


class HeldArrays(NamedTuple):
    """arrays: each once. whole: whether everything could be looked into, so none is missing."""

    arrays: list[Any]
    whole: bool


def held_arrays(
    roots: Iterable[object],
    is_array: Callable[[object], bool],
    but: Collection[object] = (),
    plain: tuple[type, ...] = (),
) -> HeldArrays:
    """All arrays in dictionaries, sequences, sets, attributes and closures, at any depth.

    but: objects that are not looked into (parameters). plain: further types without arrays.
    """
    found: list[Any] = []
    seen = {id(each): each for each in but}
    waiting, whole = list(roots), True
    while waiting and len(seen) < _MOST:
        value = waiting.pop()
        if isinstance(value, (*_PLAIN, *plain)) or id(value) in seen:
            continue
        # Kept, so that no other object takes its id.
        seen[id(value)] = value
        if is_array(value):
            found.append(value)
            continue
        inner = _inside(value)
        whole = whole and inner is not None
        waiting += inner or ()
    return HeldArrays(found, whole and not waiting)


def _inside(value: Any) -> list[Any] | None:
    """Everything that the value refers to; None if that cannot be known."""
    match value:
        case Mapping():
            return [*value.keys(), *value.values(), *_attributes(value)]
        case list() | tuple() | deque() | Set():
            return [*value, *_attributes(value)]
        case types.FunctionType():
            defaults = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
            return [*_contents(value.__closure__ or ()), *defaults]
        case types.MethodType():
            return [value.__self__, value.__func__]
        case functools.partial():
            return [value.func, *value.args, *value.keywords.values()]
    return _attributes(value) if hasattr(value, "__dict__") or _slots(value) else None


def _attributes(value: Any) -> list[Any]:
    slots = (getattr(value, name) for name in _slots(value) if hasattr(value, name))
    return [*getattr(value, "__dict__", {}).values(), *slots]


def _slots(value: Any) -> list[str]:
    declared = (vars(each).get("__slots__", ()) for each in type(value).__mro__)
    names = (name for slots in declared for name in ([slots] if isinstance(slots, str) else slots))
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _contents(cells: Iterable[types.CellType]) -> list[Any]:
    found = []
    for cell in cells:
        try:
            found.append(cell.cell_contents)
        except ValueError:
            # Not filled yet.
            continue
    return found
