"""The traced functions of a run: a step, its parts, and evaluation.

Tracing costs as long as a thousand steps, so a program serves the next run of the same shape too:
weights, optimizer state, learning rates and corrections are variables, set when a session opens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapters.tensorflow import losses
from gradrace.adapters.tensorflow.batches import Tensors, signature
from gradrace.adapters.tensorflow.groups import AnyBound, AnyUpdater, updater_of
from gradrace.adapters.tensorflow.hypers import Numbers
from gradrace.adapters.tensorflow.layers import LAYERS, KerasNetwork, Kind
from gradrace.adapters.tensorflow.optimizer import assign, table
from gradrace.layers import build
from gradrace.objective import Amounts, Objective, amounts, fed_dropouts
from gradrace.plan import Weights
from gradrace.spec import RunSpec

Array = np.ndarray
Body = Callable[..., Any]


class Program:
    """A model, its optimizer and their traced functions. Serves one session at a time.

    forward, gradients, update and step are for functions that are being traced; `traces` counts
    those so far.
    """

    layer_table: Mapping[type, Kind] = LAYERS

    def __init__(self, run: RunSpec, bound: AnyBound, data: Tensors, compiled: bool) -> None:
        """compiled: by XLA."""
        keras.config.set_floatx(run.dtype)
        self.dtype, self._compiled = run.dtype, compiled
        self._objective = Objective.of(run.task)
        # Timed runs have the task's numbers as constants, as in anybody's own step.
        self._free = run.measure == "convergence"
        self._amounts = Numbers(amounts_of(run), run.dtype)
        layers = build(run.task.model, run.task.input_shape)
        self.network = KerasNetwork(layers, run.dtype, run.device, self.layer_table)
        self._fed = fed_dropouts(layers)
        self._updater = self.made_updater(run, bound)
        # Kernels decay by the schedule's own rates, before any correction of the optimizer's.
        self._rates = table(run.dtype)
        masks = [
            tf.TensorSpec([run.task.batch_size, *built.input_shape], tf.bool) for built in self._fed
        ]
        self._batch = [*signature(*data["train"], rows=run.task.batch_size), *masks]
        trained = self.network.trainable_variables
        self._gradients = [tf.TensorSpec(variable.shape, run.dtype) for variable in trained]
        self._rows = signature(*data["train"], rows=None)
        self._kept: dict[str, Any] = {}
        self.traces = 0

    def made_updater(self, run: RunSpec, bound: AnyBound) -> AnyUpdater:
        """The optimizer of the network's variables."""
        network = self.network
        return updater_of(run, bound, network.trainable_names, network.trainable_variables)

    def start(self, run: RunSpec, bound: AnyBound, start: Weights, rates: Array, seed: int) -> None:
        """Sets all that a run leaves behind, and all that differs between runs of one program."""
        keras.config.set_floatx(self.dtype)
        self._amounts.set(amounts_of(run))
        self.network.load(start)
        self.network.seed(seed)
        assign(self._rates, rates)
        self._updater.restart(bound)

    def fits(self, run: RunSpec, bound: AnyBound) -> bool:
        """Whether all that was traced so far holds for a run of the same key."""
        return self._updater.fits(bound) and self._amounts.fits(amounts_of(run))

    @property
    def given(self) -> Amounts:
        """The task's numbers, to compute with while a step is being traced."""
        return self._amounts.named() if self._free else self._amounts.values

    def set_tables(self, bound: AnyBound, rates: Array) -> None:
        """New learning rates and corrections for the steps to come."""
        if not self._updater.fits(bound):
            self._kept.clear()
        assign(self._rates, rates)
        self._updater.set_tables(bound)

    def go_to(self, step: int) -> None:
        """Takes learning rates and corrections from this step on."""
        self._updater.go_to(step)

    def evaluated(self) -> AbstractContextManager[None]:
        """Inside, the variables hold the weights to evaluate."""
        return self._updater.evaluated(self.network.trainable_names)

    @property
    def reusable(self) -> bool:
        """Whether `start` sets back everything that a run has moved."""
        return not self._updater.untracked

    def state_bytes(self) -> int | None:
        """See gradrace.adapter.Session."""
        return self._updater.state_bytes()

    def traced(
        self, name: str, body: Body, types: Callable[[], Sequence[Any]]
    ) -> Callable[..., Any]:
        """`body` as a graph, compiled if the program is; traced at the name's first use."""
        return self.keep(name, lambda: traced(self.counted(body), types(), self._compiled))

    def batch_types(self) -> Sequence[tf.TensorSpec]:
        """Of a batch: x, y, *masks."""
        return self._batch

    def gradient_types(self) -> Sequence[tf.TensorSpec]:
        """Of the trainable variables' gradients."""
        return self._gradients

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        """make(), kept under this name while functions traced before are good."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def counted(self, body: Body) -> Body:
        """`body`, counting how often it is traced."""

        def counting(*arguments: Any) -> Any:
            self.traces += 1
            keras.config.set_floatx(self.dtype)
            return body(*arguments)

        return counting

    @property
    def batch_gradient(self) -> Callable[..., Any]:
        """`gradients` as a graph."""
        return self.traced("gradient", self.gradients, self.batch_types)

    @property
    def totals(self) -> Callable[..., Any]:
        """`_totals` as a graph in every mode: XLA would compile it for every number of rows."""
        return self.keep("totals", lambda: traced(self.counted(self._totals), self._rows))

    @property
    def position(self) -> tf.Tensor:
        """The number of the next update, int64."""
        return self._updater.step

    def forward(self, x: tf.Tensor, y: tf.Tensor, *masks: tf.Tensor) -> tf.Tensor:
        """Mean loss of x [batch, *sample], y [batch, ...] in training mode, with penalties."""
        fed = {built.name: mask for built, mask in zip(self._fed, masks, strict=True)}
        outputs = self.network(x, training=True, masks=fed, amounts=self.given)
        loss = losses.loss(self._objective, self.given, outputs, y)
        return losses.penalised(self.given, loss, self.network.kernels)

    def gradients(self, *batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """A batch's loss, then its gradients by all trainable variables, in their shapes."""
        with tf.GradientTape() as tape:
            loss = self.forward(*batch)
        sources = [variable.value for variable in self.network.trainable_variables]
        gradients = tape.gradient(loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        # An embedding's gradients come as rows.
        return loss, *(tf.convert_to_tensor(gradient) for gradient in gradients)

    def update(self, *gradients: tf.Tensor) -> None:
        """Clipping, decoupled decay and the optimizer's own update."""
        clipped = losses.clipped(self.given, gradients)
        if "decay" in self.given:
            losses.decay(self.given, self.network.kernels, tf.gather(self._rates, self.position))
        self._updater.apply(clipped)

    def step(self, *batch: tf.Tensor) -> tf.Tensor:
        """One update on a batch; gives the loss before it."""
        loss, *gradients = self.gradients(*batch)
        self.update(*gradients)
        return loss

    def _totals(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Over x [n, *sample], y [n, ...]: n times the mean loss as float64, the metric's sum."""
        outputs = self.network(x, training=False, masks={}, amounts={})
        each = losses.each_loss(self._objective, self.given, outputs, y)
        total = tf.reduce_mean(tf.cast(each, tf.float64)) * tf.cast(tf.shape(x)[0], tf.float64)
        return total, losses.metric_total(self._objective, outputs, y)


def amounts_of(run: RunSpec) -> dict[str, float]:
    outputs = build(run.task.model, run.task.input_shape)[-1].output_shape
    return amounts(run.task, outputs[-1])


def traced(body: Body, types: Sequence[Any], compiled: bool = False) -> Callable[..., Any]:
    """Its concrete function: tf.function's dispatch by signature takes 0.1 ms of Python a call."""
    function = tf.function(body, list(types), autograph=False, jit_compile=compiled or None)
    concrete: Callable[..., Any] = function.get_concrete_function()
    return concrete
