"""Arguments of a Keras optimizer whose values may change after its step was traced.

A Number stands in an optimizer's attribute for a Python float. The graph reads what was computed
of it from a variable that the host sets, so that no bit differs from a constant's. Code that needs
the value while it is traced gets the present one, and the trace is bound to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from weakref import WeakKeyDictionary

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapters.deferred import Deferred, Expression, Free, value_of

Values = Mapping[str, float]


class Numbers:
    """Named values, and all that traces have made of them."""

    def __init__(self, values: Values, dtype: str) -> None:
        self.dtype, self._values = dtype, dict(values)
        # One variable [k] for all, made ahead: a trace that makes a variable is traced twice.
        self._outcomes = tf.Variable(np.zeros(0), shape=[None], dtype=dtype, trainable=False)
        self._places: dict[Expression, int] = {}
        self._decided: dict[Expression, Any] = {}
        self._read: WeakKeyDictionary[tf.Graph, dict[Expression, tf.Tensor]] = WeakKeyDictionary()

    def named(self) -> dict[str, Number]:
        """Each as a number to compute with."""
        return {name: Number(self, Free(name)) for name in self._values}

    @property
    def values(self) -> Values:
        """The present ones."""
        return self._values

    def fits(self, values: Values) -> bool:
        """Whether all that was traced so far holds for these values of the same names."""
        return self._values.keys() == values.keys() and all(
            value_of(expression, values) == outcome for expression, outcome in self._decided.items()
        )

    def set(self, values: Values) -> None:
        """Gives these values to all traces, past and future."""
        if values != self._values:
            self._values = dict(values)
            self._assign()

    def decided(self, expression: Expression) -> Any:
        """The outcome for the present values; the trace is bound to it from now on."""
        outcome = self._decided[expression] = value_of(expression, self._values)
        return outcome

    def tensor(self, expression: Expression) -> tf.Tensor:
        """A scalar of the dtype, read once in each graph."""
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
        outcomes = [value_of(expression, self._values) for expression in self._places]
        self._outcomes.assign(np.array(outcomes, self._outcomes.dtype.as_numpy_dtype))


class Number(Deferred):
    """One of them. It becomes a tensor if it meets one: tensors and Keras' variables see to it."""

    def __init__(self, numbers: Numbers, expression: Expression) -> None:
        super().__init__(expression)
        self.numbers = numbers

    def derived(self, expression: Expression) -> Self:
        return type(self)(self.numbers, expression)

    def decided(self, expression: Expression) -> Any:
        return self.numbers.decided(expression)

    @property
    def dtype(self) -> str:
        """Of the tensor that it becomes."""
        return self.numbers.dtype

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
        tensor = self.numbers.tensor(self.expression)
        return tensor if dtype is None else tf.cast(tensor, dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(float(self), dtype)


@contextmanager
def overridden(target: object, values: Mapping[str, Any]) -> Iterator[None]:
    """The target's attributes replaced while a step is traced: the graph keeps the tensors."""
    before = {name: getattr(target, name) for name in values}
    for name, value in values.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(target, name, value)


class Double(np.float64):
    """A float64 that lets a Keras variable multiply; NumPy would ask a traced one for its value."""

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, keras.Variable):
            return other * np.float64(self)
        return super().__mul__(other)
