"""Optax transformations driven step by step: learning rates and corrections travel as traced numbers of each step."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from gradrace.binding import Bound

# Parameters (or gradients) by canonical name.
Parameters = dict[str, jax.Array]


class Numbers(NamedTuple):
    """What the optimizer takes at one step, or tables [steps] of it.

    arguments: the learning rate, and every other argument that changes with the step. scales, shifts: buffer's name ->
    what it is multiplied by, and then raised by, before the step.
    """

    arguments: Mapping[str, Any]
    scales: Mapping[str, Any]
    shifts: Mapping[str, Any]

    def at(self, steps: int | slice) -> Numbers:
        """Of one step, or of a slice of them."""
        # Not by jax.tree.map, which takes longer than a small step.
        return Numbers(*({name: table[steps] for name, table in tables.items()} for tables in self))


@dataclass(frozen=True)
class Recipe:
    """How to make the transformation: what is baked into compiled code. Everything else is in Numbers.

    arguments: (name, type, value), because 1, 1.0 and True are equal but do not compile to the same.
    """

    make: Callable[..., optax.GradientTransformation]
    arguments: tuple[tuple[str, type, Hashable], ...]
    evaluation: Callable[[Any, Parameters], Parameters] | None = None

    def evaluated(self, state: Any, parameters: Parameters) -> Parameters:
        """The parameters with which the model is evaluated."""
        return self.evaluation(state, parameters) if self.evaluation else parameters

    def init(self, parameters: Parameters, numbers: Numbers) -> Any:
        """The optimizer's first state. `numbers` are those of the first step."""
        return self._transformation(numbers).init(parameters)

    def update(
        self,
        gradients: Parameters,
        state: Any,
        parameters: Parameters,
        numbers: Numbers,
        objective: Callable[[Parameters], jax.Array] | None = None,
        value: jax.Array | None = None,
    ) -> tuple[Parameters, Any]:
        """The parameters and the optimizer's state after one step.

        objective and its value at the parameters are for what asks for them: line searches, estimates of the Hessian.
        """
        for name, scale in numbers.scales.items():
            state = _corrected(state, name, scale, numbers.shifts[name])
        transformation = optax.with_extra_args_support(self._transformation(numbers))
        extra = _extra(objective, value, gradients) if objective else {}
        updates, state = transformation.update(gradients, state, parameters, **extra)
        return optax.apply_updates(parameters, updates), state

    def _transformation(self, numbers: Numbers) -> optax.GradientTransformation:
        # Numbers that are traced, not a schedule: Optax would count the steps for that a second time.
        fixed = {name: value for name, _, value in self.arguments}
        return self.make(**{**fixed, **numbers.arguments})


def _extra(objective: Callable[[Parameters], jax.Array], value: Any, gradients: Parameters) -> dict[str, Any]:
    """What Optax's transformations may ask for, by its names."""

    def value_fn(parameters: Parameters, obj_fn: Any = None) -> jax.Array:
        # A line search refuses all that is neither its own nor an argument of this.
        return objective(parameters)

    return {"obj_fn": objective, "value_fn": value_fn, "value": value, "grad": gradients}


def recipe(bound: Bound) -> Recipe:
    """What of `bound` is compiled in."""
    arguments = tuple((name, type(value), value) for name, value in sorted(bound.arguments.items()))
    return Recipe(bound.make, arguments, bound.evaluation)


def tables(bound: Bound, dtype: str) -> Numbers:
    """What of `bound` changes with the step, as arrays [steps] of the run's dtype."""
    arguments = {"learning_rate": bound.learning_rates, **bound.hyper_tables}
    scales = {name: affine.scale for name, affine in bound.state_tables.items()}
    shifts = {name: affine.shift for name, affine in bound.state_tables.items()}
    return jax.tree.map(lambda table: np.asarray(table, dtype), Numbers(arguments, scales, shifts))


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
