"""Optax' optimizers by import path: the calls that make them, and how they are driven."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gradrace.adapters.calls import Call, ImportedClass, imported_class, said
from gradrace.adapters.jax.optimizer import Parameters, extra_arguments
from gradrace.errors import UserError
from gradrace.importpath import ImportPath

# What a wrapper gets if nobody names another.
_WRAPPED = "optax.sgd"
# The extra arguments of an update that are tried, the fewest first.
_EXTRA: tuple[tuple[str, ...], ...] = (
    (),
    ("value",),
    ("value", "grad", "value_fn"),
    ("obj_fn",),
    ("value", "grad", "value_fn", "obj_fn"),
)
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
        """As Optax' own functions are called."""
        made = self.call(learning_rate, arguments).made()
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
        self.imported.check(hyper)
        missing = self.imported.missing({*hyper, *self.inner, self.imported.rate_argument})
        if missing:
            raise UserError(
                f"{self.imported.path} wants arguments that nobody gave: {', '.join(missing)}"
            )


def factory(path: ImportPath, hyper: Mapping[str, Any]) -> OptaxFactory:
    """The same object for equal arguments that matter to it. UserError: see `imported_class`."""
    wrapped = imported_class(path).inner_arguments
    return _factory(path, tuple((name, str(hyper.get(name, _WRAPPED))) for name in wrapped))


@lru_cache(maxsize=256)
def _factory(path: ImportPath, inner: tuple[tuple[str, str], ...]) -> OptaxFactory:
    of = {name: imported_class(ImportPath(path.framework, dotted)) for name, dotted in inner}
    return OptaxFactory(imported_class(path), of)


def linear(gradients: Parameters) -> Callable[[Parameters], jax.Array]:
    """The loss whose gradients are these everywhere: sum(gradient * tensor)."""

    def loss(tensors: Parameters) -> jax.Array:
        return sum(((gradients[name] * tensors[name]).sum() for name in tensors), jnp.zeros(()))

    return loss


def stepped(
    transformation: Any,
    extra: tuple[str, ...],
    gradients: Parameters,
    state: Any,
    tensors: Parameters,
) -> tuple[Parameters, Any]:
    """The tensors and the state after one step; `extra` are names of extra arguments."""
    loss = linear(gradients)
    all_extra = extra_arguments(loss, loss(tensors), gradients) if extra else {}
    given = {name: all_extra[name] for name in extra}
    updates, state = transformation.update(gradients, state, tensors, **given)
    return optax.apply_updates(tensors, updates), state


def extra_of(make: OptaxFactory, hyper: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The extra arguments that its update needs, and whether it takes matrices only; found by
    tracing it. UserError if it cannot be stepped."""
    path = make.imported.path
    matrix = {"kernel": np.ones((3, 2), np.float32)}
    first = None
    for matrices_only in (False, True):
        tensors = matrix if matrices_only else {**matrix, "bias": np.ones(2, np.float32)}
        for extra in _EXTRA:
            error = _problem(make, hyper, extra, tensors)
            if error is None:
                return extra, matrices_only
            first = first or error
    raise UserError(f"{path} cannot take a step: {said(first) if first else ''}")


def _problem(
    make: OptaxFactory, hyper: Mapping[str, Any], extra: tuple[str, ...], tensors: Mapping[str, Any]
) -> Exception | None:
    try:
        made = checked(make.imported.path, make(1e-3, **hyper))
        state = made.init(tensors)
        jax.eval_shape(lambda g, s, t: stepped(made, extra, g, s, t), tensors, state, tensors)
    except (UserError, ImportError):
        raise
    except Exception as error:
        # A function of the library or of a user may raise anything.
        return error
    return None


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
