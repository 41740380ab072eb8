"""JAX: models of Flax nnx layers, trained by Optax, as pure functions of (parameters, optimizer state).

Mode "jit" calls one compiled function a step, as most JAX code does. Mode "scan" compiles all the steps of a `train`
call into one loop: the same updates without the cost of calling.
"""

from __future__ import annotations

import importlib.metadata
import math
import zlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gradrace.adapter import Differentials, Metrics
from gradrace.adapters import _flax_layers, _flax_objective
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
# [n, ...]; and what one step takes: the samples and targets of its batch, its learning rate, and what its dropout needs.
Parameters = dict[str, jax.Array]
Noise = dict[str, jax.Array]
Carry = tuple[Parameters, Any, Parameters]
Split = tuple[jax.Array, jax.Array]
Step = tuple[jax.Array, jax.Array, jax.Array, Noise]

_STAGED_BYTES = 64 * 2**20
_EVALUATED_ROWS = 4096


class JaxSession:
    """Trains with compiled functions whose state (parameters, optimizer) is donated: updated in place."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        self._run, self._plan = run, plan
        self._objective = Objective.of(run.task)
        self._layers = build(run.task.model, run.task.input_shape)
        self._device = _device(run.device)
        self._losses: list[jax.Array] = []
        self._staged: tuple[range, list[Step]] = (range(0), [])
        bound = bind(run, plan.optimizer, plan.learning_rates)
        _refuse_corrections(run, bound)
        with self._precision():
            self._programs = _programs(run, bound)
            # Two copies: a state that starts as the parameters themselves must not share donated memory with them.
            parameters, twin = (self._arrays(start, trainable=True) for _ in range(2))
            state = self._programs.init(twin, self._rates(range(1))[0])
            # Zeros made on the device are not yet bound to it as a step's results are: the second step would recompile.
            statistics = self._arrays(start, trainable=False)
            self._carry: Carry = (parameters, jax.device_put(state, self._device), statistics)
            if run.mode == "jit":
                self._stage(0)

    def train(self, steps: range) -> None:
        with self._precision():
            if self._run.mode == "scan":
                self._scan(steps)
            else:
                self._step_by_step(steps)

    def _scan(self, steps: range) -> None:
        x, y = self._resident("train")
        count = self._staged_steps(math.prod(x.shape[1:]) * x.dtype.itemsize)
        for first in range(steps.start, steps.stop, count):
            chunk = range(first, min(first + count, steps.stop))
            rows = self._plan.batches[chunk.start : chunk.stop].astype(np.int32)
            noise = self._noise(chunk)
            self._carry, losses = self._programs.scan(self._carry, x, y, rows, self._rates(chunk), noise)
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
        count = min(len(self._plan.batches) - first, self._staged_steps(x[0].nbytes))
        rows = self._plan.batches[first : first + count]
        staged = range(first, first + count)
        noise = self._noise(staged)
        by_step = [{name: part[i] for name, part in noise.items()} for i in range(count)]
        inputs = list(zip(x[rows], y[rows], self._rates(staged), by_step, strict=True))
        self._staged = (staged, jax.device_put(inputs, self._device))

    def _staged_steps(self, sample_bytes: int) -> int:
        """How many steps' samples and masks fit in 64 MiB; at least one."""
        masks = sum(math.prod(built.input_shape) for built in dropouts(self._layers))
        return max(1, _STAGED_BYTES // (self._run.task.batch_size * (sample_bytes + masks)))

    def _noise(self, steps: range) -> dict[str, np.ndarray]:
        """[steps, ...] of each dropout layer: the harness's masks, or keys that Flax draws from."""
        plan, batch = self._plan, self._run.task.batch_size
        return {
            built.name: dropout_masks(built, plan.seed, steps, batch) if _fed(built) else _keys(built, plan.seed, steps)
            for built in dropouts(self._layers)
        }

    def sync(self) -> None:
        wait: Callable[[Any], Any] = jax.block_until_ready
        wait(self._carry)

    def losses(self) -> np.ndarray:
        parts = [np.atleast_1d(part) for part in jax.device_get(self._losses)]
        self._losses.clear()
        return np.concatenate([np.empty(0), *parts]).astype(np.float64)

    def evaluate(self, split: str) -> Metrics:
        with self._precision():
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
        return self._carry[0], self._carry[2]

    def weights(self) -> Weights:
        present = self._carry[0] | self._carry[2]
        return {p.name: np.array(present[p.name]) for built in self._layers for p in built.parameters}

    def state_bytes(self) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._carry[1]) if leaf.ndim)

    def close(self) -> None:
        self._carry, self._staged = ({}, None, {}), (range(0), [])
        self._losses.clear()

    def _precision(self) -> Any:
        """float64 needs 64-bit types; elsewhere they are off, as they change Optax's bias corrections of float32."""
        return jax.enable_x64(self._run.dtype == "float64")

    def _rates(self, steps: range) -> np.ndarray:
        return self._plan.learning_rates[steps.start : steps.stop].astype(self._run.dtype)

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

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"JAX has no mode {run.mode!r} (known: {', '.join(MODES)})"
        if run.device == "gpu" and not _gpus():
            return "no GPU visible to JAX"
        return unavailable(run, optimizer)

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> JaxSession:
        return JaxSession(run, start, plan)

    def differentiate(
        self, layer: BuiltLayer, weights: Weights, x: np.ndarray, upstream: np.ndarray, training: bool,
        mask: np.ndarray | None = None, dtype: Dtype = "float64", mode: str | None = None,
    ) -> Differentials:  # fmt: skip
        if mask is None:
            noise = {built.name: _keys(built, 0, range(1))[0] for built in dropouts((layer,)) if not _fed(built)}
        else:
            noise = {layer.name: mask}
        state = {p.name for p in layer.parameters if not p.trainable}

        def pulled(parameters: Parameters, x: jax.Array, statistics: Parameters, noise: Noise) -> Any:
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
    """Everything that is baked into compiled code. Learning rates and data are its arguments; jit keys on shapes.

    arguments: (name, type, value), because 1, 1.0 and True are equal but do not compile to the same.
    """

    model: tuple[Layer, ...]
    input_shape: Shape
    objective: Objective
    make: Callable[..., optax.GradientTransformation]
    arguments: tuple[tuple[str, type, Hashable], ...]
    dtype: str
    mode: str


