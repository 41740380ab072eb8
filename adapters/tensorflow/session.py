"""One traced program, driven in one of the modes."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import tensorflow as tf
from gradrace.adapter import Metrics, Part
from gradrace.adapters.large_data import pieces, rows_at_once
from gradrace.adapters.tensorflow.batches import (
    OnDevice,
    Pipeline,
    Resident,
    placed,
    signature,
)
from gradrace.adapters.tensorflow.groups import AnyBound, at_rest, bound_of, traced_with
from gradrace.adapters.tensorflow.modes import MODES, Drive
from gradrace.adapters.tensorflow.program import Program
from gradrace.layers import build
from gradrace.objective import Objective, amounts, metric_of, without_amounts
from gradrace.plan import RunInputs, Weights
from gradrace.spec import RunSpec

Array = np.ndarray

_IDLE_PROGRAMS = 16
# Splits are evaluated at most this many rows at a time, to bound the memory.
_EVALUATED_ROWS = 4096


class TensorflowSession:
    """Trains one program in one way of driving TensorFlow."""

    def __init__(self, run: RunSpec, start: Weights, inputs: RunInputs) -> None:
        bound = bound_of(run, inputs, inputs.learning_rates)
        self._run, self._inputs, self._device, self._bound = run, inputs, run.device, bound
        self._objective = Objective.of(run.task)
        self._probes: dict[Part, Drive] = {}
        self._twin: Program | None = None
        self._apart: Resident | None = None
        with placed(self._device):
            self._data = OnDevice(inputs.data, run, run.device)
            self._key = self._program_key(bound)
            self._program = _take(self._key, run, bound) or self._new_program(bound)
            self._program.start(run, bound, start, inputs.learning_rates, inputs.seed)
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
            for part in pieces(len(y), evaluated_rows(self._run)):
                part_loss, part_total = self._program.totals(x[part], y[part])
                loss, total = loss + float(part_loss), total + float(part_total)
        loss /= len(y)
        return Metrics(loss, metric_of(self._objective, total, loss, y.numpy()))

    def set_learning_rates(self, rates: Array) -> None:
        self._bound = bound_of(self._run, self._inputs, rates)
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
            self._apart = Resident(self._run, self._inputs, self._data)
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
        """A program with the present weights and learning rates of 0, for parts of a step to move:
        they move batch statistics, generators, buffers, and by some optimizers even weights."""
        still = np.zeros_like(self._inputs.learning_rates)
        bound = at_rest(self._bound)
        self._twin = self._new_program(bound)
        self._twin.start(self._run, bound, self.weights(), still, self._inputs.seed)
        return self._twin

    def _driven(self, program: Program) -> Drive:
        """With batches of its own: a pipeline's iterator stands at one step."""
        run, inputs = self._run, self._inputs
        pipeline = run.input == "pipeline"
        batches = Pipeline(run, inputs) if pipeline else Resident(run, inputs, self._data)
        return MODES[run.mode].drive(program, batches)

    def _new_program(self, bound: AnyBound) -> Program:
        return Program(self._run, bound, self._data, MODES[self._run.mode].compiled)

    def _program_key(self, bound: AnyBound) -> Hashable | None:
        if self._run.measure != "convergence":
            return None
        # XLA compiles for the lengths of tables, which are variables to a graph.
        steps = self._run.steps if MODES[self._run.mode].compiled else None
        return *program_key(self._run, bound), steps, *signature(*self._data["train"], rows=None)

    def peak_bytes(self) -> int | None:
        """None on a CPU, where TensorFlow leaves out arrays below 256 KiB and rounds up others."""
        if self._device != "gpu":
            return None
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])

    def close(self) -> None:
        if hasattr(self, "_program"):
            _give_back(self._key, self._program)
            del self._program, self._drive, self._probes, self._twin, self._apart, self._data


def evaluated_rows(run: RunSpec) -> int:
    """How many rows of a split are evaluated at a time."""
    layers = build(run.task.model, run.task.input_shape)
    return rows_at_once(layers, _EVALUATED_ROWS, tf.as_dtype(run.dtype).size)


# Programs that no session holds, the longest idle first.
_IDLE: list[tuple[Hashable, Program]] = []


def _take(key: Hashable | None, run: RunSpec, bound: AnyBound) -> Program | None:
    """An idle program of this key, taken off the list; none for a timing run, which has no key."""
    for position, (idle, program) in enumerate(_IDLE):
        if key is not None and idle == key and program.fits(run, bound):
            del _IDLE[position]
            return program
    return None


def _give_back(key: Hashable | None, program: Program) -> None:
    if key is not None and program.reusable:
        _IDLE.append((key, program))
        del _IDLE[:-_IDLE_PROGRAMS]


def program_key(run: RunSpec, bound: AnyBound) -> tuple[Hashable, ...]:
    """All that a program is traced with; two runs of one key differ in numbers alone."""
    task = run.task
    numbers = tuple(amounts(task, build(task.model, task.input_shape)[-1].output_shape[-1]))
    shapes = without_amounts(task.model), task.input_shape, task.batch_size
    how = run.dtype, run.mode, run.device, run.input
    return *shapes, Objective.of(task), numbers, traced_with(run, bound), *how
