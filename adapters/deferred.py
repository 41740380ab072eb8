"""Numbers whose values may change after code was traced with them: hyperparameters of optimizers.

A Deferred stands for a Python float. Arithmetic on it is written down as an expression, and the
host works out its value in float64, as Python would: computed by a program in float32, 1 - 0.999
is off by 1e-5. A framework says what a Deferred becomes if it meets an array, and what happens if
its value is needed while code is traced: a comparison, a conversion, a truth value.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np


@dataclass(frozen=True)
class Free:
    """A value that is left open, by its name or place."""

    key: Hashable


# Free, a number, or (function, *expressions).
Expression = Any

_REAL = (int, float, np.integer, np.floating)


def value_of(expression: Expression, values: Any) -> Any:
    """The expression's value. values: a mapping or sequence by the keys of Free."""
    match expression:
        case Free(key):
            return values[key]
        case (function, *operands):
            return function(*(value_of(operand, values) for operand in operands))
    return expression


def free_keys(expression: Expression) -> set[Hashable]:
    """The keys of all that is left open in it."""
    if isinstance(expression, Free):
        return {expression.key}
    operands = expression[1:] if isinstance(expression, tuple) else ()
    return {key for operand in operands for key in free_keys(operand)}


def _arithmetic(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def method(self: Deferred, other: Any) -> Any:
        if (operand := _operand(other)) is None:
            return self.with_array(function, self, other)
        return self.derived((function, self.expression, operand))

    return method


def _reflected(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def method(self: Deferred, other: Any) -> Any:
        if (operand := _operand(other)) is None:
            return self.with_array(function, other, self)
        return self.derived((function, operand, self.expression))

    return method


def _compared(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def method(self: Deferred, other: Any) -> Any:
        operand = _operand(other)
        if operand is None:
            return NotImplemented
        return self.decided((function, self.expression, operand))

    return method


def _of_itself(function: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda self: self.derived((function, self.expression))


def _bound(function: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda self: self.decided((function, self.expression))


def _operand(other: Any) -> Expression | None:
    """None for an array, or whatever else is no number."""
    if isinstance(other, Deferred):
        return other.expression
    return other if isinstance(other, _REAL) else None


class Deferred:
    """A float that is known when a program runs; each framework has a subclass."""

    # NumPy leaves operations to this class.
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expression: Expression) -> None:
        self.expression = expression

    def derived(self, expression: Expression) -> Self:
        """A number like this one, of another expression."""
        raise NotImplementedError

    def decided(self, expression: Expression) -> Any:
        """The value of an expression that is needed while code is traced; or a TypeError."""
        raise NotImplementedError

    def with_array(self, function: Callable[..., Any], one: Any, other: Any) -> Any:
        """function(one, other), one of which is this number; by default the array's own affair."""
        return NotImplemented

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.expression!r})"

    __add__, __radd__ = _arithmetic(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _arithmetic(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _arithmetic(operator.mul), _reflected(operator.mul)
    __truediv__, __rtruediv__ = _arithmetic(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _arithmetic(operator.floordiv), _reflected(operator.floordiv)
    __mod__, __rmod__ = _arithmetic(operator.mod), _reflected(operator.mod)
    __pow__, __rpow__ = _arithmetic(operator.pow), _reflected(operator.pow)
    __neg__, __pos__ = _of_itself(operator.neg), _of_itself(operator.pos)
    __abs__ = _of_itself(operator.abs)
    __lt__, __le__ = _compared(operator.lt), _compared(operator.le)
    __gt__, __ge__ = _compared(operator.gt), _compared(operator.ge)
    __eq__, __ne__ = _compared(operator.eq), _compared(operator.ne)
    __bool__, __float__, __int__ = _bound(operator.truth), _bound(float), _bound(int)
    __trunc__, __floor__ = _bound(math.trunc), _bound(math.floor)
    __ceil__, __round__ = _bound(math.ceil), _bound(round)
