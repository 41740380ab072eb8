"""The optimizers of a run's parameter groups, side by side in one compiled step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import numpy as np
from gradrace.adapters.deferred import Expression
from gradrace.adapters.jax import optimizer as optimizers
from gradrace.adapters.jax.optimizer import (
    OptimizerNumbers,
    OptimizerRecipe,
    Parameters,
    Recipe,
    Shapes,
    optimizer_of,
)
from gradrace.binding import bind
from gradrace.plan import RunInputs
from gradrace.spec import RunSpec

Objective = Callable[[Any], jax.Array]


class _Own(NamedTuple):
    """One optimizer: its parameters, and its places in the numbers of a step and of the run."""

    names: tuple[str, ...]
    recipe: OptimizerRecipe
    of_step: slice
    of_run: slice


@dataclass(frozen=True)
class GroupedRecipe(Recipe):
    """Several optimizers, each of its own parameters; see OptimizerRecipe for the methods.

    parts: the names of an optimizer's parameters, and how it is made. Parameters, gradients and
    updates are dictionaries by canonical name; the state is a tuple of the optimizers' own."""

    parts: tuple[tuple[tuple[str, ...], OptimizerRecipe], ...]

    @property
    def columns(self) -> int:
        """How many of its numbers change with the step."""
        return sum(recipe.columns for _, recipe in self.parts)

    @property
    def rates(self) -> tuple[int, ...]:
        """Which of these are learning rates."""
        return tuple(own.of_step.start for own in self._own())

    @property
    def free(self) -> tuple[Expression, ...]:
        """Expressions of arguments that are left open, of one optimizer after the other."""
        return tuple(each for _, recipe in self.parts for each in recipe.free)

    def evaluated(self, state: Any, parameters: Parameters) -> Parameters:
        """The parameters with which the model is evaluated."""
        found: Parameters = {}
        for own, of_own in zip(self._own(), state, strict=True):
            found |= own.recipe.evaluated(of_own, _taken(parameters, own))
        return found

    def init(self, parameters: Parameters, numbers: OptimizerNumbers) -> Any:
        """The optimizers' first states."""
        return tuple(
            own.recipe.init(_taken(parameters, own), _numbers(numbers, own)) for own in self._own()
        )

    def moves(
        self,
        gradients: Parameters,
        state: Any,
        parameters: Parameters,
        numbers: OptimizerNumbers,
        objective: Objective | None = None,
        value: jax.Array | None = None,
    ) -> tuple[Parameters, Any]:
        """One step's additions to the parameters, and the states after it."""
        updates: Parameters = {}
        states: list[Any] = []
        for own, of_own in zip(self._own(), state, strict=True):
            moves, after = own.recipe.moves(
                _taken(gradients, own),
                of_own,
                _taken(parameters, own),
                _numbers(numbers, own),
                objective and _of_own(objective, parameters),
                value,
            )
            updates |= moves
            states.append(after)
        return updates, tuple(states)

    def _own(self) -> Iterator[_Own]:
        columns = list(accumulate((recipe.columns for _, recipe in self.parts), initial=0))
        free = list(accumulate((len(recipe.free) for _, recipe in self.parts), initial=0))
        for place, (names, recipe) in enumerate(self.parts):
            of_step, of_run = (slice(*at[place : place + 2]) for at in (columns, free))
            yield _Own(names, recipe, of_step, of_run)


AnyRecipe = OptimizerRecipe | GroupedRecipe


def _taken(arrays: Mapping[str, Any], own: _Own) -> Parameters:
    return {name: arrays[name] for name in own.names}


def _numbers(numbers: OptimizerNumbers, own: _Own) -> OptimizerNumbers:
    assert not callable(numbers.of_run), "the recipes' expressions were found one by one"
    return OptimizerNumbers(numbers.of_step[..., own.of_step], numbers.of_run[own.of_run])


def _of_own(objective: Objective, parameters: Parameters) -> Objective:
    """The loss by one optimizer's parameters, the others as they are."""
    return lambda own: objective({**parameters, **own})


def recipe_of(
    run: RunSpec, inputs: RunInputs, rates: np.ndarray, shapes: Shapes
) -> tuple[AnyRecipe, OptimizerNumbers]:
    """How the run's updates are made under these learning rates, and their numbers, see
    `optimizer.numbers`. shapes: of all parameters."""
    if not run.optimizer.groups:
        bound = bind(run, inputs.optimizer, rates)
        recipe = optimizer_of(run, bound, shapes)
        return recipe, optimizers.numbers(bound, recipe, run.dtype)
    parts, tables, scalars = [], [], []
    for each in inputs.trainers(run):
        bound = bind(each.run, each.optimizer, each.rates(rates))
        own = tuple((name, shape) for name, shape in shapes if name in each.names)
        recipe = optimizer_of(each.run, bound, own)
        numbers = optimizers.numbers(bound, recipe, run.dtype)
        parts.append((each.names, recipe))
        tables.append(numbers.of_step)
        scalars += list(numbers.of_run)  # type: ignore[arg-type]
    return GroupedRecipe(tuple(parts)), OptimizerNumbers(np.hstack(tables), scalars)
