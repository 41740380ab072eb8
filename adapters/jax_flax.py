"""JAX: models of Flax nnx layers, trained by Optax, as pure functions of (parameters, optimizer state).

Mode "jit" calls one compiled function a step, as most JAX code does. Mode "scan" compiles all the steps of a `train`
call into one loop: the same updates without the cost of calling.
"""

from __future__ import annotations

import importlib.metadata
import math
import zlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gradrace.adapter import Differentials, Metrics, Part
from gradrace.adapters import _flax_layers, _flax_objective, _optax_optimizer
from gradrace.adapters._optax_optimizer import Numbers, Parameters
from gradrace.binding import Bound, bind, unavailable
from gradrace.data import Data
from gradrace.layers import BuiltLayer, Dropout, Layer, Shape, build
from gradrace.objective import Objective, dropouts, kernels, metric_of, takes_integers, targets
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights, dropout_masks
from gradrace.spec import Dtype, RunSpec, TaskSpec

FRAMEWORK = "jax"
TITLE = "JAX/Flax/Optax"
REQUIRES = ("jax", "jaxlib", "flax", "optax")
MODES = ("jit", "scan")
CONVERGENCE_MODE = "scan"

# Parameters by canonical name, the optimizer's state, the layers' statistics; samples [n, *input_shape] and their targets
# [n, ...]; and what one step takes: the samples and targets of its batch, the optimizer's numbers, and what regularization
# needs besides: masks or keys by dropout layer, the schedule's learning rate under _RATE where kernels decay.
Extras = dict[str, jax.Array]
Carry = tuple[Parameters, Any, Parameters]
Split = tuple[jax.Array, jax.Array]
Step = tuple[jax.Array, jax.Array, Numbers, Extras]

_RATE = "learning_rate"

_STAGED_BYTES = 64 * 2**20
_EVALUATED_ROWS = 4096


