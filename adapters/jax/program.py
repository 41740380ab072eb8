"""Compiled programs as sessions see them, and the pure functions that they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jax
from gradrace.adapter import Part
from gradrace.adapters.jax import layers, losses
from gradrace.adapters.jax.batches import Batch, Noise, Resident, Window
from gradrace.adapters.jax.groups import AnyRecipe
from gradrace.adapters.jax.optimizer import OptimizerNumbers, Parameters, number_dtype
from gradrace.layers import BuiltLayer, Layer, Shape, build
from gradrace.objective import Amounts, Objective, kernels

# A session's state between steps, in its programs' own form.
Held = Any
PARTS: tuple[Part, ...] = ("forward", "gradient", "update")


@dataclass(frozen=True)
class ProgramRecipe:
    """All constants of compiled code; its arguments are data and the optimizer's numbers.

    amounts: the task's by name (see gradrace.objective.amounts), None for an argument.
    """

    model: tuple[Layer, ...]
    input_shape: Shape
    objective: Objective
    amounts: tuple[tuple[str, float | None], ...]
    optimizer: AnyRecipe
    dtype: str
    mode: str

    @property
    def layers(self) -> tuple[BuiltLayer, ...]:
        """The model's, with their shapes."""
        return build(self.model, self.input_shape)


class Programs(Protocol):
    """The compiled functions of one recipe. `t` counts from a window's first step.

    step(held, window, resident or batch, t) -> held, loss; in a looped mode
    step(held, window, resident or batches, first t, number of steps) -> held, losses. `parts` are
    called so with a twin; update without a batch, at a learning rate of 0. All take over the
    memory of `held`.
    """

    parts: Mapping[Part, Callable[..., tuple[Held, Any]]]

    @property
    def step(self) -> Callable[..., tuple[Held, Any]]:
        """The whole of a step."""

    def open(
        self, parameters: Parameters, statistics: Parameters, numbers: OptimizerNumbers
    ) -> Held:
        """A session at step 0, `numbers` those of its first step. Takes the arrays over."""

    def adopt(self, held: Held) -> Held:
        """The same state for programs that differ in the optimizer's corrections alone."""

    def twin(self, held: Held, window: Window, batch: Resident | Batch) -> Held:
        """A copy for `parts`, with its own memory, and gradients of the window's first step."""

    def arrays(self, held: Held) -> Parameters:
        """The present parameters and statistics."""

    def gradients(self, held: Held, window: Window, batch: Resident | Batch) -> Parameters:
        """The window's first step's, penalties included. `held` stays as it is."""

    def state(self, held: Held) -> Any:
        """The optimizer's state, a tree of arrays."""

    def evaluate(
        self, held: Held, amounts: Amounts, x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Mean loss, and the metric's sum. amounts: as in a window."""

    def compilations(self) -> int:
        """How many programs were compiled; `gradients` does not count."""


class PureNetwork:
    """A recipe's model and objective as pure functions of arrays by canonical name."""

    def __init__(self, recipe: ProgramRecipe, looped: bool) -> None:
        self.objective, self.kernels = recipe.objective, kernels(recipe.layers)
        self._amounts = recipe.amounts
        self._apply = layers.network(recipe.layers, recipe.dtype, looped)
        self._dtype = number_dtype(recipe.dtype)

    def amounts(self, given: Amounts) -> Amounts:
        """All of them, constant or given as an argument."""
        return {name: given[name] if value is None else value for name, value in self._amounts}

    def loss(
        self,
        parameters: Parameters,
        statistics: Parameters,
        batch: Batch,
        noise: Noise,
        amounts: Amounts,
    ) -> tuple[Any, Parameters]:
        """(the batch's loss, penalties included; the statistics after it)"""
        outputs, moved = self._apply(parameters | statistics, batch.x, True, {**amounts, **noise})
        loss = losses.loss(self.objective, amounts, outputs.astype(self._dtype), batch.y)
        return loss + self.penalty(parameters, amounts), statistics | dict(moved)

    def penalty(self, parameters: Parameters, amounts: Amounts) -> Any:
        """L1 and L2 of the kernels."""
        return losses.penalty(amounts, (parameters[name] for name in self.kernels))

    def decayed(self, kernel: jax.Array, numbers: OptimizerNumbers, amounts: Amounts) -> jax.Array:
        """A kernel after this step's decoupled decay."""
        return (kernel * (1.0 - numbers.of_step[-1] * amounts["decay"])).astype(kernel.dtype)

    def evaluate(
        self,
        parameters: Parameters,
        statistics: Parameters,
        amounts: Amounts,
        x: jax.Array,
        y: jax.Array,
    ) -> tuple[Any, Any]:
        """Mean loss without penalties, and the metric's sum."""
        outputs = self._apply(parameters | statistics, x, False, {})[0].astype(self._dtype)
        loss = losses.loss(self.objective, self.amounts(amounts), outputs, y)
        return loss, losses.metric_total(self.objective, outputs, y)


def hashable(value: object) -> bool:
    """Whether compiled code can be found again by it."""
    try:
        hash(value)
    except TypeError:
        return False
    return True
