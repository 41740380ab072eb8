"""JAX: models of Flax nnx layers, trained by Optax, as pure functions of (parameters, optimizer state).

Mode "jit" calls one compiled function a step, as most JAX code does. Mode "scan" compiles all the steps of a `train`
call into one loop: the same updates without the cost of calling.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from gradrace.adapter import Metrics
from gradrace.adapters import _optax_optimizer
from gradrace.adapters._optax_optimizer import Numbers, Parameters
from gradrace.binding import Bound, bind, unavailable
from gradrace.data import Data
from gradrace.layers import Activation, BuiltLayer, Conv2D, Dense, Flatten, Layer, Lstm, MaxPool2D, Shape, build
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights
from gradrace.spec import RunSpec

FRAMEWORK = "jax"
TITLE = "JAX/Flax/Optax"
REQUIRES = ("jax", "jaxlib", "flax", "optax")
MODES = ("jit", "scan")
CONVERGENCE_MODE = "scan"

# Parameters by canonical name, the optimizer's state; samples [n, *input_shape] and labels int32[n]; and what one step
# takes: the samples and labels of its batch, and the optimizer's numbers.
Carry = tuple[Parameters, Any]
Split = tuple[jax.Array, jax.Array]
Step = tuple[jax.Array, jax.Array, Numbers]

_LAYERS = (Dense, Conv2D, MaxPool2D, Flatten, Lstm, Activation)
_STAGED_BYTES = 64 * 2**20


class JaxSession:
    """Trains with compiled functions whose state (parameters, optimizer) is donated: updated in place."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        self._run, self._plan = run, plan
        self._device = _device(run.device)
        self._losses: list[jax.Array] = []
        self._staged: tuple[range, list[Step]] = (range(0), [])
        bound = bind(run, plan.optimizer, plan.learning_rates)
        with _precision(run):
            self._programs, self._numbers = _programs(run, bound), _optax_optimizer.tables(bound, run.dtype)
            # Two copies: a state that starts as the parameters themselves must not share donated memory with them.
            parameters, twin = ({name: self._put(value) for name, value in start.items()} for _ in range(2))
            state = self._programs.init(twin, self._numbers.at(0))
            # Zeros made on the device are not yet bound to it as a step's results are: the second step would recompile.
            self._carry: Carry = (parameters, jax.device_put(state, self._device))
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
        rows = self._plan.batches[steps.start : steps.stop].astype(np.int32)
        self._carry, losses = self._programs.scan(self._carry, x, y, rows, self._numbers.at(slice(steps.start, steps.stop)))
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
        batch_bytes = self._run.task.batch_size * x[0].nbytes
        count = min(len(self._plan.batches) - first, max(1, _STAGED_BYTES // batch_bytes))
        rows = self._plan.batches[first : first + count]
        staged = range(first, first + count)
        numbers = [self._numbers.at(step) for step in staged]
        self._staged = (staged, jax.device_put(list(zip(x[rows], y[rows], numbers, strict=True)), self._device))

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
            loss, correct = jax.device_get(self._programs.evaluate(self._programs.evaluated(self._carry), x, y))
        return Metrics(float(loss), int(correct) / len(y))

    def set_learning_rates(self, rates: np.ndarray) -> None:
        bound = bind(self._run, self._plan.optimizer, rates)
        # A correction that only the new rates need is compiled in now.
        self._programs, self._numbers = _programs(self._run, bound), _optax_optimizer.tables(bound, self._run.dtype)
        self._staged = (range(0), [])

    def weights(self) -> Weights:
        return {name: np.array(value) for name, value in self._carry[0].items()}

    def state_bytes(self) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._carry[1]) if leaf.ndim)

    def close(self) -> None:
        self._carry, self._staged = ({}, None), (range(0), [])
        self._losses.clear()

    def _put(self, array: np.ndarray) -> jax.Array:
        placed: jax.Array = jax.device_put(np.array(array, dtype=self._run.dtype), self._device)
        return placed

    def _host_split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        x = self._plan.data.shaped(split, self._run.task.input_shape)
        return x.astype(self._run.dtype), self._plan.data.splits[split].y.astype(np.int32)

    def _resident(self, split: str) -> Split:
        """The whole split on the device, placed once a process."""
        data, shape = self._plan.data, self._run.task.input_shape
        key = (id(data), split, shape, self._run.dtype, self._device)
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
        other = {layer.kind for layer in run.task.model if not isinstance(layer, _LAYERS)}
        if other:
            return f"the JAX adapter has no {', '.join(sorted(other))} layer"
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


