"""The extra arguments that Optax' updates may ask for, and steps with those of a linear loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gradrace.adapters.calls import said
from gradrace.adapters.jax.making import OptaxFactory
from gradrace.errors import UserError

Tensors = dict[str, jax.Array]

# The extra arguments of an update that are tried, the fewest first.
_EXTRA: tuple[tuple[str, ...], ...] = (
    (),
    ("value",),
    ("value", "grad", "value_fn"),
    ("obj_fn",),
    ("value", "grad", "value_fn", "obj_fn"),
)


def extra_arguments(
    objective: Callable[[Tensors], jax.Array], value: Any, gradients: Tensors
) -> dict[str, Any]:
    """The extra arguments that Optax's transformations may ask for."""

    def value_fn(parameters: Tensors, obj_fn: Any = None) -> jax.Array:
        # A line search refuses arguments that are neither its own nor this function's.
        return objective(parameters)

    return {"obj_fn": objective, "value_fn": value_fn, "value": value, "grad": gradients}


def linear(gradients: Tensors) -> Callable[[Tensors], jax.Array]:
    """The loss whose gradients are these everywhere: sum(gradient * tensor)."""

    def loss(tensors: Tensors) -> jax.Array:
        return sum(((gradients[name] * tensors[name]).sum() for name in tensors), jnp.zeros(()))

    return loss


def stepped(
    transformation: Any,
    extra: tuple[str, ...],
    gradients: Tensors,
    state: Any,
    tensors: Tensors,
) -> tuple[Tensors, Any]:
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
        made = make(1e-3, **hyper)
        state = made.init(tensors)
        jax.eval_shape(lambda g, s, t: stepped(made, extra, g, s, t), tensors, state, tensors)
    except (UserError, ImportError):
        raise
    except Exception as error:
        # A function of the library or of a user may raise anything.
        return error
    return None
