"""Hyperparameters that have a value for each lane and step, for a class that expects floats.

Inside of torch.func.vmap a LaneNumber becomes a tensor of one value where it meets a tensor. What a
class computes of them before is worked out on the host in float64, for all steps at once, as by a
class with plain floats.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Self

import numpy as np
import torch
from gradrace.adapters.deferred import Deferred, Expression, Free, value_of
from torch import Tensor
from torch.overrides import TorchFunctionMode

# The number of the update, counted from 1.
STEP = "step"


class LaneNumber(Deferred, float):  # type: ignore[misc]
    """A float by its type, since torch takes no other objects as numbers. Its value as a float is
    NaN: if anything reads that, the trial of the class finds out."""

    def __new__(cls, expression: Expression, numbers: Numbers) -> Self:
        return float.__new__(cls, float("nan"))

    def __init__(self, expression: Expression, numbers: Numbers) -> None:
        super().__init__(expression)
        self._numbers = numbers

    def derived(self, expression: Expression) -> LaneNumber:
        return LaneNumber(expression, self._numbers)

    def decided(self, expression: Expression) -> Any:
        return self._numbers.decided(expression)


class Numbers:
    """The values of all lanes at all steps.

    values: float64[steps or 1, lanes or 1] by the keys of Free; STEP is added.
    """

    def __init__(
        self,
        values: Mapping[Hashable, np.ndarray],
        steps: int,
        lanes: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._shape, self._dtype, self._device = (steps, lanes), dtype, device
        self._values: dict[Hashable, np.ndarray] = {}
        self._tables: dict[Expression, Tensor] = {}
        # What the class decided by, and how.
        self.decisions: dict[Expression, Any] = {}
        self._row: Callable[[Tensor], Tensor] = lambda table: table[0]
        self._now: dict[Expression, Tensor] = {}
        self._lane: Tensor | None = None
        self.replace(values)

    @property
    def tables(self) -> int:
        """How many numbers met a tensor so far."""
        return len(self._tables)

    def replace(self, values: Mapping[Hashable, np.ndarray]) -> None:
        """Other values from now on, in the memory of those before."""
        steps = np.arange(1.0, self._shape[0] + 1.0)[:, None]
        self._values = {**values, STEP: steps}
        for expression, table in self._tables.items():
            table.copy_(self._table(expression))

    def number(self, key: Hashable) -> LaneNumber:
        """The number of this key."""
        return LaneNumber(Free(key), self)

    def at(self, step: int | Tensor) -> None:
        """The tables are read at this step from now on; int64[1] for a step that is captured."""
        if isinstance(step, Tensor):
            self._row = lambda table: table.index_select(0, step).squeeze(0)
        else:
            self._row = lambda table: table[step]

    def inside(self, lane: Tensor) -> None:
        """Called within vmap's function, whose lane this is."""
        self._lane = lane.unsqueeze(0)
        self._now.clear()

    def tensor(self, expression: Expression) -> Tensor:
        """The value of the present lane and step."""
        if expression not in self._now:
            if expression not in self._tables:
                self._tables[expression] = self._table(expression)
            row = self._row(self._tables[expression])
            assert self._lane is not None
            self._now[expression] = row.index_select(0, self._lane).squeeze(0)
        return self._now[expression]

    def _table(self, expression: Expression) -> Tensor:
        found = np.broadcast_to(self._computed(expression), self._shape)
        return torch.tensor(found, dtype=self._dtype, device=self._device)

    def _computed(self, expression: Expression) -> Any:
        with np.errstate(all="ignore"):
            return value_of(expression, self._values)

    def decided(self, expression: Expression) -> Any:
        """One value for all lanes and steps, or a TypeError."""
        function, *operands = expression
        values = np.broadcast_arrays(*map(self._computed, operands))
        found = {function(*each) for each in zip(*map(np.ravel, values), strict=True)}
        if len(found) != 1:
            raise TypeError("lanes or steps decide differently")
        self.decisions[expression] = found.pop()
        return self.decisions[expression]


class LaneMode(TorchFunctionMode):
    """Puts a lane's tensors in the place of LaneNumbers; an optimizer's step runs within.

    counters: the tensors that count updates, whose values are read on the host.
    """

    def __init__(self, numbers: Numbers, counters: list[Tensor]) -> None:
        super().__init__()
        self._numbers, self._counters = numbers, {id(tensor) for tensor in counters}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name == "item":
            # Of a counter it is known; other tensors stay tensors.
            return self._numbers.number(STEP) if id(args[0]) in self._counters else args[0]
        given = [self._seen(arg) for arg in args]
        named = {key: self._seen(value) for key, value in (kwargs or {}).items()}
        if isinstance(out := named.pop("out", None), Tensor):
            # vmap has no rules for it.
            return out.copy_(func(*given, **named))
        if name.rstrip("_") in _PIECES and isinstance(given[0], Tensor):
            return _in_pieces(name, given, named)
        return func(*given, **named)

    def _seen(self, value: Any) -> Any:
        return self._numbers.tensor(value.expression) if isinstance(value, LaneNumber) else value


def _in_pieces(name: str, given: list[Any], named: dict[str, Any]) -> Tensor:
    """By operations that vmap has rules for, and that take tensors for numbers."""
    own, plain = given[0], name.rstrip("_")
    added: Tensor = _PIECES[plain](*given, **named)
    return own.add_(added) if name.endswith("_") else own + added


# What is added to the first tensor.
_PIECES: dict[str, Callable[..., Any]] = {
    "add": lambda own, other, alpha=None: other if alpha is None else other * alpha,
    "sub": lambda own, other, alpha=None: -other if alpha is None else other * -alpha,
    "addcmul": lambda own, one, other, value=1: one * value * other,
    "addcdiv": lambda own, one, other, value=1: one * value / other,
    "lerp": lambda own, end, weight: (end - own) * weight,
}
