"""TensorFlow, driven through Keras: its layers, its optimizers, one `tf.function` a step.

Tracing a step costs a thousand steps, so what is traced (a `_Program`) is kept for the next run of the same shape:
weights, optimizer state, learning rates and corrections are variables in it, set anew whenever a session opens.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from itertools import repeat
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Else the first process would take all of the GPU's memory, and timing holds several at once.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapter import Differentials, Metrics, Part
from gradrace.adapters import _keras_objective
from gradrace.adapters._keras_layers import Network
from gradrace.adapters._keras_optimizer import Updater, assign, corrections, table
from gradrace.binding import Bound, bind, unavailable
from gradrace.data import Data
from gradrace.layers import BuiltLayer, build
from gradrace.objective import Objective, fed_dropouts, metric_of, takes_integers, targets
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights, dropout_masks
from gradrace.spec import Dtype, RunSpec, TaskSpec

FRAMEWORK = "tensorflow"
TITLE = "TensorFlow/Keras"
REQUIRES = ("tensorflow|tensorflow-cpu", "keras")
MODES = ("graph",)
CONVERGENCE_MODE = "graph"

Array = np.ndarray

_IDLE_PROGRAMS = 16
_DATA_SETS = 8
# Batches are gathered this many steps at a time, and evaluated this many rows at a time, to bound the memory.
_GATHERED_STEPS = 128
_EVALUATED_ROWS = 4096
_MASK_BYTES = 64 * 2**20


class _Program:
    """A model, its optimizer and their traced functions. Serves one session at a time."""

    def __init__(self, run: RunSpec, bound: Bound, data: _Tensors) -> None:
        keras.config.set_floatx(run.dtype)
        self._dtype = run.dtype
        self._objective = Objective.of(run.task)
        layers = build(run.task.model, run.task.input_shape)
        self.network = Network(layers, run.dtype, run.device)
        self._fed = fed_dropouts(layers)
        self._updater = Updater(run, bound, self.network.trainable_variables)
        # What kernels decay by: the schedule's own rates, which a correction of the optimizer's may differ from.
        self._rates = table(run.dtype)
        masks = [tf.TensorSpec([run.task.batch_size, *built.input_shape], tf.bool) for built in self._fed]
        self._batch = [*_signature(data, run.task.batch_size), *masks]
        self._rows = _signature(data, None)

    def start(self, run: RunSpec, bound: Bound, start: Weights, plan: Plan) -> None:
        """Sets everything that a run may have left behind, or that differs between the runs of one program."""
        keras.config.set_floatx(run.dtype)
        self.network.load(start)
        self.network.seed(plan.seed)
        assign(self._rates, plan.learning_rates)
        self._updater.restart(bound)

    def set_tables(self, bound: Bound, rates: Array) -> None:
        """New learning rates and corrections for the steps to come."""
        if not self._updater.fits(bound):
            self.__dict__.pop("step", None)
        assign(self._rates, rates)
        self._updater.set_tables(bound)

    def state_bytes(self) -> int:
        """See gradrace.adapter.Session."""
        return self._updater.state_bytes()

    @cached_property
    def step(self) -> Callable[..., Any]:
        """`_step`, traced at first use."""
        return _traced(self._step, self._batch)

    @cached_property
    def totals(self) -> Callable[..., Any]:
        """`_totals`, traced at first use."""
        return _traced(self._totals, self._rows)

    def _step(self, x: tf.Tensor, y: tf.Tensor, *masks: tf.Tensor) -> tf.Tensor:
        """One update on a batch x [batch, *sample], y [batch, ...]; gives the mean loss before it, penalties included."""
        keras.config.set_floatx(self._dtype)
        variables, kernels = self.network.trainable_variables, self.network.kernels
        fed = {built.name: mask for built, mask in zip(self._fed, masks, strict=True)}
        with tf.GradientTape() as tape:
            outputs = self.network(x, training=True, masks=fed)
            loss = tf.reduce_mean(_keras_objective.losses(self._objective, outputs, y))
            loss = _keras_objective.penalised(self._objective, loss, kernels)
        gradients = tape.gradient(
            loss, [variable.value for variable in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        gradients = _keras_objective.clipped(self._objective, gradients)
        if self._objective.regularization.decay:
            _keras_objective.decay(self._objective, kernels, tf.gather(self._rates, self._updater.step))
        self._updater.apply(gradients)
        return loss

    def _totals(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Over x [n, *sample], y [n, ...]: n times the mean loss as float64, and the sum that the metric is made of."""
        keras.config.set_floatx(self._dtype)
        outputs = self.network(x, training=False, masks={})
        losses = tf.cast(_keras_objective.losses(self._objective, outputs, y), tf.float64)
        total = tf.reduce_mean(losses) * tf.cast(tf.shape(x)[0], tf.float64)
        return total, _keras_objective.metric_total(self._objective, outputs, y)


