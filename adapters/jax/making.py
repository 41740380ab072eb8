"""Optax' optimizers by import path: the calls that make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import optax
from gradrace.adapters.calls import Call, ImportedClass, class_itself, imported_class
from gradrace.errors import UserError
from gradrace.importpath import ImportPath

# What a wrapper gets if nobody names another.
_WRAPPED = "optax.sgd"
_SCALED = ImportPath("jax", "optax.scale_by_learning_rate")
_CHAIN = ImportPath("jax", "optax.chain")


@dataclass(frozen=True, eq=False)
class OptaxFactory:
    """Makes transformations of one function.

    inner: arguments of a wrapper that get a transformation with the learning rate. A function
    without a learning rate is chained with optax.scale_by_learning_rate."""

    imported: ImportedClass
    inner: Mapping[str, ImportedClass] = field(default_factory=dict)

    @property
    def chained(self) -> bool:
        """Whether it has no learning rate of its own."""
        return not self.inner and self.imported.rate_argument is None

    def __call__(self, learning_rate: Any, **arguments: Any) -> optax.GradientTransformation:
        """As Optax' own functions are called; UserError if it gives no transformation."""
        made = checked(self.imported.path, self.call(learning_rate, arguments).made())
        if self.chained:
            return optax.chain(made, optax.scale_by_learning_rate(learning_rate))
        return made

    def call(self, rate: Any, arguments: Mapping[str, Any]) -> Call:
        """The call with these arguments, without the chain."""
        rest = {name: value for name, value in arguments.items() if name not in self.inner}
        inner = {name: OptaxFactory(each).call(rate, {}) for name, each in self.inner.items()}
        name = self.imported.rate_argument
        rated = {name: rate} if name else {}
        return Call(self.imported.path, self.imported.make, {**rated, **inner, **rest})

    def check(self, hyper: Mapping[str, Any]) -> None:
        """UserError for an argument that the function lacks, or wants and does not get."""
        self.imported.check(hyper, {*self.inner, self.imported.rate_argument})


def factory(imported: ImportedClass, arguments: Mapping[str, Any]) -> OptaxFactory:
    """The same object for equal arguments that matter to it."""
    wrapped = imported.inner_arguments
    return _factory(imported, tuple((name, str(arguments.get(name, _WRAPPED))) for name in wrapped))


@lru_cache(maxsize=256)
def _factory(imported: ImportedClass, inner: tuple[tuple[str, str], ...]) -> OptaxFactory:
    framework = imported.path.framework
    of = {name: imported_class(ImportPath(framework, dotted)) for name, dotted in inner}
    return OptaxFactory(imported, of)


def adapted(make: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """A factory as Optax' own are called, with a learning_rate, though its argument has another
    name or is not there, or a wrapper wants an optimizer. The factory itself if nothing is to be
    done."""
    imported = class_itself("jax", make)
    if imported.rate_argument == "learning_rate" and not imported.inner_arguments:
        return make
    return factory(imported, arguments)


def checked(path: ImportPath, found: Any) -> Any:
    """The transformation itself. UserError if it is none."""
    if not all(callable(getattr(found, name, None)) for name in ("init", "update")):
        kind = type(found).__name__
        raise UserError(
            f"{path} is no Optax optimizer: its call gives a {kind} without init, update"
        )
    return found


def call_of(make: OptaxFactory, rate: float, arguments: Mapping[str, Any]) -> tuple[Call, ...]:
    """The calls whose transformations are chained, one if nothing is."""
    own = make.call(rate, arguments)
    if not make.chained:
        return (own,)
    return own, Call(_SCALED, optax.scale_by_learning_rate, {"learning_rate": rate})