class JaxSession:
    """Trains with compiled functions whose state (parameters, optimizer) is donated: updated in place."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        self._run, self._plan = run, plan
        self._objective = Objective.of(run.task)
        self._layers = build(run.task.model, run.task.input_shape)
        self._device = _device(run.device)
        self._dropouts = tuple(dropouts(self._layers))
        self._splits: dict[str, Split] = {}
        self._losses: list[jax.Array] = []
        self._staged: tuple[range, list[Step]] = (range(0), [])
        with _precision(run):
            self._take_rates(plan.learning_rates)
            # Two copies: a state that starts as the parameters themselves must not share donated memory with them.
            parameters, twin = (self._arrays(start, trainable=True) for _ in range(2))
            state = self._programs.init(twin, self._numbers.at(0))
            # Zeros made on the device are not yet bound to it as a step's results are: the second step would recompile.
            statistics = self._arrays(start, trainable=False)
            self._carry: Carry = (parameters, jax.device_put(state, self._device), statistics)
            if run.mode == "jit":
                self._stage(0)

    def train(self, steps: range) -> None:
        with _precision(self._run):
            if self._run.mode == "scan":
                self._scan(steps)
            else:
                self._step_by_step(steps)

    def _scan(self, steps: range) -> None:
        x, y = self._resident("train")
        for first in range(steps.start, steps.stop, self._staged_steps):
            chunk = range(first, min(first + self._staged_steps, steps.stop))
            rows = self._plan.batches[chunk.start : chunk.stop].astype(np.int32)
            numbers = self._numbers.at(slice(chunk.start, chunk.stop))
            self._carry, losses = self._programs.scan(self._carry, x, y, rows, numbers, self._extras(chunk))
            self._losses.append(losses)

    def _step_by_step(self, steps: range) -> None:
        step, carry, losses = self._programs.step, self._carry, self._losses
        for t in steps:
            if t not in self._staged[0]:
                self._stage(t)
            staged, inputs = self._staged
            carry, loss = step(carry, inputs[t - staged.start])
            losses.append(loss)
        self._carry = carry

    def _stage(self, first: int) -> None:
        """Places the batches and learning rates of the steps from `first` on the device, as many as fit in 64 MiB.

        One by one and ahead of time: a gather or a slice of device arrays would cost 3 to 10% of a small step.
        """
        x, y = self._host_split("train")
        count = min(len(self._plan.batches) - first, self._staged_steps)
        rows = self._plan.batches[first : first + count]
        staged = range(first, first + count)
        extras = self._extras(staged)
        by_step = [{name: part[i] for name, part in extras.items()} for i in range(count)]
        numbers = [self._numbers.at(step) for step in staged]
        inputs = list(zip(x[rows], y[rows], numbers, by_step, strict=True))
        self._staged = (staged, jax.device_put(inputs, self._device))

    @cached_property
    def _staged_steps(self) -> int:
        """How many steps' samples and masks fit in 64 MiB; at least one."""
        task = self._run.task
        itemsize = np.dtype(np.int32 if takes_integers(task.model) else self._run.dtype).itemsize
        masks = sum(math.prod(built.input_shape) for built in self._dropouts)
        return max(1, _STAGED_BYTES // (task.batch_size * (math.prod(task.input_shape) * itemsize + masks)))

    def _extras(self, steps: range) -> dict[str, np.ndarray]:
        """[steps, ...] of each dropout layer: the harness's masks, or keys that Flax draws from; and rates to decay by."""
        plan, task = self._plan, self._run.task
        found = {
            built.name: dropout_masks(built, plan.seed, steps, task.batch_size)
            if _fed(built)
            else _keys(built, plan.seed, steps)
            for built in self._dropouts
        }
        if task.regularization.decay:
            found[_RATE] = self._rates[steps.start : steps.stop].astype(self._run.dtype)
        return found

    def sync(self) -> None:
        wait: Callable[[Any], Any] = jax.block_until_ready
        wait(self._carry)

    def losses(self) -> np.ndarray:
        parts = [np.atleast_1d(part) for part in jax.device_get(self._losses)]
        self._losses.clear()
        return np.concatenate([np.empty(0), *parts]).astype(np.float64)

    def evaluate(self, split: str) -> Metrics:
        with _precision(self._run):
            x, y = self._resident(split)
            parts = [slice(first, first + _EVALUATED_ROWS) for first in range(0, len(y), _EVALUATED_ROWS)]
            whole = len(parts) == 1
            found = [
                self._programs.evaluate(*self._arguments(), *((x, y) if whole else (x[part], y[part]))) for part in parts
            ]
            losses, totals = np.array(jax.device_get(found), dtype=np.float64).T
            rows = [len(range(len(y))[part]) for part in parts]
        loss = float(np.average(losses, weights=rows))
        return Metrics(loss, metric_of(self._objective, float(totals.sum()), loss, np.asarray(y)))

    def _arguments(self) -> tuple[Parameters, Parameters]:
        parameters, state, statistics = self._carry
        return self._programs.evaluated(state, parameters), statistics

    def set_learning_rates(self, rates: np.ndarray) -> None:
        self._take_rates(rates)
        self._staged = (range(0), [])

    def _take_rates(self, rates: np.ndarray) -> None:
        # A correction that only the new rates need is compiled in now.
        bound = bind(self._run, self._plan.optimizer, rates)
        self._rates, self._programs = rates, _programs(self._run, bound)
        self._numbers = _optax_optimizer.tables(bound, self._run.dtype)

    def weights(self) -> Weights:
        present = self._carry[0] | self._carry[2]
        return {p.name: np.array(present[p.name]) for built in self._layers for p in built.parameters}

    def state_bytes(self) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._carry[1]) if leaf.ndim)

    def compilations(self) -> int:
        return 0

    def parts(self) -> tuple[Part, ...]:
        return ()

    def probe(self, part: Part, steps: range) -> None:
        raise ValueError(f"{part} cannot be timed apart here")

    def peak_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        self._carry, self._staged = ({}, None, {}), (range(0), [])
        self._losses.clear()

    def _put(self, array: np.ndarray) -> jax.Array:
        placed: jax.Array = jax.device_put(np.array(array, dtype=self._run.dtype), self._device)
        return placed

    def _arrays(self, start: Weights, trainable: bool) -> Parameters:
        """The parameters, or the statistics."""
        found = (p.name for built in self._layers for p in built.parameters if p.trainable == trainable)
        return {name: self._put(start[name]) for name in found}

    def _host_split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        task, dtype = self._run.task, self._run.dtype
        x = self._plan.data.shaped(split, task.input_shape).astype(np.int32 if takes_integers(task.model) else dtype)
        y = targets(task.loss, self._plan.data.splits[split].y, dtype, self._layers[-1].output_shape)
        return x, y.astype(np.int32) if y.dtype == np.int64 else y

    def _resident(self, split: str) -> Split:
        """The whole split on the device, placed once a process."""
        if split not in self._splits:
            self._splits[split] = self._placed(split)
        return self._splits[split]

    def _placed(self, split: str) -> Split:
        data, task = self._plan.data, self._run.task
        samples = (task.input_shape, takes_integers(task.model), self._run.dtype)
        key = (id(data), split, samples, task.loss, self._layers[-1].output_shape, self._device)
        if key not in _RESIDENT:
            _RESIDENT[key] = (data, jax.device_put(self._host_split(split), self._device))
        return _RESIDENT[key][1]


class JaxAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK

    def versions(self) -> dict[str, str]:
        return {package: importlib.metadata.version(package) for package in (*REQUIRES, "numpy")}

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if _gpus() else ("cpu",)

    def policy(self, run: RunSpec) -> dict[str, str]:
        return {}

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"JAX has no mode {run.mode!r} (known: {', '.join(MODES)})"
        if run.device == "gpu" and not _gpus():
            return "no GPU visible to JAX"
        return unavailable(run, optimizer)

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> JaxSession:
        return JaxSession(run, start, plan)

    def updates(
        self, run: RunSpec, optimizer: Optimizer, start: Weights, gradients: Sequence[Weights], rates: np.ndarray
    ) -> list[Weights]:
        bound, device = bind(run, optimizer, rates), _device(run.device)
        recipe, numbers = _optax_optimizer.recipe(bound), _optax_optimizer.tables(bound, run.dtype)

        def place(arrays: Weights) -> Parameters:
            return {name: jax.device_put(np.array(arrays[name], dtype=run.dtype), device) for name in start}

        with _precision(run):
            init, update = (_optax_optimizer.kept if _hashable(recipe) else _optax_optimizer.compiled)(recipe)
            parameters = place(start)
            state, taken = init(parameters, numbers.at(0)), list[Weights]()
            for step, given in enumerate(gradients):
                parameters, state = update(place(given), state, parameters, numbers.at(step))
                taken.append({name: np.array(value) for name, value in parameters.items()})
        return taken

    def differentiate(
        self, layer: BuiltLayer, weights: Weights, x: np.ndarray, upstream: np.ndarray, training: bool,
        mask: np.ndarray | None = None, dtype: Dtype = "float64", mode: str | None = None,
    ) -> Differentials:  # fmt: skip
        if mask is None:
            noise = {built.name: _keys(built, 0, range(1))[0] for built in dropouts((layer,)) if not _fed(built)}
        else:
            noise = {layer.name: mask}
        state = {p.name for p in layer.parameters if not p.trainable}

        def pulled(parameters: Parameters, x: jax.Array, statistics: Parameters, noise: Extras) -> Any:
            outputs, moved = apply(parameters | statistics, x, training, noise)
            return (outputs * jnp.asarray(upstream, dtype)).sum(), (outputs, statistics | dict(moved))

        with jax.enable_x64(dtype == "float64"):
            apply = _flax_layers.network((layer,), dtype, mode or MODES[0])
            given = {name: jnp.asarray(value, dtype) for name, value in weights.items()}
            statistics = {name: given.pop(name) for name in state}
            integers = takes_integers((layer.layer,))
            samples = jnp.asarray(x, jnp.int32 if integers else dtype)
            slope = jax.jit(jax.grad(pulled, argnums=0 if integers else (0, 1), has_aux=True))
            gradients, (outputs, moved) = jax.device_get(slope(given, samples, statistics, noise))
        of_parameters, of_input = (gradients, None) if integers else gradients
        return Differentials(outputs, of_input, of_parameters, moved)

    def loss(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> tuple[float, np.ndarray]:
        objective = Objective.of(task)
        with jax.enable_x64(dtype == "float64"):
            labels = jnp.asarray(targets(task.loss, y, dtype, outputs.shape[1:]))
            slope = jax.jit(jax.value_and_grad(lambda given: _flax_objective.loss(objective, given, labels)))
            loss, gradient = jax.device_get(slope(jnp.asarray(outputs, dtype)))
        return float(loss), gradient

    def metric(self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64") -> float:
        objective, labels = Objective.of(task), targets(task.loss, y, dtype, outputs.shape[1:])
        loss = self.loss(task, outputs, y, dtype)[0]
        with jax.enable_x64(dtype == "float64"):
            total = _flax_objective.metric_total(objective, jnp.asarray(outputs, dtype), jnp.asarray(labels))
        return metric_of(objective, float(total), loss, labels)


ADAPTER = JaxAdapter()


@dataclass(frozen=True)
class Recipe:
    """Everything that is baked into compiled code; the optimizer's numbers and data are its arguments, jit keys on shapes."""

    model: tuple[Layer, ...]
    input_shape: Shape
    objective: Objective
    optimizer: _optax_optimizer.Recipe
    dtype: str
    mode: str


@dataclass(frozen=True)
class Programs:
    """The compiled functions of one recipe. Those that train take over the memory of their first argument.

    init(parameters, numbers) -> optimizer state
    step(carry, (x[batch, ...], y[batch, ...], numbers, extras)) -> carry, loss
    scan(carry, x[n, ...], y[n, ...], rows int32[k, batch], numbers[k], extras[k]) -> carry, losses[k]
    evaluate(parameters, statistics, x, y) -> mean loss, what the metric is made of
    evaluated(optimizer state, parameters) -> the parameters to evaluate the model with
    """

    init: Callable[[Parameters, Numbers], Any]
    step: Callable[[Carry, Step], tuple[Carry, jax.Array]]
    scan: Callable[..., tuple[Carry, jax.Array]]
    evaluate: Callable[[Parameters, Parameters, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    evaluated: Callable[[Any, Parameters], Parameters]


# Data is kept beside its arrays, so that its id stays its own.
_RESIDENT: dict[tuple[Hashable, ...], tuple[Data, Split]] = {}


def _programs(run: RunSpec, bound: Bound) -> Programs:
    """Compiled code of earlier runs where there is some; never for timing, whose first step is to show compilation."""
    task = run.task
    optimizer = _optax_optimizer.recipe(bound)
    recipe = Recipe(task.model, task.input_shape, Objective.of(task), optimizer, run.dtype, run.mode)
    return _kept(recipe) if run.measure != "timing" and _hashable(recipe) else _trace(recipe)


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


@lru_cache(maxsize=32)
def _kept(recipe: Recipe) -> Programs:
    return _trace(recipe)


def _trace(recipe: Recipe) -> Programs:
    layers, objective = build(recipe.model, recipe.input_shape), recipe.objective
    apply, penalised = _flax_layers.network(layers, recipe.dtype, recipe.mode), kernels(layers)

    def loss_of(
        parameters: Parameters, statistics: Parameters, x: jax.Array, y: jax.Array, extras: Extras
    ) -> tuple[jax.Array, Parameters]:
        outputs, moved = apply(parameters | statistics, x, True, extras)
        penalty = _flax_objective.penalty(objective, (parameters[name] for name in penalised))
        return _flax_objective.loss(objective, outputs, y) + penalty, statistics | dict(moved)

    def step(carry: Carry, inputs: Step) -> tuple[Carry, jax.Array]:
        parameters, state, before = carry
        x, y, numbers, extras = inputs
        slope = jax.value_and_grad(loss_of, has_aux=True)
        (loss, statistics), gradients = slope(parameters, before, x, y, extras)
        gradients = _flax_objective.clipped(objective, gradients)
        if objective.regularization.decay:
            factor = 1.0 - extras[_RATE] * objective.regularization.decay
            parameters = parameters | {name: parameters[name] * factor for name in penalised}

        def again(given: Parameters) -> jax.Array:
            return loss_of(given, before, x, y, extras)[0]

        parameters, state = recipe.optimizer.update(gradients, state, parameters, numbers, again, loss)
        return (parameters, state, statistics), loss

    def scan(
        carry: Carry, x: jax.Array, y: jax.Array, rows: jax.Array, numbers: Numbers, extras: Extras
    ) -> tuple[Carry, jax.Array]:
        return jax.lax.scan(step, carry, (x[rows], y[rows], numbers, extras))

    def evaluate(
        parameters: Parameters, statistics: Parameters, x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        outputs, _ = apply(parameters | statistics, x, False, {})
        return _flax_objective.loss(objective, outputs, y), _flax_objective.metric_total(objective, outputs, y)

    step_, scan_ = (jax.jit(function, donate_argnums=0) for function in (step, scan))
    init = _optax_optimizer.compiled(recipe.optimizer)[0]
    return Programs(init, step_, scan_, jax.jit(evaluate), recipe.optimizer.evaluated)


def _fed(built: BuiltLayer) -> bool:
    return isinstance(built.layer, Dropout) and built.layer.masks == "harness"


def _keys(built: BuiltLayer, seed: int, steps: Iterable[int]) -> np.ndarray:
    """uint32[steps, 2]: keys of the random numbers that a dropout layer draws itself."""
    name = zlib.crc32(built.name.encode())
    return np.stack([np.random.SeedSequence([seed, name, step]).generate_state(2) for step in steps])


def _precision(run: RunSpec) -> Any:
    """float64 needs 64-bit types; elsewhere they are off, as they change Optax's bias corrections of float32."""
    return jax.enable_x64(run.dtype == "float64")


def _gpus() -> list[jax.Device]:
    try:
        return jax.devices("gpu")
    except RuntimeError:
        return []


def _device(kind: str) -> jax.Device:
    return jax.devices(kind)[0]
