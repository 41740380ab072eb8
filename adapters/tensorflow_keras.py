"""TensorFlow, driven through Keras: its layers, its optimizers, one `tf.function` a step.

Tracing a step costs a thousand steps, so what is traced (a `_Program`) is kept for the next run of the same shape:
weights, optimizer state, learning rates and corrections are variables in it, set anew whenever a session opens.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Else the first process would take all of the GPU's memory, and timing holds several at once.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapter import Metrics
from gradrace.adapters._keras_optimizer import Updater, corrections
from gradrace.binding import Bound, bind, unavailable
from gradrace.data import Data
from gradrace.layers import Activation, BuiltLayer, Conv2D, Dense, Flatten, Lstm, MaxPool2D, build
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights
from gradrace.spec import RunSpec

FRAMEWORK = "tensorflow"
TITLE = "TensorFlow/Keras"
REQUIRES = ("tensorflow|tensorflow-cpu", "keras")
MODES = ("graph",)
CONVERGENCE_MODE = "graph"

Array = np.ndarray

_LAYERS = (Dense, Conv2D, MaxPool2D, Flatten, Lstm, Activation)
_IDLE_PROGRAMS = 16
_DATA_SETS = 8
# Batches are gathered this many steps at a time, and evaluated this many rows at a time, to bound the memory.
_GATHERED_STEPS = 128
_EVALUATED_ROWS = 4096


class _Program:
    """A model, its optimizer and their traced functions. Serves one session at a time."""

    def __init__(self, run: RunSpec, bound: Bound) -> None:
        keras.config.set_floatx(run.dtype)
        self._dtype = run.dtype
        self._layers = build(run.task.model, run.task.input_shape)
        self._model = _model(run, self._layers)
        self._updater = Updater(run, bound, self._model.trainable_variables)
        self._batch = _signature(run, run.task.batch_size)
        self._rows = _signature(run, None)

    def start(self, run: RunSpec, bound: Bound, start: Weights) -> None:
        """Sets everything that a run may have left behind, or that differs between the runs of one program."""
        keras.config.set_floatx(run.dtype)
        for name, variable in self._parameters().items():
            variable.assign(start[name].astype(run.dtype))
        self._updater.restart(bound)

    def set_tables(self, bound: Bound) -> None:
        """New learning rates and corrections for the steps to come."""
        if not self._updater.fits(bound):
            self.__dict__.pop("step", None)
        self._updater.set_tables(bound)

    def state_bytes(self) -> int:
        """See gradrace.adapter.Session."""
        return self._updater.state_bytes()

    def _parameters(self) -> dict[str, keras.Variable]:
        """Canonical name -> variable; Keras holds a layer's variables in the canonical order and layout."""
        return {
            parameter.name: variable
            for built, layer in zip(self._layers, self._model.layers, strict=True)
            for parameter, variable in zip(built.parameters, layer.trainable_variables, strict=True)
        }

    def weights(self) -> dict[str, Array]:
        """Canonical name -> a copy of the present value."""
        return {name: np.array(variable.value) for name, variable in self._parameters().items()}

    @cached_property
    def step(self) -> Callable[..., Any]:
        """`_step`, traced at first use."""
        return _traced(self._step, self._batch)

    @cached_property
    def totals(self) -> Callable[..., Any]:
        """`_totals`, traced at first use."""
        return _traced(self._totals, self._rows)

    def _step(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """One update on a batch x [batch, *sample], y int64[batch]; gives the mean loss before it."""
        keras.config.set_floatx(self._dtype)
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(_cross_entropy(self._model(x, training=True), y))
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self._updater.apply(gradients)
        return loss

    def _totals(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Over x [n, *sample], y int64[n]: the summed loss as float64, and the number of correct answers."""
        keras.config.set_floatx(self._dtype)
        logits = self._model(x, training=False)
        correct = tf.equal(tf.argmax(logits, axis=1), y)
        return tf.reduce_sum(tf.cast(_cross_entropy(logits, y), tf.float64)), tf.math.count_nonzero(correct)


class TensorflowSession:
    """Trains by calling the traced step once a batch."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        bound = bind(run, plan.optimizer, plan.learning_rates)
        self._run, self._optimizer, self._device = run, plan.optimizer, run.device
        self._key = None if run.measure == "timing" else _key(run, bound)
        self._losses: list[tf.Tensor] = []
        with _placed(self._device):
            self._data = _on_device(plan.data, run)
            self._batches = plan.batches
            self._program = _take(self._key) or _Program(run, bound)
            self._program.start(run, bound, start)

    def train(self, steps: range) -> None:
        with _placed(self._device):
            # Here and not in open: tracing and compiling belong to the first step.
            step = self._program.step
            for first in range(steps.start, steps.stop, _GATHERED_STEPS):
                rows = self._batches[first : min(first + _GATHERED_STEPS, steps.stop)]
                for x, y in zip(*(tf.unstack(tf.gather(part, rows)) for part in self._data["train"]), strict=True):
                    self._losses.append(step(x, y))

    def sync(self) -> None:
        tf.test.experimental.sync_devices()

    def losses(self) -> Array:
        taken, self._losses = self._losses, []
        return np.array(tf.stack(taken) if taken else [], dtype=np.float64)

    def evaluate(self, split: str) -> Metrics:
        x, y = self._data[split]
        loss, correct = 0.0, 0
        with _placed(self._device):
            for first in range(0, len(y), _EVALUATED_ROWS):
                part = slice(first, first + _EVALUATED_ROWS)
                part_loss, part_correct = self._program.totals(x[part], y[part])
                loss, correct = loss + float(part_loss), correct + int(part_correct)
        return Metrics(loss / len(y), correct / len(y))

    def set_learning_rates(self, rates: Array) -> None:
        bound = bind(self._run, self._optimizer, rates)
        with _placed(self._device):
            self._program.set_tables(bound)
        self._key = None if self._key is None else _key(self._run, bound)

    def weights(self) -> Weights:
        return self._program.weights()

    def state_bytes(self) -> int:
        return self._program.state_bytes()

    def close(self) -> None:
        if hasattr(self, "_program"):
            _give_back(self._key, self._program)
            del self._program, self._losses


class TensorflowAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK

    def versions(self) -> dict[str, str]:
        return {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": importlib.metadata.version("numpy")}

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if tf.config.list_physical_devices("GPU") else ("cpu",)

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        other = {layer.kind for layer in run.task.model if not isinstance(layer, _LAYERS)}
        if other:
            return f"the TensorFlow adapter has no {', '.join(sorted(other))} layer"
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


def _key(run: RunSpec, bound: Bound) -> Hashable:
    """All that a program is traced with; two runs of one key differ in numbers alone."""
    task, optimizer = run.task, run.optimizer
    arguments = tuple((name, repr(value)) for name, value in sorted(bound.arguments.items()))
    model = (task.model, task.input_shape, task.batch_size)
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
        running = tf.config.threading.get_intra_op_parallelism_threads()
        raise ValueError(f"TensorFlow runs with {running} threads in this process, not with {threads}") from None


def _placed(device: str) -> AbstractContextManager[None]:
    """A scope that puts operations on the device; empty where they go there anyway: it costs 5 us or more a step."""
    by_itself = "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
    return nullcontext() if device == by_itself else tf.device(f"/{device.upper()}:0")


def _traced(function: Callable[..., Any], signature: list[Any]) -> Callable[..., Any]:
    """Its concrete function: without tf.function's dispatch by signature, which is 0.1 ms of Python a call."""
    concrete: Callable[..., Any] = tf.function(function, signature, autograph=False).get_concrete_function()
    return concrete


def _signature(run: RunSpec, rows: int | None) -> list[tf.TensorSpec]:
    """Of x [rows, *sample] and y int64[rows]."""
    return [tf.TensorSpec([rows, *run.task.input_shape], run.dtype), tf.TensorSpec([rows], tf.int64)]


def _cross_entropy(logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Of each sample, natural logarithm."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)


def _model(run: RunSpec, layers: tuple[BuiltLayer, ...]) -> keras.Sequential:
    inputs = keras.Input(run.task.input_shape, dtype=run.dtype)
    return keras.Sequential([inputs, *(_keras_layer(built, run) for built in layers)])


def _keras_layer(built: BuiltLayer, run: RunSpec) -> keras.Layer:
    common = {"name": built.name, "dtype": run.dtype}
    match built.layer:
        case Dense(units=units):
            return keras.layers.Dense(units, **common)
        case Conv2D(filters=filters, kernel=kernel):
            return keras.layers.Conv2D(filters, kernel, padding="same", **common)
        case MaxPool2D(window=window):
            return keras.layers.MaxPool2D(window, **common)
        case Flatten():
            return keras.layers.Flatten(**common)
        case Lstm(units=units):
            return keras.layers.LSTM(units, use_cudnn="auto" if run.device == "gpu" else False, **common)
        case Activation(function=function):
            return keras.layers.Activation(function, **common)
    raise ValueError(f"no Keras layer for {built.layer.kind}")


_Tensors = Mapping[str, tuple[tf.Tensor, tf.Tensor]]
# Keyed by the identity of the data, which the entry keeps alive; the most recently loaded last.
_LOADED: dict[Hashable, tuple[Data, _Tensors]] = {}


def _on_device(data: Data, run: RunSpec) -> _Tensors:
    """Split -> x [n, *sample] of the run's dtype, y int64[n], copied to the device once."""
    shape = run.task.input_shape
    key = (id(data), shape, run.dtype, run.device)
    if key not in _LOADED:
        splits = {
            name: (tf.constant(data.shaped(name, shape), run.dtype), tf.constant(split.y, tf.int64))
            for name, split in data.splits.items()
        }
        _LOADED[key] = (data, splits)
        while len(_LOADED) > _DATA_SETS:
            del _LOADED[next(iter(_LOADED))]
    return _LOADED[key][1]
