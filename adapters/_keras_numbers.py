"""Arguments of an optimizer whose values may change after a step has been traced with them.

A Number stands in an optimizer's attribute for a Python float. What the optimizer computes of it
and of other floats, such as 1 - beta_2, is written down and computed on the host in float64, as
Python would; a graph then reads the outcome from a variable, so that no bit differs from a
constant's. (Computed by the graph, in float32, 1 - 0.999 is off by 1e-5.) A comparison, or anything
else that needs the value there and then, gives that of the day and binds the trace to it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import tensorflow as tf

# A name, a constant, or (function, *operands).
Expression = Any
Values = Mapping[str, float]

_REAL = (int, float, np.integer, np.floating)


class Numbers:
    """Named values, and all that traces have made of them. `set` changes the values; `fits` says
    whether it may.
    """

    def __init__(self, values: Values, dtype: str) -> None:
        self.dtype, self._values = dtype, dict(values)
        # One variable [k] for all, made ahead: where a trace makes a variable, tf.function traces
        # twice.
        self._outcomes = tf.Variable(np.zeros(0), shape=[None], dtype=dtype, trainable=False)
        self._places: dict[Expression, int] = {}
        self._decided: dict[Expression, Any] = {}
        self._read: WeakKeyDictionary[tf.Graph, dict[Expression, tf.Tensor]] = WeakKeyDictionary()

    def named(self) -> dict[str, Number]:
        """Each as a number to compute with."""
        return {name: Number(self, name) for name in self._values}

    @property
    def values(self) -> Values:
        """The present ones."""
        return self._values

    def fits(self, values: Values) -> bool:
        """Whether what was traced so far holds for these values of the same names."""
        return self._values.keys() == values.keys() and all(
            _value(expression, values) == outcome for expression, outcome in self._decided.items()
        )

    def set(self, values: Values) -> None:
        """Gives these values to what was traced, and to what will be."""
        if values != self._values:
            self._values = dict(values)
            self._assign()

    def decided(self, expression: Expression) -> Any:
        """The outcome for the present values, to which the trace is bound from now on."""
        outcome = self._decided[expression] = _value(expression, self._values)
        return outcome

    def tensor(self, expression: Expression) -> tf.Tensor:
        """A scalar of the dtype, read where the graph that is being built stands, once a graph."""
        if expression not in self._places:
            self._places[expression] = len(self._places)
            with tf.init_scope():
                self._assign()
        if tf.executing_eagerly():
            return self._outcomes[self._places[expression]]
        read = self._read.setdefault(tf.compat.v1.get_default_graph(), {})
        if expression not in read:
            read[expression] = self._outcomes[self._places[expression]]
        return read[expression]

    def _assign(self) -> None:
        outcomes = [_value(expression, self._values) for expression in self._places]
        self._outcomes.assign(np.array(outcomes, self._outcomes.dtype.as_numpy_dtype))


def _value(expression: Expression, values: Values) -> Any:
    match expression:
        case str():
            return values[expression]
        case (function, *operands):
            return function(*(_value(operand, values) for operand in operands))
    return expression


def _arithmetic(function: Callable[..., Any]) -> Callable[[Number, Any], Any]:
    def method(self: Number, other: Any) -> Any:
        operand = _operand(other)
        return (
            NotImplemented
            if operand is None
            else Number(self.numbers, (function, self.expression, operand))
        )

    return method


def _reflected(function: Callable[..., Any]) -> Callable[[Number, Any], Any]:
    def method(self: Number, other: Any) -> Any:
        operand = _operand(other)
        return (
            NotImplemented
            if operand is None
            else Number(self.numbers, (function, operand, self.expression))
        )

    return method


def _compared(function: Callable[..., Any]) -> Callable[[Number, Any], Any]:
    def method(self: Number, other: Any) -> Any:
        operand = _operand(other)
        return (
            NotImplemented
            if operand is None
            else self.numbers.decided((function, self.expression, operand))
        )

    return method


def _of_itself(function: Callable[..., Any]) -> Callable[[Number], Any]:
    return lambda self: Number(self.numbers, (function, self.expression))


def _bound(function: Callable[..., Any]) -> Callable[[Number], Any]:
    return lambda self: self.numbers.decided((function, self.expression))


def _operand(other: Any) -> Expression | None:
    """None for what knows itself how to compute with a Number: tensors, Keras' variables."""
    return (
        other.expression
        if isinstance(other, Number)
        else other
        if isinstance(other, _REAL)
        else None
    )


class Number:
    """A float that is known when a step runs. It becomes a tensor where it meets one."""

    # NumPy leaves operations to this class.
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, numbers: Numbers, expression: Expression) -> None:
        self.numbers, self.expression = numbers, expression

    @property
    def dtype(self) -> str:
        """Of the tensor that it becomes."""
        return self.numbers.dtype

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
        tensor = self.numbers.tensor(self.expression)
        return tensor if dtype is None else tf.cast(tensor, dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(float(self), dtype)

    def __repr__(self) -> str:
        return f"Number({self.expression!r})"

    __add__, __radd__ = _arithmetic(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _arithmetic(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _arithmetic(operator.mul), _reflected(operator.mul)
    __truediv__, __rtruediv__ = _arithmetic(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _arithmetic(operator.floordiv), _reflected(operator.floordiv)
    __mod__, __rmod__ = _arithmetic(operator.mod), _reflected(operator.mod)
    __pow__, __rpow__ = _arithmetic(operator.pow), _reflected(operator.pow)
    __neg__, __pos__, __abs__ = (
        _of_itself(operator.neg),
        _of_itself(operator.pos),
        _of_itself(operator.abs),
    )
    __lt__, __le__, __gt__, __ge__ = (
        _compared(f) for f in (operator.lt, operator.le, operator.gt, operator.ge)
    )
    __eq__, __ne__ = _compared(operator.eq), _compared(operator.ne)
    __bool__, __float__, __int__ = _bound(operator.truth), _bound(float), _bound(int)
    __trunc__, __floor__, __ceil__, __round__ = (
        _bound(f) for f in (math.trunc, math.floor, math.ceil, round)
    )


@contextmanager
def overridden(target: object, values: Mapping[str, Any]) -> Iterator[None]:
    """Attributes of the target replaced while a step is traced; the graph keeps the tensors, the
    object does not.
    """
    before = {name: getattr(target, name) for name in values}
    for name, value in values.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(target, name, value)
