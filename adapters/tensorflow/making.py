"""Keras' optimizers by import path: the calls that make them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from gradrace.adapters.calls import Call, ImportedClass, imported_class
from gradrace.adapters.tensorflow.optimizer import Double
from gradrace.errors import UserError
from gradrace.importpath import ImportPath
from gradrace.spec import Dtype

# What a wrapper gets if nobody names another.
_WRAPPED = "keras.optimizers.SGD"
_METHODS = ("build", "apply", "variables")


@dataclass(frozen=True, eq=False)
class KerasFactory:
    """Makes optimizers of one class.

    inner: arguments of a wrapper that get an optimizer, which then has the learning rate."""

    imported: ImportedClass
    inner: Mapping[str, ImportedClass] = field(default_factory=dict)

    @property
    def rate_argument(self) -> str | None:
        """The learning rate's argument; a wrapper hands none on, whatever its base takes."""
        return None if self.inner else self.imported.rate_argument

    def __call__(self, learning_rate: float, **arguments: Any) -> Any:
        """As Keras' own classes are called; UserError if it gives no optimizer."""
        call = self.call(learning_rate, arguments)
        optimizer = checked(self.imported.path, call.made())
        if not self.rate_argument and not self.inner:
            optimizer.learning_rate = learning_rate
        return optimizer

    def call(self, rate: float, arguments: Mapping[str, Any]) -> Call:
        """The call with these arguments, an inner optimizer's name left out."""
        rest = {name: value for name, value in arguments.items() if name not in self.inner}
        inner = {name: KerasFactory(each).call(rate, {}) for name, each in self.inner.items()}
        rated = {self.rate_argument: rate} if self.rate_argument else {}
        return Call(self.imported.path, self.imported.make, {**rated, **inner, **rest})

    def check(self, hyper: Mapping[str, Any]) -> None:
        """UserError for an argument that the class lacks, or wants and does not get."""
        self.imported.check(hyper)
        given = {*hyper, *self.inner, self.imported.rate_argument}
        missing = self.imported.missing(given)
        if missing:
            raise UserError(
                f"{self.imported.path} wants arguments that nobody gave: {', '.join(missing)}"
            )


def in_doubles(call: Call) -> Call:
    """The call with float64 numbers, also for defaults that float32 cannot hold: Keras takes
    Python's floats for float32."""
    defaults = imported_class(call.path).floats
    inexact = {k: v for k, v in defaults.items() if np.isfinite(v) and np.float32(v) != v}
    return Call(
        call.path, call.make, {k: _in_doubles(v) for k, v in (inexact | {**call.arguments}).items()}
    )


def _in_doubles(value: Any) -> Any:
    if isinstance(value, Call):
        return in_doubles(value)
    return Double(value) if type(value) is float else value


@contextmanager
def floatx(dtype: Dtype) -> Iterator[None]:
    """Inside, Keras' own variables have this dtype."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def factory(path: ImportPath, hyper: Mapping[str, Any]) -> KerasFactory:
    """The same object for equal arguments that matter to it. UserError if the path is no
    optimizer's."""
    wrapped = imported_class(path).inner_arguments
    return _factory(path, tuple((name, str(hyper.get(name, _WRAPPED))) for name in wrapped))


@lru_cache(maxsize=64)
def _factory(path: ImportPath, inner: tuple[tuple[str, str], ...]) -> KerasFactory:
    imported = imported_class(path)
    if inspect.isclass(imported.make):
        checked(path, imported.make)
    of = {name: imported_class(ImportPath(path.framework, dotted)) for name, dotted in inner}
    return KerasFactory(imported, of)


def checked(path: ImportPath, found: Any) -> Any:
    """The class or object itself. UserError if it lacks an optimizer's methods."""
    if not all(hasattr(found, name) for name in _METHODS):
        raise UserError(f"{path} is no Keras optimizer: it lacks one of {', '.join(_METHODS)}")
    return found
