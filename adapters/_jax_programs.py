"""What is compiled for modes "jit" and "scan": a training step, its parts, loops of both, and the
evaluation.

A program takes the next of what it moves as a flat list of arrays and hands it back so: every
dictionary that crosses the edge of a compiled function is sorted, taken apart and put together
again at every call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from gradrace.adapter import Part
from gradrace.adapters import _flax_layers, _flax_objective, _optax_optimizer
from gradrace.adapters._optax_optimizer import Numbers, Parameters, number_dtype
from gradrace.layers import BuiltLayer, Layer, Shape, build
from gradrace.objective import Amounts, Objective, kernels

# What a session is between steps, as its programs hold it: opaque to everybody else.
Held = Any
# Masks or keys by dropout layer.
Noise = dict[str, jax.Array]
PARTS: tuple[Part, ...] = ("forward", "gradient", "update")


class Resident(NamedTuple):
    """A split that lies on the device, x[n, *input_shape] and y[n, ...], and which rows[steps,
    batch] of it steps take.
    """

    x: jax.Array
    y: jax.Array
    rows: jax.Array


class Batch(NamedTuple):
    """One step's x[batch, *input_shape] and y[batch, ...], handed over by the host; for a loop
    those of all its steps.
    """

    x: Any
    y: Any


class Window(NamedTuple):
    """What else some steps take. numbers: of_step is [steps, k] as of `_optax_optimizer.tables`,
    with the planned learning rate as a last column where kernels decay. noise: that of each dropout
    layer [steps, ...]. amounts: the task's, if they are no constants."""

    numbers: Numbers
    noise: Noise
    amounts: Amounts


@dataclass(frozen=True)
class Recipe:
    """Everything that is baked into compiled code; the optimizer's numbers and data are its
    arguments, jit keys on shapes.

    amounts: the task's by name, each a constant, or None if it is an argument (see
    gradrace.objective.amounts)."""

    model: tuple[Layer, ...]
    input_shape: Shape
    objective: Objective
    amounts: tuple[tuple[str, float | None], ...]
    optimizer: _optax_optimizer.Recipe
    dtype: str
    mode: str

    @property
    def layers(self) -> tuple[BuiltLayer, ...]:
        """The model's, with their shapes."""
        return build(self.model, self.input_shape)


