"""TensorFlow, driven through Keras: its layers, its optimizers, and a step traced once by
`tf.function`.

Modes: `graph` calls the traced step once a batch, `xla` has the same step compiled by XLA, `loop`
takes all steps of a call in one traced loop (not compiled by XLA, whose loops are slow at
convolutions), `fit` hands the step to Keras' own Model.fit. All compute the same, but for rounding
under XLA and its maximum pooling with padding: among equal values it may send the gradient to
another one."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Hashable, Sequence
from dataclasses import replace

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Else the first process would take all of the GPU's memory, and timing holds several at once.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapter import Differentials, Metrics, Part
from gradrace.adapters import _keras_objective
from gradrace.adapters._keras_batches import Pipeline, Resident, on_device, placed, signature
from gradrace.adapters._keras_drive import DRIVES, Drive, repeated
from gradrace.adapters._keras_layers import Network, array_of
from gradrace.adapters._keras_optimizer import Updater, traced_with
from gradrace.adapters._keras_program import Program, traced
from gradrace.binding import Bound, bind, unavailable
from gradrace.layers import BuiltLayer, build
from gradrace.objective import (
    Objective,
    amounts,
    metric_of,
    scale_of,
    takes_integers,
    targets,
    without_amounts,
)
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights
from gradrace.spec import Dtype, RunSpec, TaskSpec

FRAMEWORK = "tensorflow"
TITLE = "TensorFlow/Keras"
REQUIRES = ("tensorflow|tensorflow-cpu", "keras")
MODES = ("graph", "xla", "loop", "fit")
CONVERGENCE_MODE = "loop"
PROOF_MODES = ("loop",)
LOOPED_MODES = ("loop",)

Array = np.ndarray

_IDLE_PROGRAMS = 16
# Splits are evaluated this many rows at a time, to bound the memory.
_EVALUATED_ROWS = 4096


class TensorflowSession:
    """Trains one program in one way of driving TensorFlow."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        bound = bind(run, plan.optimizer, plan.learning_rates)
        self._run, self._plan, self._device, self._bound = run, plan, run.device, bound
        self._objective = Objective.of(run.task)
        self._probes: dict[Part, Drive] = {}
        self._twin: Program | None = None
        self._apart: Resident | None = None
        with placed(self._device):
            self._data = on_device(plan.data, run, run.device)
            self._key = self._program_key(bound)
            self._program = _take(self._key, run, bound) or Program(run, bound, self._data)
            self._program.start(run, bound, start, plan.learning_rates, plan.seed)
            self._drive = self._driven(self._program)
        self._traces_before = self._program.traces

    def train(self, steps: range) -> None:
        with placed(self._device):
            self._drive.train(steps)

    def sync(self) -> None:
        tf.test.experimental.sync_devices()

    def losses(self) -> Array:
        return np.array(self._drive.losses().numpy(), dtype=np.float64)

    def evaluate(self, split: str) -> Metrics:
        x, y = self._data[split]
        loss, total = 0.0, 0.0
        with placed(self._device), self._program.evaluated():
            for first in range(0, len(y), _EVALUATED_ROWS):
                part = slice(first, first + _EVALUATED_ROWS)
                part_loss, part_total = self._program.totals(x[part], y[part])
                loss, total = loss + float(part_loss), total + float(part_total)
        loss /= len(y)
        return Metrics(loss, metric_of(self._objective, total, loss, y.numpy()))

    def set_learning_rates(self, rates: Array) -> None:
        self._bound = bind(self._run, self._plan.optimizer, rates)
        with placed(self._device):
            self._program.set_tables(self._bound, rates)
        self._key = self._program_key(self._bound)
        self._traces_before -= self._twin.traces if self._twin else 0
        self._probes, self._twin = {}, None

    def weights(self) -> Weights:
        return self._program.network.weights()

    def gradients(self, step: int) -> Weights:
        if self._apart is None:
            # A pipeline would lose its place.
            self._apart = Resident(self._run, self._plan, self._data)
        with placed(self._device), self._program.network.unmoved():
            _, *gradients = self._program.batch_gradient(
                *next(self._apart.each(range(step, step + 1)))
            )
            return self._program.network.gradients(gradients)

    def state_bytes(self) -> int | None:
        return self._program.state_bytes()

    def compilations(self) -> int:
        return self._program.traces - self._traces_before + (self._twin.traces if self._twin else 0)

    def parts(self) -> tuple[Part, ...]:
        return self._drive.parts

    def probe(self, part: Part, steps: range) -> None:
        if part not in self._drive.parts:
            raise ValueError(f"{part} cannot be timed apart in TensorFlow's mode {self._run.mode}")
        with placed(self._device):
            if part not in self._probes:
                self._probes[part] = self._driven(self._twin or self._made_twin())
            self._probes[part].probe(part, steps)

    def _made_twin(self) -> Program:
        """A program with the present weights and learning rates of 0. Parts of a step move batch
        statistics, generators of dropout and buffers of the optimizer, and some optimizers move
        weights at a rate of 0: so they move another's."""
        still = np.zeros_like(self._plan.learning_rates)
        bound = replace(self._bound, learning_rates=still)
        self._twin = Program(self._run, bound, self._data)
        self._twin.start(self._run, bound, self.weights(), still, self._plan.seed)
        return self._twin

    def _driven(self, program: Program) -> Drive:
        """Each with batches of its own: a pipeline's iterator stands at one step."""
        pipeline = self._run.input == "pipeline"
        batches = (
            Pipeline(self._run, self._plan)
            if pipeline
            else Resident(self._run, self._plan, self._data)
        )
        return DRIVES[self._run.mode](program, batches)

    def _program_key(self, bound: Bound) -> Hashable | None:
        if self._run.measure != "convergence":
            return None
        # XLA compiles for the lengths of tables, which are variables to a graph.
        steps = self._run.steps if self._run.mode == "xla" else None
        return *_key(self._run, bound), steps, *signature(*self._data["train"], rows=None)

    def peak_bytes(self) -> int | None:
        """None on a CPU: what TensorFlow counts there leaves out arrays of less than 256 KiB, and
        rounds up large ones.
        """
        return (
            int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
            if self._device == "gpu"
            else None
        )

    def close(self) -> None:
        if hasattr(self, "_program"):
            _give_back(self._key, self._program)
            del self._program, self._drive, self._probes, self._twin, self._apart


class TensorflowAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK

    def versions(self) -> dict[str, str]:
        return {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": importlib.metadata.version("numpy"),
        }

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if tf.config.list_physical_devices("GPU") else ("cpu",)

    def policy(self, run: RunSpec) -> dict[str, str]:
        threading = dict.fromkeys(
            ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads"),
            str(run.threads),
        )
        # On a CPU kernels are deterministic for a fixed number of threads, and the switch would
        # only slow tf.data down.
        return {
            "tf.config.experimental.enable_op_determinism": (
                "called" if run.device == "gpu" else "not called"
            ),
            "tf.config.experimental.enable_tensor_float_32_execution": "False",
            **{f"tf.config.threading.{name}": threads for name, threads in threading.items()},
            "keras.config.set_floatx": run.dtype,
            "tf.function(jit_compile)": str(run.mode == "xla"),
            "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "unset"),
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", "unset"),
        }

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"the TensorFlow adapter has no mode {run.mode}"
        if run.device not in self.devices():
            return "no GPU visible to TensorFlow"
        reason = unavailable(run, optimizer)
        if reason is None and optimizer.bindings[FRAMEWORK].loss_asked_for(run.optimizer.rule):
            reason = f"{optimizer.name}: asks_for_loss, but Keras' optimizers take gradients only"
        return reason or (
            self._not_in_bfloat16(run, optimizer) if run.dtype == "bfloat16" else None
        )

    def _not_in_bfloat16(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        """Some Keras optimizers compute in the variables' type what its 8 bits cannot hold: a
        beta_2 of 0.999 is 1 there, and the bias correction 1 - beta_2 ** t is 0. Found by trying
        one, so that it holds for every version and class."""
        start, gradients = (
            {"kernel": np.zeros((4, 4))},
            [{"kernel": np.linspace(-1.0, 1.0, 16).reshape(4, 4)}] * 2,
        )
        try:
            last = self.updates(run, optimizer, start, gradients, np.full(2, run.schedule.base_lr))[
                -1
            ]["kernel"]
        except TypeError as error:
            return f"Keras' {optimizer.name} fails in bfloat16: {str(error).splitlines()[0]}"
        outcome = (
            "gives NaN" if not np.isfinite(last).all() else "" if last.any() else "takes steps of 0"
        )
        return (
            f"Keras' {optimizer.name} {outcome} in bfloat16, which rounds its constants to 8 bits"
            if outcome
            else None
        )

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> TensorflowSession:
        _prepare(run)
        return TensorflowSession(run, start, plan)

    def updates(
        self,
        run: RunSpec,
        optimizer: Optimizer,
        start: Weights,
        gradients: Sequence[Weights],
        rates: Array,
    ) -> list[Weights]:
        _prepare(run)
        with placed(run.device):
            variables = {
                name: keras.Variable(value, dtype=run.dtype, name=name.replace(".", "_"))
                for name, value in start.items()
            }
            bound = bind(run, optimizer, rates)
            updater = Updater(run, bound, list(variables.values()))
            updater.restart(bound)
            step = traced(
                updater.apply,
                [[tf.TensorSpec(variable.shape, run.dtype) for variable in variables.values()]],
            )
            taken: list[Weights] = []
            for given in gradients:
                step(*(tf.constant(given[name], run.dtype) for name in variables))
                taken.append(
                    {name: array_of(variable.value) for name, variable in variables.items()}
                )
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
        network = Network((layer,), dtype, "cpu")
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
            shapes = [
                upstream.shape,
                *(source.shape for source in sources),
                *([x.shape] if samples.dtype.is_floating else []),
            ]
            return list(
                repeated(
                    tf.constant(1), differentiated, *(tf.zeros(shape, dtype) for shape in shapes)
                )
            )

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
            loss = tf.reduce_mean(
                _keras_objective.losses(
                    Objective.of(task), amounts(task, outputs.shape[-1]), given, labels
                )
            )
        return float(loss), np.array(tape.gradient(loss, given))

    def metric(self, task: TaskSpec, outputs: Array, y: Array, dtype: Dtype = "float64") -> float:
        objective, labels = Objective.of(task), targets(task.loss, y, dtype, outputs.shape[1:])
        loss = self.loss(task, outputs, y, dtype)[0]
        total = _keras_objective.metric_total(
            objective, tf.constant(outputs, dtype), tf.constant(labels)
        )
        return metric_of(objective, float(total), loss, labels)


ADAPTER = TensorflowAdapter()

# Programs that no session holds, the longest idle first.
_IDLE: list[tuple[Hashable, Program]] = []


def _take(key: Hashable | None, run: RunSpec, bound: Bound) -> Program | None:
    """An idle program of this key, which leaves the list; None for a key of None: a timing run
    traces anew.
    """
    for position, (idle, program) in enumerate(_IDLE):
        if key is not None and idle == key and program.fits(run, bound):
            del _IDLE[position]
            return program
    return None


def _give_back(key: Hashable | None, program: Program) -> None:
    if key is not None and program.reusable:
        _IDLE.append((key, program))
        del _IDLE[:-_IDLE_PROGRAMS]


def _key(run: RunSpec, bound: Bound) -> tuple[Hashable, ...]:
    """All that a program is traced with; two runs of one key differ in numbers alone."""
    task = run.task
    numbers = tuple(amounts(task, build(task.model, task.input_shape)[-1].output_shape[-1]))
    model = (
        without_amounts(task.model),
        task.input_shape,
        task.batch_size,
        Objective.of(task),
        numbers,
    )
    return (*model, traced_with(run, bound), run.dtype, run.mode, run.device, run.input)


def _prepare(run: RunSpec) -> None:
    """Sets the process up for the run; `policy` says the same."""
    _set_threads(run.threads)
    keras.config.set_floatx(run.dtype)
    # float32 means float32: by default a GPU may multiply matrices with the 10 bits of
    # TensorFloat-32.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if run.device == "gpu":
        tf.config.experimental.enable_op_determinism()


def _set_threads(threads: int) -> None:
    """ValueError if TensorFlow already runs with another number of threads."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        # 0 where a layer was differentiated before any session, and the environment has set the
        # number.
        running = tf.config.threading.get_intra_op_parallelism_threads() or os.environ.get(
            "TF_NUM_INTRAOP_THREADS", 0
        )
        if int(running) != threads:
            raise ValueError(
                f"TensorFlow runs with {running} threads in this process, not with {threads}"
            ) from None