ADAPTER = JaxAdapter()


@dataclass(frozen=True)
class Recipe:
    """Everything that is baked into compiled code. The optimizer's numbers and data are its arguments; jit keys on
    shapes."""

    model: tuple[Layer, ...]
    input_shape: Shape
    optimizer: _optax_optimizer.Recipe
    dtype: str
    mode: str


@dataclass(frozen=True)
class Programs:
    """The compiled functions of one recipe. Those that train take over the memory of their first argument.

    init(parameters, numbers) -> optimizer state
    step(carry, (x[batch, ...], y[batch], numbers)) -> carry, loss
    scan(carry, x[n, ...], y[n], rows int32[k, batch], numbers[k]) -> carry, losses[k]
    evaluate(parameters, x, y) -> mean loss, number of correct answers
    evaluated(carry) -> the parameters to evaluate
    """

    init: Callable[[Parameters, Numbers], Any]
    step: Callable[[Carry, Step], tuple[Carry, jax.Array]]
    scan: Callable[[Carry, jax.Array, jax.Array, np.ndarray, Numbers], tuple[Carry, jax.Array]]
    evaluate: Callable[[Parameters, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    evaluated: Callable[[Carry], Parameters]


# Data is kept beside its arrays, so that its id stays its own.
_RESIDENT: dict[tuple[Hashable, ...], tuple[Data, Split]] = {}


def _programs(run: RunSpec, bound: Bound) -> Programs:
    """Compiled code of earlier runs where there is some; never for timing, whose first step is to show compilation."""
    recipe = Recipe(run.task.model, run.task.input_shape, _optax_optimizer.recipe(bound), run.dtype, run.mode)
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
    apply = _model(recipe)
    def loss_of(parameters: Parameters, x: jax.Array, y: jax.Array) -> jax.Array:
        return _cross_entropy(apply(parameters, x), y)

    def step(carry: Carry, inputs: Step) -> tuple[Carry, jax.Array]:
        parameters, state = carry
        x, y, numbers = inputs
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        objective = partial(loss_of, x=x, y=y)
        return recipe.optimizer.update(gradients, state, parameters, numbers, objective, loss), loss

    def scan(carry: Carry, x: jax.Array, y: jax.Array, rows: jax.Array, numbers: Numbers) -> tuple[Carry, jax.Array]:
        return jax.lax.scan(step, carry, (x[rows], y[rows], numbers))

    def evaluate(parameters: Parameters, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = apply(parameters, x)
        return _cross_entropy(logits, y), (logits.argmax(axis=1) == y).sum()

    step_, scan_ = (jax.jit(function, donate_argnums=0) for function in (step, scan))

    def evaluated(carry: Carry) -> Parameters:
        return recipe.optimizer.evaluated(carry[1], carry[0])

    init = _optax_optimizer.compiled(recipe.optimizer)[0]
    return Programs(init, step_, scan_, jax.jit(evaluate), evaluated)


def _cross_entropy(logits: jax.Array, y: jax.Array) -> jax.Array:
    mean: jax.Array = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
    return mean


def _model(recipe: Recipe) -> Callable[[Parameters, jax.Array], jax.Array]:
    """(parameters, x[n, *input_shape]) -> logits[n, classes], of Flax's layers."""
    built = build(recipe.model, recipe.input_shape)
    # eval_shape: the layers' own initial values are never computed.
    network = nnx.eval_shape(
        lambda: nnx.Sequential(*(_layer(layer, jnp.dtype(recipe.dtype), recipe.mode) for layer in built))
    )
    graph, state = nnx.split(network)
    names = _names_by_path(built)
    order = [names[path] for path, _ in nnx.to_flat_state(state)]
    structure = jax.tree.structure(state)

    def apply(parameters: Parameters, x: jax.Array) -> jax.Array:
        leaves = [parameters[name] for name in order]
        logits: jax.Array = nnx.merge(graph, jax.tree.unflatten(structure, leaves))(x)
        return logits

    return apply


def _names_by_path(built: tuple[BuiltLayer, ...]) -> Mapping[tuple[Any, ...], str]:
    """Where Flax keeps each parameter -> its canonical name. The layouts are the same."""
    inside_lstm = {
        "kernel": ("rnn", "cell", "dense_i", "kernel"),
        "recurrent_kernel": ("rnn", "cell", "dense_h", "kernel"),
        "bias": ("rnn", "cell", "dense_h", "bias"),
    }
    names: dict[tuple[Any, ...], str] = {}
    for position, layer in enumerate(built):
        for parameter in layer.parameters:
            own = parameter.name.removeprefix(f"{layer.name}.")
            inside = inside_lstm[own] if isinstance(layer.layer, Lstm) else (own,)
            names["layers", position, *inside] = parameter.name
    return names


def _layer(built: BuiltLayer, dtype: jnp.dtype, mode: str) -> Callable[[jax.Array], jax.Array]:
    kind, channels = built.layer, built.input_shape[-1]
    types: dict[str, Any] = {"dtype": dtype, "param_dtype": dtype, "rngs": nnx.Rngs(0)}
    match kind:
        case Dense():
            return nnx.Linear(channels, kind.units, **types)
        case Conv2D():
            convolve = _convolve_by_matmul if mode == "scan" else jax.lax.conv_general_dilated
            window = (kind.kernel, kind.kernel)
            return nnx.Conv(channels, kind.filters, window, padding="SAME", conv_general_dilated=convolve, **types)
        case MaxPool2D():
            window = (kind.window, kind.window)
            if mode == "scan":
                return partial(_max_pool_by_selects, window=kind.window)
            return partial(nnx.max_pool, window_shape=window, strides=window)
        case Flatten():
            return lambda x: x.reshape(len(x), -1)
        case Lstm():
            return LastHiddenState(channels, kind.units, types)
        case Activation(function="relu"):
            return nnx.relu
        case Activation(function="tanh"):
            return nnx.tanh
    raise ValueError(f"no Flax layer for {kind.kind}")


class LastHiddenState(nnx.Module):
    """Flax's LSTM over x[n, time, features] from a state of zeros -> last hidden state [n, units]."""

    def __init__(self, features: int, units: int, types: Mapping[str, Any]) -> None:
        self.rnn = nnx.RNN(nnx.OptimizedLSTMCell(features, units, **types), rngs=False)
        self.units = units

    def __call__(self, x: jax.Array) -> jax.Array:
        # Without a carry of its own, nnx.RNN draws random keys for it, which a pure function may not.
        zeros = jnp.zeros((len(x), self.units), x.dtype)
        carry: tuple[jax.Array, jax.Array] = self.rnn(x, initial_carry=(zeros, zeros), return_carry=True)[0]
        return carry[1]


def _convolve_by_matmul(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """'Same' convolution of x[n, h, w, in] with kernel[k, k, in, out] (k odd) as one product of matrices.

    Takes the place of `lax.conv_general_dilated`, which XLA runs about ten times slower inside a loop on a CPU.
    """
    n, height, width, channels = x.shape
    k, filters = kernel.shape[0], kernel.shape[-1]
    padded = jnp.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    shifted = [padded[:, i : i + height, j : j + width] for i in range(k) for j in range(k)]
    patches = jnp.concatenate(shifted, axis=-1).reshape(-1, k * k * channels)
    return (patches @ kernel.reshape(-1, filters)).reshape(n, height, width, filters)


def _max_pool_by_selects(x: jax.Array, window: int) -> jax.Array:
    """Maximum over windows of x[n, h, w, c]. As in `nnx.max_pool`, ties send the gradient to the first; NaN spreads.

    XLA's own gradient of pooling takes as long as the whole rest of a small step on a CPU; `reshape().max()` would be
    fast too, but shares the gradient out among ties.
    """
    n, height, width, channels = x.shape
    tiles = x.reshape(n, height // window, window, width // window, window, channels)
    first, *rest = (tiles[:, :, i, :, j] for i in range(window) for j in range(window))
    for other in rest:
        first = jnp.where((first >= other) | jnp.isnan(first), first, other)
    return first


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