class Programs(Protocol):
    """The compiled functions of one recipe. `t` counts from the first step of a window.

    step(held, window, resident or batch, t) -> held, loss; in a looped mode
    step(held, window, resident or batches, first t, number of steps) -> held, losses. `parts` are
    called so with a twin; update with no batch, and with numbers whose learning rate is 0.
    Both take over the memory of what they are given as `held`.
    """

    parts: Mapping[Part, Callable[..., tuple[Held, Any]]]

    @property
    def step(self) -> Callable[..., tuple[Held, Any]]:
        """The whole of a step."""

    def open(self, parameters: Parameters, statistics: Parameters, numbers: Numbers) -> Held:
        """A session at step 0, `numbers` those of its first step. Takes the arrays over."""

    def adopt(self, held: Held) -> Held:
        """What programs of another recipe held, when only the optimizer's corrections are others."""

    def twin(self, held: Held, window: Window, batch: Resident | Batch) -> Held:
        """A copy for `parts` alone, with memory of its own, and with gradients of the window's
        first step.
        """

    def arrays(self, held: Held) -> Parameters:
        """The present parameters and statistics."""

    def gradients(self, held: Held, window: Window, batch: Resident | Batch) -> Parameters:
        """Those of the window's first step at the present parameters, penalties included. Moves
        nothing of what is held.
        """

    def state(self, held: Held) -> Any:
        """The optimizer's, a tree of arrays."""

    def evaluate(
        self, held: Held, amounts: Amounts, x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Mean loss, and what the metric is made of. amounts: of a window."""

    def compilations(self) -> int:
        """How many programs were compiled, `gradients` left out."""


class Network:
    """A recipe's model and objective as pure functions of arrays by canonical name."""

    def __init__(self, recipe: Recipe) -> None:
        layers = recipe.layers
        self.objective, self.kernels = recipe.objective, kernels(layers)
        self._amounts = recipe.amounts
        self._apply = _flax_layers.network(layers, recipe.dtype, recipe.mode)
        self._dtype = number_dtype(recipe.dtype)

    def amounts(self, given: Amounts) -> Amounts:
        """Every one, constant or given as an argument."""
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
        loss = _flax_objective.loss(self.objective, amounts, outputs.astype(self._dtype), batch.y)
        return loss + self.penalty(parameters, amounts), statistics | dict(moved)

    def penalty(self, parameters: Parameters, amounts: Amounts) -> Any:
        """L1 and L2 of the kernels."""
        return _flax_objective.penalty(amounts, (parameters[name] for name in self.kernels))

    def decayed(self, kernel: jax.Array, numbers: Numbers, amounts: Amounts) -> jax.Array:
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
        """Mean loss without penalties, and what the metric is made of."""
        outputs = self._apply(parameters | statistics, x, False, {})[0].astype(self._dtype)
        loss = _flax_objective.loss(self.objective, self.amounts(amounts), outputs, y)
        return loss, _flax_objective.metric_total(self.objective, outputs, y)


def batch_at(source: Resident | Batch, t: Any) -> Batch:
    """The batch of step t."""
    if isinstance(source, Batch):
        return source
    rows = _at(source.rows, t)
    return Batch(source.x[rows], source.y[rows])


def numbers_at(window: Window, t: Any) -> tuple[Numbers, Noise]:
    """What else step t takes."""
    numbers = window.numbers._replace(of_step=_at(window.numbers.of_step, t))
    return numbers, {name: _at(table, t) for name, table in window.noise.items()}


def _at(table: jax.Array, t: Any) -> jax.Array:
    found: jax.Array = jax.lax.dynamic_index_in_dim(table, t, keepdims=False)
    return found


class _Twin(NamedTuple):
    """What is probed: flat lists of arrays. No gradients before they are first taken."""

    parameters: list[jax.Array]
    state: list[jax.Array]
    statistics: list[jax.Array]
    gradients: list[jax.Array]


class FunctionalPrograms:
    """See Programs. `held` is the flat list of (parameters, optimizer's state, statistics)."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe, self._network = recipe, Network(recipe)
        carry = parameters, state, statistics = _shapes(recipe)
        self._tree = jax.tree.structure(carry)
        self._init = _optax_optimizer.compiled(recipe.optimizer)[0]
        self._evaluate = jax.jit(lambda *given: self._network.evaluate(*given))
        kind = _looped if recipe.mode == "scan" else _single
        self.step = kind(self._whole, carry)
        self._forward = kind(self._forward_part, statistics, parameters)
        self._gradient = kind(self._gradient_part, (parameters, statistics), parameters)
        self._update = kind(self._update_part, (parameters, state), parameters)
        self._slope = _single(self._gradient_part, (parameters, statistics), parameters)
        self._gradients = jax.jit(lambda *given: self._gradient_part(*given)[0][0])
        self.parts: Mapping[Part, Callable[..., tuple[Held, Any]]] = {
            "forward": self._probe_forward,
            "gradient": self._probe_gradient,
            "update": self._probe_update,
        }

    def open(self, parameters: Parameters, statistics: Parameters, numbers: Numbers) -> Held:
        return jax.tree.leaves((parameters, self._init(parameters, numbers), statistics))

    def adopt(self, held: Held) -> Held:
        return held

    def twin(self, held: Held, window: Window, batch: Batch | Resident) -> _Twin:
        parameters, state, statistics = self._carry([array.copy() for array in held])
        lists = [jax.tree.leaves(tree) for tree in (parameters, state, statistics)]
        spare = [array.copy() for array in lists[0]]
        moved, _ = self._slope(spare + lists[2], window, batch, 0, lists[0])
        return _Twin(lists[0], lists[1], moved[len(spare) :], moved[: len(spare)])

    def arrays(self, held: Held) -> Parameters:
        parameters, _, statistics = self._carry(held)
        return parameters | statistics

    def gradients(self, held: Held, window: Window, batch: Resident | Batch) -> Parameters:
        parameters, _, statistics = self._carry(held)
        found: Parameters = self._gradients((None, statistics), parameters, window, batch, 0)
        return found

    def state(self, held: Held) -> Any:
        return self._carry(held)[1]

    def evaluate(
        self, held: Held, amounts: Amounts, x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        parameters, state, statistics = self._carry(held)
        found: tuple[jax.Array, jax.Array] = self._evaluate(
            self._recipe.optimizer.evaluated(state, parameters), statistics, amounts, x, y
        )
        return found

    def compilations(self) -> int:
        programs: tuple[Any, ...] = (
            self.step,
            self._forward,
            self._gradient,
            self._update,
            self._slope,
            self._evaluate,
        )
        return sum(program._cache_size() for program in programs)

    def _carry(self, held: Held) -> tuple[Parameters, Any, Parameters]:
        carry: tuple[Parameters, Any, Parameters] = jax.tree.unflatten(self._tree, held)
        return carry

    def _whole(
        self, carry: Any, fixed: Any, window: Window, source: Resident | Batch, t: Any
    ) -> tuple[Any, jax.Array]:
        parameters, state, before = carry
        (numbers, noise), batch = numbers_at(window, t), batch_at(source, t)
        amounts = self._network.amounts(window.amounts)
        slope = jax.value_and_grad(self._network.loss, has_aux=True)
        (loss, statistics), gradients = slope(parameters, before, batch, noise, amounts)

        def again(given: Parameters) -> jax.Array:
            return self._network.loss(given, before, batch, noise, amounts)[0]

        return (
            *self._updated(parameters, state, gradients, numbers, amounts, again, loss),
            statistics,
        ), loss

    def _updated(
        self,
        parameters: Parameters,
        state: Any,
        gradients: Parameters,
        numbers: Numbers,
        amounts: Amounts,
        again: Any = None,
        loss: Any = None,
    ) -> tuple[Parameters, Any]:
        gradients = _flax_objective.clipped(amounts, gradients)
        if "decay" in amounts:
            kernels = self._network.kernels
            decayed = {
                name: self._network.decayed(parameters[name], numbers, amounts) for name in kernels
            }
            parameters = parameters | decayed
        return self._recipe.optimizer.update(gradients, state, parameters, numbers, again, loss)

    def _forward_part(
        self, statistics: Any, parameters: Any, window: Window, source: Any, t: Any
    ) -> tuple[Any, Any]:
        noise, amounts = numbers_at(window, t)[1], self._network.amounts(window.amounts)
        loss, statistics = self._network.loss(
            parameters, statistics, batch_at(source, t), noise, amounts
        )
        return statistics, loss

    def _gradient_part(
        self, moved: Any, parameters: Any, window: Window, source: Any, t: Any
    ) -> tuple[Any, Any]:
        noise, amounts = numbers_at(window, t)[1], self._network.amounts(window.amounts)
        slope = jax.value_and_grad(self._network.loss, has_aux=True)
        found, gradients = slope(parameters, moved[1], batch_at(source, t), noise, amounts)
        return (gradients, found[1]), found[0]

    def _update_part(
        self, moved: Any, gradients: Any, window: Window, source: None, t: Any
    ) -> tuple[Any, None]:
        (parameters, state), amounts = moved, self._network.amounts(window.amounts)
        return self._updated(parameters, state, gradients, numbers_at(window, t)[0], amounts), None

    def _probe_forward(self, twin: _Twin, *given: Any) -> tuple[_Twin, Any]:
        statistics, losses = self._forward(twin.statistics, *given, twin.parameters)
        return twin._replace(statistics=statistics), losses

    def _probe_gradient(self, twin: _Twin, *given: Any) -> tuple[_Twin, Any]:
        moved, losses = self._gradient(twin.gradients + twin.statistics, *given, twin.parameters)
        count = len(twin.gradients)
        return twin._replace(gradients=moved[:count], statistics=moved[count:]), losses

    def _probe_update(self, twin: _Twin, *given: Any) -> tuple[_Twin, Any]:
        moved, none = self._update(twin.parameters + twin.state, *given, twin.gradients)
        count = len(twin.parameters)
        return twin._replace(parameters=moved[:count], state=moved[count:]), none


def _single(one: Callable[..., tuple[Any, Any]], moved: Any, fixed: Any = ()) -> Any:
    """one(moved, fixed, window, source, t) -> moved, found; compiled, over flat lists of what it
    moves and what it reads.
    """
    of_moved, of_fixed = jax.tree.structure(moved), jax.tree.structure(fixed)

    def flat(moved: Any, window: Window, source: Any, t: Any, fixed: Any = ()) -> tuple[Any, Any]:
        after, found = one(
            jax.tree.unflatten(of_moved, moved),
            jax.tree.unflatten(of_fixed, fixed),
            window,
            source,
            t,
        )
        return jax.tree.leaves(after), found

    return jax.jit(flat, donate_argnums=0)


def _looped(one: Callable[..., tuple[Any, Any]], moved: Any, fixed: Any = ()) -> Any:
    """The same for `count` steps from `first` in one program."""
    of_moved, of_fixed = jax.tree.structure(moved), jax.tree.structure(fixed)

    def flat(
        moved: Any, window: Window, source: Any, first: Any, count: int, fixed: Any = ()
    ) -> tuple[Any, Any]:
        constant, fed = (
            jax.tree.unflatten(of_fixed, fixed),
            source if isinstance(source, Batch) else None,
        )

        def body(carry: Any, of_step: tuple[Any, Batch | None]) -> tuple[Any, Any]:
            t, own = of_step
            return one(carry, constant, window, source if own is None else own, t)

        after, found = jax.lax.scan(
            body,
            jax.tree.unflatten(of_moved, moved),
            (first + jnp.arange(count, dtype=jnp.int32), fed),
        )
        return jax.tree.leaves(after), found

    return jax.jit(flat, donate_argnums=0, static_argnums=4)


def _shapes(recipe: Recipe) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """(parameters, optimizer's state, statistics), each array as its shape and dtype."""
    own = [parameter for layer in recipe.layers for parameter in layer.parameters]
    numbers = recipe.optimizer.like(recipe.dtype)
    parameters = {p.name: jax.ShapeDtypeStruct(p.shape, recipe.dtype) for p in own if p.trainable}
    statistics = {
        p.name: jax.ShapeDtypeStruct(p.shape, number_dtype(recipe.dtype))
        for p in own
        if not p.trainable
    }
    return parameters, jax.eval_shape(recipe.optimizer.init, parameters, numbers), statistics


def traced(recipe: Recipe) -> Programs:
    """Programs that have compiled nothing yet."""
    if recipe.mode == "nnx":
        from gradrace.adapters._nnx_programs import NnxPrograms

        return NnxPrograms(recipe)
    return FunctionalPrograms(recipe)


@lru_cache(maxsize=32)
def kept(recipe: Recipe) -> Programs:
    """`traced`, as compiled for earlier sessions where there were some. TypeError for arguments
    that cannot be hashed.
    """
    return traced(recipe)