@dataclass(frozen=True)
class Programs:
    """The compiled functions of one recipe. Those that train take over the memory of their first argument.

    init(parameters, rate) -> optimizer state
    step(carry, (x[batch, ...], y[batch, ...], rate, noise)) -> carry, loss
    scan(carry, x[n, ...], y[n, ...], rows int32[k, batch], rates[k], noise) -> carry, losses[k]
    evaluate(parameters, statistics, x, y) -> mean loss, what the metric is made of
    """

    init: Callable[[Parameters, np.ndarray], Any]
    step: Callable[[Carry, Step], tuple[Carry, jax.Array]]
    scan: Callable[..., tuple[Carry, jax.Array]]
    evaluate: Callable[[Parameters, Parameters, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


# Data is kept beside its arrays, so that its id stays its own.
_RESIDENT: dict[tuple[Hashable, ...], tuple[Data, Split]] = {}


def _programs(run: RunSpec, bound: Bound) -> Programs:
    """Compiled code of earlier runs where there is some; never for timing, whose first step is to show compilation."""
    arguments = tuple((name, type(value), value) for name, value in sorted(bound.arguments.items()))
    task = run.task
    recipe = Recipe(task.model, task.input_shape, Objective.of(task), bound.make, arguments, run.dtype, run.mode)
    try:
        hash(recipe)
    except TypeError:
        return _trace(recipe)
    return _trace(recipe) if run.measure == "timing" else _kept(recipe)


@lru_cache(maxsize=32)
def _kept(recipe: Recipe) -> Programs:
    return _trace(recipe)


def _trace(recipe: Recipe) -> Programs:
    layers, objective = build(recipe.model, recipe.input_shape), recipe.objective
    apply, penalised = _flax_layers.network(layers, recipe.dtype, recipe.mode), kernels(layers)
    arguments = {name: value for name, _, value in recipe.arguments}

    def optimizer(rate: jax.Array) -> optax.GradientTransformation:
        # The rate as a number that is traced, not as a schedule: Optax would count the steps for that a second time.
        return recipe.make(learning_rate=rate, **arguments)

    def loss_of(
        parameters: Parameters, statistics: Parameters, x: jax.Array, y: jax.Array, noise: Noise
    ) -> tuple[jax.Array, Parameters]:
        outputs, moved = apply(parameters | statistics, x, True, noise)
        penalty = _flax_objective.penalty(objective, (parameters[name] for name in penalised))
        return _flax_objective.loss(objective, outputs, y) + penalty, statistics | dict(moved)

    def init(parameters: Parameters, rate: jax.Array) -> Any:
        return optimizer(rate).init(parameters)

    def step(carry: Carry, inputs: Step) -> tuple[Carry, jax.Array]:
        parameters, state, statistics = carry
        x, y, rate, noise = inputs
        slope = jax.value_and_grad(loss_of, has_aux=True)
        (loss, statistics), gradients = slope(parameters, statistics, x, y, noise)
        gradients = _flax_objective.clipped(objective, gradients)
        if objective.regularization.decay:
            factor = 1.0 - rate * objective.regularization.decay
            parameters = parameters | {name: parameters[name] * factor for name in penalised}
        updates, state = optimizer(rate).update(gradients, state, parameters)
        return (optax.apply_updates(parameters, updates), state, statistics), loss

    def scan(
        carry: Carry, x: jax.Array, y: jax.Array, rows: jax.Array, rates: jax.Array, noise: Noise
    ) -> tuple[Carry, jax.Array]:
        return jax.lax.scan(step, carry, (x[rows], y[rows], rates, noise))

    def evaluate(
        parameters: Parameters, statistics: Parameters, x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        outputs, _ = apply(parameters | statistics, x, False, {})
        return _flax_objective.loss(objective, outputs, y), _flax_objective.metric_total(objective, outputs, y)

    return Programs(jax.jit(init), jax.jit(step, donate_argnums=0), jax.jit(scan, donate_argnums=0), jax.jit(evaluate))


def _fed(built: BuiltLayer) -> bool:
    return isinstance(built.layer, Dropout) and built.layer.masks == "harness"


def _keys(built: BuiltLayer, seed: int, steps: Iterable[int]) -> np.ndarray:
    """uint32[steps, 2]: keys of the random numbers that a dropout layer draws itself."""
    name = zlib.crc32(built.name.encode())
    return np.stack([np.random.SeedSequence([seed, name, step]).generate_state(2) for step in steps])


def _refuse_corrections(run: RunSpec, bound: Bound) -> None:
    for argument in (*bound.hyper_tables, *bound.state_tables):
        raise ValueError(f"{run.optimizer.name} cannot vary {argument} from step to step in optax")


def _gpus() -> list[jax.Device]:
    try:
        return jax.devices("gpu")
    except RuntimeError:
        return []


def _device(kind: str) -> jax.Device:
    return jax.devices(kind)[0]
