"""Programs that train many runs at once: the step of mode scan, mapped over lanes."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gradrace.adapter import LanesImpossible
from gradrace.adapters.jax import optimizer as optimizers
from gradrace.adapters.jax.batches import Resident, Window
from gradrace.adapters.jax.functional import FunctionalPrograms
from gradrace.adapters.jax.optimizer import (
    OptimizerNumbers,
    OptimizerRecipe,
    Parameters,
    Shapes,
    number_dtype,
    optimizer_of,
)
from gradrace.adapters.jax.program import ProgramRecipe, PureNetwork, hashable
from gradrace.binding import Affine, Bound, bind
from gradrace.layers import build
from gradrace.objective import Amounts, Objective, amounts, without_amounts
from gradrace.optimizer import StateCorrection
from gradrace.plan import RunInputs
from gradrace.spec import RunSpec

# The axes of lanes: tables are [steps, lanes, ...], so that a step reads memory in one piece.
_FIRST: Any = 0
_SECOND: Any = 1
_SHARED: Any = None
_WINDOW = Window(OptimizerNumbers(_SECOND, of_run=_FIRST), noise=_SECOND, amounts=_FIRST)
_SOURCE = Resident(x=_SHARED, y=_SHARED, rows=_SECOND)


class Lane(NamedTuple):
    """A run for a program: what the program holds constant, and what it takes as arguments."""

    recipe: ProgramRecipe
    numbers: OptimizerNumbers
    amounts: Amounts


def lane_of(run: RunSpec, inputs: RunInputs, rates: np.ndarray) -> Lane:
    """The run under these learning rates. ValueError if a correction cannot follow them."""
    task, layers = run.task, build(run.task.model, run.task.input_shape)
    shapes = tuple((p.name, p.shape) for built in layers for p in built.parameters if p.trainable)
    bound = _always_corrected(run, inputs, bind(run, inputs.optimizer, rates))
    optimizer = optimizer_of(run, bound, shapes)
    numbers = optimizers.numbers(bound, optimizer, run.dtype)
    if task.regularization.decay:
        of_step = numbers.of_step
        numbers = numbers._replace(of_step=np.column_stack([of_step, rates.astype(of_step.dtype)]))
    found = amounts(task, layers[-1].output_shape[-1])
    arguments = tuple((name, None) for name in found)
    recipe = ProgramRecipe(
        without_amounts(task.model),
        task.input_shape,
        Objective.of(task),
        arguments,
        optimizer,
        run.dtype,
        run.mode,
    )
    return Lane(recipe, numbers, found)


def _always_corrected(run: RunSpec, inputs: RunInputs, bound: Bound) -> Bound:
    """With a table for every correction of the state, though it changes nothing under these rates.

    So runs under all schedules share a program, and it stays the same if a plateau changes rates.
    """
    if run.optimizer.rule == "native":
        return bound
    kinds = inputs.optimizer.bindings[run.framework].corrections
    ones = np.ones_like(bound.learning_rates)
    nothing = {c.state: Affine(ones, 0.0 * ones) for c in kinds if isinstance(c, StateCorrection)}
    return replace(bound, state_tables={**nothing, **bound.state_tables})


def check_lanes(lane: Lane) -> None:
    """LanesImpossible if the lane's optimizer cannot be mapped over lanes."""
    if not hashable(lane.recipe):
        raise LanesImpossible("an argument of the optimizer has no hash, so no two runs are alike")
    if reason := _unmappable(lane.recipe.optimizer, _shapes_of(lane.recipe), lane.recipe.dtype):
        raise LanesImpossible(reason)


def _shapes_of(recipe: ProgramRecipe) -> Shapes:
    own = (p for built in recipe.layers for p in built.parameters if p.trainable)
    return tuple((p.name, p.shape) for p in own)


@lru_cache(maxsize=256)
def _unmappable(recipe: OptimizerRecipe, shapes: Shapes, dtype: str) -> str:
    """Why `jax.vmap` cannot take this optimizer, or nothing; tried on shapes, computes nothing."""
    lanes, kind = 2, number_dtype(dtype)
    like = jax.ShapeDtypeStruct
    parameters = {name: like((lanes, *shape), dtype) for name, shape in shapes}
    of_run = [like((lanes,), kind) for _ in recipe.free]
    numbers = OptimizerNumbers(like((lanes, recipe.columns), kind), of_run)

    def objective(given: Parameters) -> jax.Array:
        return sum((value.sum() for value in given.values()), jnp.zeros((), kind))

    def step(given: Parameters, numbers: OptimizerNumbers) -> Any:
        state = recipe.init(given, numbers)
        after, state = recipe.update(given, state, given, numbers, objective, objective(given))
        return recipe.evaluated(state, after)

    try:
        jax.eval_shape(jax.vmap(step), parameters, numbers)
    except Exception as error:
        # A user's factory may raise anything.
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"jax.vmap cannot take this optimizer: {said}"
    return ""


class LanePrograms:
    """The compiled functions of one recipe for a number of lanes.

    `held` is (parameters, optimizer's state, statistics); each array has a leading axis of lanes.
    """

    def __init__(self, recipe: ProgramRecipe) -> None:
        self._recipe, self._network = recipe, PureNetwork(recipe, looped=True)
        init = optimizers.compiled(recipe.optimizer)[0]
        self._init = jax.jit(jax.vmap(init), keep_unused=True)
        whole = FunctionalPrograms(recipe, looped=True).whole
        self._step = jax.vmap(whole, in_axes=(0, None, _WINDOW, _SOURCE, None))
        self.train = jax.jit(self._train, donate_argnums=0)
        self.evaluate = jax.jit(self._evaluate)

    def open(
        self, parameters: Parameters, statistics: Parameters, numbers: OptimizerNumbers
    ) -> Any:
        """All lanes at step 0; of_step is [lanes, k], of the first step. Takes the arrays over."""
        return parameters, self._init(parameters, numbers), statistics

    def _train(self, held: Any, window: Window, source: Resident) -> tuple[Any, jax.Array]:
        """All steps of the window -> held, losses[steps, lanes]."""

        def body(carry: Any, t: jax.Array) -> tuple[Any, jax.Array]:
            moved: tuple[Any, jax.Array] = self._step(carry, None, window, source, t)
            return moved

        return jax.lax.scan(body, held, jnp.arange(len(source.rows), dtype=jnp.int32))

    def _evaluate(
        self, held: Any, amounts: Amounts, x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Mean losses and the metric's sums, [lanes]."""

        def one(held: Any, amounts: Amounts) -> tuple[Any, Any]:
            parameters, state, statistics = held
            chosen = self._recipe.optimizer.evaluated(state, parameters)
            return self._network.evaluate(chosen, statistics, amounts, x, y)

        found: tuple[jax.Array, jax.Array] = jax.vmap(one)(held, amounts)
        return found


@lru_cache(maxsize=32)
def kept(recipe: ProgramRecipe, lanes: int) -> LanePrograms:
    """Those of earlier populations if there are some."""
    return LanePrograms(recipe)


def weakly(values: np.ndarray, dtype: str) -> jax.Array:
    """Python's numbers as an array [lanes] that promotes other arrays no more than they would."""
    # `full` of a Python number is weakly typed, and `set` leaves the type as it is.
    return jnp.full(len(values), 0.0).at[:].set(values.astype(number_dtype(dtype)))