class _Masks:
    """What the dropouts fed by the harness keep, drawn and copied to the device ahead of the steps."""

    def __init__(self, run: RunSpec, plan: Plan) -> None:
        self._layers = fed_dropouts(build(run.task.model, run.task.input_shape))
        self._seed, self._batch, self._steps = plan.seed, run.task.batch_size, len(plan.batches)
        self._staged: tuple[range, list[tuple[tf.Tensor, ...]]] = (range(0), [])

    def of(self, steps: range) -> Iterable[tuple[tf.Tensor, ...]]:
        """For every step, a mask bool[batch, *sample] of every such layer."""
        return (self._at(step) for step in steps) if self._layers else repeat(())

    def _at(self, step: int) -> tuple[tf.Tensor, ...]:
        if step not in self._staged[0]:
            bytes_a_step = self._batch * sum(math.prod(built.input_shape) for built in self._layers)
            staged = range(step, min(self._steps, step + max(1, _MASK_BYTES // bytes_a_step)))
            drawn = (dropout_masks(built, self._seed, staged, self._batch) for built in self._layers)
            self._staged = (staged, list(zip(*(tf.unstack(tf.constant(masks)) for masks in drawn), strict=True)))
        staged, masks = self._staged
        return masks[step - staged.start]


class TensorflowSession:
    """Trains by calling the traced step once a batch."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        bound = bind(run, plan.optimizer, plan.learning_rates)
        self._run, self._optimizer, self._device = run, plan.optimizer, run.device
        self._objective = Objective.of(run.task)
        self._losses: list[tf.Tensor] = []
        with _placed(self._device):
            self._data = _on_device(plan.data, run)
            self._key = self._program_key(bound)
            self._batches = plan.batches
            self._masks = _Masks(run, plan)
            self._program = _take(self._key) or _Program(run, bound, self._data)
            self._program.start(run, bound, start, plan)

    def train(self, steps: range) -> None:
        with _placed(self._device):
            # Here and not in open: tracing and compiling belong to the first step.
            step = self._program.step
            for first in range(steps.start, steps.stop, _GATHERED_STEPS):
                chunk = range(first, min(first + _GATHERED_STEPS, steps.stop))
                rows = self._batches[chunk.start : chunk.stop]
                x, y = (tf.unstack(tf.gather(part, rows)) for part in self._data["train"])
                # The masks of no dropout are without end.
                for x_t, y_t, masks in zip(x, y, self._masks.of(chunk), strict=False):
                    self._losses.append(step(x_t, y_t, *masks))

    def sync(self) -> None:
        tf.test.experimental.sync_devices()

    def losses(self) -> Array:
        taken, self._losses = self._losses, []
        return np.array(tf.stack(taken) if taken else [], dtype=np.float64)

    def evaluate(self, split: str) -> Metrics:
        x, y = self._data[split]
        loss, total = 0.0, 0.0
        with _placed(self._device):
            for first in range(0, len(y), _EVALUATED_ROWS):
                part = slice(first, first + _EVALUATED_ROWS)
                part_loss, part_total = self._program.totals(x[part], y[part])
                loss, total = loss + float(part_loss), total + float(part_total)
        loss /= len(y)
        return Metrics(loss, metric_of(self._objective, total, loss, y.numpy()))

    def set_learning_rates(self, rates: Array) -> None:
        bound = bind(self._run, self._optimizer, rates)
        with _placed(self._device):
            self._program.set_tables(bound, rates)
        self._key = self._program_key(bound)

    def _program_key(self, bound: Bound) -> Hashable | None:
        return None if self._run.measure == "timing" else (*_key(self._run, bound), *_signature(self._data, None))

    def weights(self) -> Weights:
        return self._program.network.weights()

    def state_bytes(self) -> int:
        return self._program.state_bytes()

    def compilations(self) -> int:
        return 0

    def parts(self) -> tuple[Part, ...]:
        return ()

    def probe(self, part: Part, steps: range) -> None:
        raise ValueError(f"{part} cannot be timed apart here")

    def peak_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        if hasattr(self, "_program"):
            _give_back(self._key, self._program)
            del self._program, self._losses, self._masks


class TensorflowAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK

    def versions(self) -> dict[str, str]:
        return {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": importlib.metadata.version("numpy")}

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if tf.config.list_physical_devices("GPU") else ("cpu",)

    def policy(self, run: RunSpec) -> dict[str, str]:
        return {}

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"the TensorFlow adapter has no mode {run.mode}"
        if run.device not in self.devices():
            return "no GPU visible to TensorFlow"
        return unavailable(run, optimizer)

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> TensorflowSession:
        _prepare(run)
        return TensorflowSession(run, start, plan)

    def updates(
        self, run: RunSpec, optimizer: Optimizer, start: Weights, gradients: Sequence[Weights], rates: Array
    ) -> list[Weights]:
        _prepare(run)
        with _placed(run.device):
            variables = {
                name: keras.Variable(value, dtype=run.dtype, name=name.replace(".", "_")) for name, value in start.items()
            }
            bound = bind(run, optimizer, rates)
            updater = Updater(run, bound, list(variables.values()))
            updater.restart(bound)
            step = _traced(updater.apply, [[tf.TensorSpec(variable.shape, run.dtype) for variable in variables.values()]])
            taken: list[Weights] = []
            for given in gradients:
                step(*(tf.constant(given[name], run.dtype) for name in variables))
                taken.append({name: np.array(variable.value) for name, variable in variables.items()})
        return taken

    def differentiate(
        self, layer: BuiltLayer, weights: Weights, x: Array, upstream: Array, training: bool,
        mask: Array | None = None, dtype: Dtype = "float64", mode: str | None = None,
    ) -> Differentials:  # fmt: skip
        keras.config.set_floatx(dtype)
        network = Network((layer,), dtype, "cpu")
        network.load(weights)
        masks = {layer.name: tf.constant(mask)} if mask is not None else {}
        samples = tf.constant(x, tf.int64 if takes_integers((layer.layer,)) else dtype)
        sources = [variable.value for variable in network.trainable_variables]

        def differentiated() -> tuple[tf.Tensor, list[tf.Tensor]]:
            inputs = tf.identity(samples)
            with tf.GradientTape() as tape:
                if inputs.dtype.is_floating:
                    tape.watch(inputs)
                outputs = network(inputs, training=training, masks=masks)
                total = tf.reduce_sum(outputs * tf.constant(upstream, dtype))
            wanted = [*sources, inputs] if inputs.dtype.is_floating else sources
            gradients = tape.gradient(total, wanted, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return outputs, [tf.convert_to_tensor(gradient) for gradient in gradients]

        outputs, gradients = _traced(differentiated, [])()
        of_input = np.array(gradients.pop()) if samples.dtype.is_floating else None
        state = {p.name for p in layer.parameters if not p.trainable}
        after = {name: value for name, value in network.weights().items() if name in state}
        return Differentials(np.array(outputs), of_input, network.gradients(gradients), after)

    def loss(self, task: TaskSpec, outputs: Array, y: Array, dtype: Dtype = "float64") -> tuple[float, Array]:
        given = tf.constant(outputs, dtype)
        with tf.GradientTape() as tape:
            tape.watch(given)
            labels = tf.constant(targets(task.loss, y, dtype, outputs.shape[1:]))
            loss = tf.reduce_mean(_keras_objective.losses(Objective.of(task), given, labels))
        return float(loss), np.array(tape.gradient(loss, given))

    def metric(self, task: TaskSpec, outputs: Array, y: Array, dtype: Dtype = "float64") -> float:
        objective, labels = Objective.of(task), targets(task.loss, y, dtype, outputs.shape[1:])
        loss = self.loss(task, outputs, y, dtype)[0]
        total = _keras_objective.metric_total(objective, tf.constant(outputs, dtype), tf.constant(labels))
        return metric_of(objective, float(total), loss, labels)


ADAPTER = TensorflowAdapter()

# Programs that no session holds, the longest idle first.
_IDLE: list[tuple[Hashable, _Program]] = []


def _take(key: Hashable | None) -> _Program | None:
    """An idle program of this key, which leaves the list; None for a key of None: a timing run traces anew."""
    for position, (idle, program) in enumerate(_IDLE):
        if key is not None and idle == key:
            del _IDLE[position]
            return program
    return None


def _give_back(key: Hashable | None, program: _Program) -> None:
    if key is not None:
        _IDLE.append((key, program))
        del _IDLE[:-_IDLE_PROGRAMS]


def _key(run: RunSpec, bound: Bound) -> tuple[Hashable, ...]:
    """All that a program is traced with; two runs of one key differ in numbers alone."""
    task, optimizer = run.task, run.optimizer
    arguments = tuple((name, repr(value)) for name, value in sorted(bound.arguments.items()))
    model = (task.model, task.input_shape, task.batch_size, Objective.of(task))
    return (*model, optimizer.rule, bound.make, arguments, corrections(bound), run.dtype, run.mode, run.device)


def _prepare(run: RunSpec) -> None:
    """Sets the process up for the run's threads and dtype."""
    _set_threads(run.threads)
    keras.config.set_floatx(run.dtype)
    # float32 means float32: by default a GPU may multiply matrices with the 10 bits of TensorFloat-32.
    tf.config.experimental.enable_tensor_float_32_execution(False)


def _set_threads(threads: int) -> None:
    """ValueError if TensorFlow already runs with another number of threads."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        # 0 where a layer was differentiated before any session, and the environment has set the number.
        running = tf.config.threading.get_intra_op_parallelism_threads() or os.environ.get("TF_NUM_INTRAOP_THREADS", 0)
        if int(running) != threads:
            raise ValueError(f"TensorFlow runs with {running} threads in this process, not with {threads}") from None


def _placed(device: str) -> AbstractContextManager[None]:
    """A scope that puts operations on the device; empty where they go there anyway: it costs 5 us or more a step."""
    by_itself = "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
    return nullcontext() if device == by_itself else tf.device(f"/{device.upper()}:0")


def _traced(function: Callable[..., Any], signature: list[Any]) -> Callable[..., Any]:
    """Its concrete function: without tf.function's dispatch by signature, which is 0.1 ms of Python a call."""
    concrete: Callable[..., Any] = tf.function(function, signature, autograph=False).get_concrete_function()
    return concrete


def _signature(data: _Tensors, rows: int | None) -> list[tf.TensorSpec]:
    """Of x [rows, *sample] and y [rows, ...]."""
    return [tf.TensorSpec([rows, *part.shape[1:]], part.dtype) for part in data["train"]]


_Tensors = Mapping[str, tuple[tf.Tensor, tf.Tensor]]
# Keyed by the identity of the data, which the entry keeps alive; the most recently loaded last.
_LOADED: dict[Hashable, tuple[Data, _Tensors]] = {}


def _on_device(data: Data, run: RunSpec) -> _Tensors:
    """Split -> x [n, *sample] of the run's dtype, or int64 for an embedding, and its targets; copied once."""
    task, shape = run.task, run.task.input_shape
    integers, after = takes_integers(task.model), build(task.model, shape)[-1].output_shape
    key = (id(data), shape, integers, task.loss, after, run.dtype, run.device)
    if key not in _LOADED:
        splits = {
            name: (
                tf.constant(data.shaped(name, shape), tf.int64 if integers else run.dtype),
                tf.constant(targets(task.loss, split.y, run.dtype, after)),
            )
            for name, split in data.splits.items()
        }
        _LOADED[key] = (data, splits)
        while len(_LOADED) > _DATA_SETS:
            del _LOADED[next(iter(_LOADED))]
    return _LOADED[key][1]
