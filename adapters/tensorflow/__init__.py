"""TensorFlow, driven through Keras: its layers, its optimizers, and a step that is traced once.

`modes` and `session`: read first. `program`: the traced functions. `layers`, `losses`, `batches`:
its parts. `optimizer`: Keras' classes, with `hypers` and `adjustable` for values that change after
the trace, and `groups`. `policy`: threads. `population`: many runs at once, by `lanes`,
`lane_layers`, `lane_optimizer`. Import paths: `imported`, `making`; by hand: `instance`, `script`.
`profiling`: the operators of a step.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Else the first process would take all of the GPU's memory, and timing holds several at once.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapter import Differentials
from gradrace.adapters.tensorflow import losses
from gradrace.adapters.tensorflow.batches import placed
from gradrace.adapters.tensorflow.instance import KerasMaker, maker
from gradrace.adapters.tensorflow.layers import KerasNetwork, array_of
from gradrace.adapters.tensorflow.modes import repeated
from gradrace.adapters.tensorflow.optimizer import Updater
from gradrace.adapters.tensorflow.policy import accelerator, policy, prepare, visible_device
from gradrace.adapters.tensorflow.population import TensorflowPopulation, lane_key
from gradrace.adapters.tensorflow.program import traced
from gradrace.adapters.tensorflow.session import TensorflowSession
from gradrace.binding import bind, unavailable
from gradrace.importpath import ImportPath
from gradrace.layers import BuiltLayer
from gradrace.objective import Objective, amounts, metric_of, scale_of, takes_integers, targets
from gradrace.optimizer import Optimizer
from gradrace.plan import RunInputs, Weights
from gradrace.spec import Dtype, RunSpec, TaskSpec

FRAMEWORK = "tensorflow"
TITLE = "TensorFlow/Keras"
REQUIRES = ("tensorflow|tensorflow-cpu", "keras")
MODES = ("graph", "xla", "loop", "fit")
CONVERGENCE_MODE = "loop"
PROOF_MODES = ("loop",)
LOOPED_MODES = ("loop",)
MEMORY_MIB = 350
# Measured on two cores of an AMD EPYC on 2026-11-27: medians of the suite `quick`.
FIRST_RUN_S = (4.0, 0.3, 3e-4)

Array = np.ndarray


class TensorflowAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK
    trains_groups = True

    def versions(self) -> dict[str, str]:
        return {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": importlib.metadata.version("numpy"),
        }

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if tf.config.list_physical_devices("GPU") else ("cpu",)

    def accelerator(self) -> dict[str, str]:
        return accelerator()

    def policy(self, run: RunSpec) -> dict[str, str]:
        return policy(run)

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"the TensorFlow adapter has no mode {run.mode}"
        if run.device not in self.devices():
            return "no GPU visible to TensorFlow"
        reason = unavailable(run, optimizer)
        if reason is None and optimizer.bindings[FRAMEWORK].loss_asked_for(run.optimizer.rule):
            reason = f"{optimizer.name}: asks_for_loss, but Keras' optimizers take gradients only"
        if reason is None and run.dtype == "bfloat16":
            return self._not_in_bfloat16(run, optimizer)
        return reason

    def _not_in_bfloat16(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        """The reason why this optimizer cannot train in bfloat16, found by trying it.

        Some Keras optimizers compute in the variables' type what its 8 bits cannot hold: a beta_2
        of 0.999 is 1 there, and the bias correction 1 - beta_2 ** t is 0.
        """
        start = {"kernel": np.zeros((4, 4))}
        gradients = [{"kernel": np.linspace(-1.0, 1.0, 16).reshape(4, 4)}] * 2
        rates = np.full(2, run.schedule.base_lr)
        try:
            last = self.updates(run, optimizer, start, gradients, rates)[-1]["kernel"]
        except TypeError as error:
            return f"Keras' {optimizer.name} fails in bfloat16: {str(error).splitlines()[0]}"
        if np.isfinite(last).all() and last.any():
            return None
        outcome = "takes steps of 0" if np.isfinite(last).all() else "gives NaN"
        rounding = "in bfloat16, which rounds its constants to 8 bits"
        return f"Keras' {optimizer.name} {outcome} {rounding}"

    def open(self, run: RunSpec, start: Weights, inputs: RunInputs) -> TensorflowSession:
        prepare(run)
        return TensorflowSession(run, start, inputs)

    def lane_key(self, run: RunSpec, inputs: RunInputs) -> Hashable:
        prepare(run)
        return lane_key(run, inputs)

    def open_population(
        self,
        runs: Sequence[RunSpec],
        starts: Sequence[Weights],
        inputs: Sequence[RunInputs],
        lanes: int,
    ) -> TensorflowPopulation:
        prepare(runs[0])
        return TensorflowPopulation(runs, starts, inputs, lanes)

    def updates(
        self,
        run: RunSpec,
        optimizer: Optimizer,
        start: Weights,
        gradients: Sequence[Weights],
        rates: Array,
    ) -> list[Weights]:
        prepare(run)
        with placed(run.device):
            variables = {
                name: keras.Variable(value, dtype=run.dtype, name=name.replace(".", "_"))
                for name, value in start.items()
            }
            bound = bind(run, optimizer, rates)
            updater = Updater(run, bound, list(variables.values()))
            updater.restart(bound)
            types = [tf.TensorSpec(variable.shape, run.dtype) for variable in variables.values()]
            step = traced(updater.apply, [types])
            taken: list[Weights] = []
            for given in gradients:
                step(*(tf.constant(given[name], run.dtype) for name in variables))
                taken.append({name: array_of(each.value) for name, each in variables.items()})
        return taken

    def differentiate(
        self,
        layer: BuiltLayer,
        weights: Weights,
        x: Array,
        upstream: Array,
        training: bool,
        mask: Array | None = None,
        dtype: Dtype = "float64",
        mode: str | None = None,
    ) -> Differentials:
        keras.config.set_floatx(dtype)
        network = KerasNetwork((layer,), dtype, visible_device())
        network.load(weights)
        masks = {layer.name: tf.constant(mask)} if mask is not None else {}
        rate = getattr(layer.layer, "rate", 0.0)
        scales = {scale_of(layer.name): 1.0 / (1.0 - rate)} if mask is not None else {}
        samples = tf.constant(x, tf.int64 if takes_integers((layer.layer,)) else dtype)
        sources = [variable.value for variable in network.trainable_variables]

        def differentiated(*_: tf.Tensor) -> list[tf.Tensor]:
            inputs = tf.identity(samples)
            with tf.GradientTape() as tape:
                if inputs.dtype.is_floating:
                    tape.watch(inputs)
                outputs = network(inputs, training=training, masks=masks, amounts=scales)
                total = tf.reduce_sum(outputs * tf.constant(upstream, dtype))
            wanted = [*sources, inputs] if inputs.dtype.is_floating else sources
            gradients = tape.gradient(
                total, wanted, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            return [outputs, *(tf.convert_to_tensor(gradient) for gradient in gradients)]

        def in_a_loop() -> list[tf.Tensor]:
            shapes = [upstream.shape, *(source.shape for source in sources)]
            shapes += [x.shape] if samples.dtype.is_floating else []
            nothing = (tf.zeros(shape, dtype) for shape in shapes)
            return list(repeated(tf.constant(1), differentiated, *nothing))

        outputs, *gradients = traced(in_a_loop if mode in LOOPED_MODES else differentiated, [])()
        of_input = np.array(gradients.pop()) if samples.dtype.is_floating else None
        state = {p.name for p in layer.parameters if not p.trainable}
        after = {name: value for name, value in network.weights().items() if name in state}
        return Differentials(np.array(outputs), of_input, network.gradients(gradients), after)

    def loss(
        self, task: TaskSpec, outputs: Array, y: Array, dtype: Dtype = "float64"
    ) -> tuple[float, Array]:
        given = tf.constant(outputs, dtype)
        with tf.GradientTape() as tape:
            tape.watch(given)
            labels = tf.constant(targets(task.loss, y, dtype, outputs.shape[1:]))
            numbers = amounts(task, outputs.shape[-1])
            loss = losses.loss(Objective.of(task), numbers, given, labels)
        return float(loss), np.array(tape.gradient(loss, given))

    def metric(self, task: TaskSpec, outputs: Array, y: Array, dtype: Dtype = "float64") -> float:
        objective, labels = Objective.of(task), targets(task.loss, y, dtype, outputs.shape[1:])
        loss = self.loss(task, outputs, y, dtype)[0]
        given = tf.constant(outputs, dtype)
        total = losses.metric_total(objective, given, tf.constant(labels))
        return metric_of(objective, float(total), loss, labels)

    def maker(self, path: ImportPath, hyper: Mapping[str, Any]) -> KerasMaker:
        """See gradrace.stepping.instance.CertifyingAdapter."""
        return maker(path, hyper)


ADAPTER = TensorflowAdapter()
