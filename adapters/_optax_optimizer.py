"""Optax transformations driven step by step: learning rates and corrections travel as one traced array a step."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gradrace.binding import Bound

# Parameters (or gradients) by canonical name.
Parameters = dict[str, jax.Array]


# [k]: what the optimizer takes at one step; a table of it is [steps, k]. The columns are those of `tables`.
Numbers = Any


@dataclass(frozen=True)
class Recipe:
    """How to make the transformation: what is baked into compiled code. Everything else is in Numbers.

    arguments: (name, type, value), because 1, 1.0 and True are equal but do not compile to the same.
    hypers: the arguments that change with the step, beside the learning rate. buffers: those that are corrected.
    """

    make: Callable[..., optax.GradientTransformation]
    arguments: tuple[tuple[str, type, Hashable], ...]
    hypers: tuple[str, ...]
    buffers: tuple[str, ...]
    evaluation: Callable[[Any, Any], Any] | None = None

    @property
    def columns(self) -> int:
        """How many Numbers it takes at a step."""
        return 1 + len(self.hypers) + 2 * len(self.buffers)

    def evaluated(self, state: Any, parameters: Any) -> Any:
        """The parameters with which the model is evaluated."""
        return self.evaluation(state, parameters) if self.evaluation else parameters

    def init(self, parameters: Any, numbers: Numbers) -> Any:
        """The optimizer's first state. `numbers` are those of the first step."""
        return self._transformation(numbers).init(parameters)

    def update(
        self,
        gradients: Any,
        state: Any,
        parameters: Any,
        numbers: Numbers,
        objective: Callable[[Any], jax.Array] | None = None,
        value: jax.Array | None = None,
    ) -> tuple[Any, Any]:
        """The parameters and the optimizer's state after one step; arguments as of `moves`."""
        updates, state = self.moves(gradients, state, parameters, numbers, objective, value)
        return optax.apply_updates(parameters, updates), state

    def moves(
        self,
        gradients: Any,
        state: Any,
        parameters: Any,
        numbers: Numbers,
        objective: Callable[[Any], jax.Array] | None = None,
        value: jax.Array | None = None,
    ) -> tuple[Any, Any]:
        """What one step adds to the parameters, and the optimizer's state after it, in the dtypes that it had before.

        objective and its value at the parameters are for what asks for them: line searches, estimates of the Hessian.
        """
        before, first = state, 1 + len(self.hypers)
        for place, name in enumerate(self.buffers):
            state = _corrected(state, name, numbers[first + 2 * place], numbers[first + 2 * place + 1])
        transformation = optax.with_extra_args_support(self._transformation(numbers))
        extra = _extra(objective, value, gradients) if objective else {}
        updates, state = transformation.update(gradients, state, parameters, **extra)
        return updates, jax.tree.map(_as_before, state, before)

    def _transformation(self, numbers: Numbers) -> optax.GradientTransformation:
        # Numbers that are traced, not a schedule: Optax would count the steps for that a second time.
        varying = {name: numbers[place] for place, name in enumerate(("learning_rate", *self.hypers))}
        return self.make(**{**{name: value for name, _, value in self.arguments}, **varying})


def _as_before(new: Any, old: jax.Array) -> Any:
    """Numbers of more digits than the parameters have (see `number_dtype`) would make a state of as many."""
    return new if getattr(new, "dtype", None) == old.dtype else jnp.asarray(new, old.dtype)


def _extra(objective: Callable[[Parameters], jax.Array], value: Any, gradients: Parameters) -> dict[str, Any]:
    """What Optax's transformations may ask for, by its names."""

    def value_fn(parameters: Parameters, obj_fn: Any = None) -> jax.Array:
        # A line search refuses all that is neither its own nor an argument of this.
        return objective(parameters)

    return {"obj_fn": objective, "value_fn": value_fn, "value": value, "grad": gradients}


def recipe(bound: Bound) -> Recipe:
    """What of `bound` is compiled in."""
    arguments = tuple((name, type(value), value) for name, value in sorted(bound.arguments.items()))
    return Recipe(bound.make, arguments, tuple(bound.hyper_tables), tuple(bound.state_tables), bound.evaluation)


def tables(bound: Bound, dtype: str) -> np.ndarray:
    """[steps, k], what of `bound` changes with the step: learning rate, other arguments, scale and shift of each buffer.

    One array a step, because every argument of a compiled function costs time at every call.
    """
    affines = [column for affine in bound.state_tables.values() for column in affine]
    columns = [bound.learning_rates, *bound.hyper_tables.values(), *affines]
    return np.stack(columns, axis=1).astype(number_dtype(dtype))


def number_dtype(dtype: str) -> str:
    """Of learning rates and corrections, and of losses: bfloat16 has too few digits for them."""
    return "float32" if dtype == "bfloat16" else dtype


def compiled(recipe: Recipe) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Its `init` and `update`, each as a compiled function of its own (jit would hash a method, and so the arguments)."""
    return jax.jit(lambda *given: recipe.init(*given)), jax.jit(lambda *given: recipe.update(*given))


@lru_cache(maxsize=32)
def kept(recipe: Recipe) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`compiled`, as it was compiled before where it was. TypeError for arguments that cannot be hashed."""
    return compiled(recipe)


def _corrected(state: Any, name: str, scale: Any, shift: Any) -> Any:
    buffers = optax.tree_utils.tree_get(state, name)
    if buffers is None:
        raise ValueError(f"the optimizer's state has no {name!r}")
    return optax.tree_utils.tree_set(state, **{name: jax.tree.map(lambda buffer: buffer * scale + shift, buffers)})
