"""Keras' optimizers by import path: the calls that make them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from gradrace.adapters.calls import Call, ImportedClass, class_itself, imported_class
from gradrace.adapters.tensorflow.hypers import Double
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
        self.imported.check(hyper, {*self.inner, self.imported.rate_argument})


def in_doubles(call: Call) -> Call:
    """The call with float64 numbers, also for defaults that float32 cannot hold: Keras takes
    Python's floats for float32."""
    defaults = imported_class(call.path).floats
    # NumPy would compare a float32 with a float in float32.
    inexact = {k: v for k, v in defaults.items() if float(np.float32(v)) != v}
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


def factory(imported: ImportedClass, arguments: Mapping[str, Any]) -> KerasFactory:
    """The same object for equal arguments that matter to it. UserError if it is no optimizer's."""
    wrapped = imported.inner_arguments
    return _factory(imported, tuple((name, str(arguments.get(name, _WRAPPED))) for name in wrapped))


@lru_cache(maxsize=256)
def _factory(imported: ImportedClass, inner: tuple[tuple[str, str], ...]) -> KerasFactory:
    if inspect.isclass(imported.make):
        checked(imported.path, imported.make)
    framework = imported.path.framework
    of = {name: imported_class(ImportPath(framework, dotted)) for name, dotted in inner}
    return KerasFactory(imported, of)


def adapted(make: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """A class as Keras' own are called, with a learning_rate, though its argument has another name
    or a wrapper wants an optimizer. The class itself if nothing is to be done."""
    imported = class_itself("tensorflow", make)
    if imported.rate_argument == "learning_rate" and not imported.inner_arguments:
        return make
    return factory(imported, arguments)


def checked(path: ImportPath, found: Any) -> Any:
    """The class or object itself. UserError if it lacks an optimizer's methods."""
    if not all(hasattr(found, name) for name in _METHODS):
        raise UserError(f"{path} is no Keras optimizer: it lacks one of {', '.join(_METHODS)}")
    return found
