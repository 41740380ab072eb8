"""Many runs side by side: the lanes' tensors, handed from call to call of the traced functions."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf
from gradrace.adapter import LanesImpossible, Metrics
from gradrace.adapters.large_data import pieces
from gradrace.adapters.tensorflow.batches import Masks, OnDevice, Tensors, placed, signature
from gradrace.adapters.tensorflow.lane_layers import vector
from gradrace.adapters.tensorflow.lane_optimizer import lane_bound, tried
from gradrace.adapters.tensorflow.lanes import LaneProgram
from gradrace.adapters.tensorflow.session import evaluated_rows, program_key
from gradrace.binding import Bound
from gradrace.objective import Objective, metric_of
from gradrace.plan import RunInputs, Weights
from gradrace.spec import RunSpec

Array = np.ndarray

_IDLE_PROGRAMS = 4
_MASK_BYTES = 256 * 2**20
_ROW_BYTES = 32 * 2**20


class TensorflowPopulation:
    """See gradrace.adapter.Population. Free lanes repeat the first run."""

    def __init__(
        self,
        runs: Sequence[RunSpec],
        starts: Sequence[Weights],
        inputs: Sequence[RunInputs],
        lanes: int,
    ) -> None:
        """LanesImpossible if one program cannot be traced for these runs."""
        self._runs, self._inputs, self._device = list(runs), list(inputs), runs[0].device
        self._objective, self._step = Objective.of(runs[0].task), 0
        # TensorFlow computes in vectors, and with other instructions what is left at the end of an
        # array: spare lanes keep that from being the end of the last lane.
        width = -(-lanes // vector(runs[0].dtype)) * vector(runs[0].dtype)
        self._filling = [lane if lane < len(runs) else 0 for lane in range(width)]
        self._planned = [each.learning_rates for each in inputs]
        self._bounds = [lane_bound(run, each) for run, each in zip(runs, inputs, strict=True)]
        self._masks = [Masks(run, each) for run, each in zip(runs, inputs, strict=True)]
        self._losses: list[tf.Tensor] = []
        with self._computing():
            self._data = OnDevice(inputs[0].data, runs[0], self._device)
            self._key = _program_key(runs[0], self._bounds[0], self._data, width)
            self._program = self._taken_program() or self._new_program(width)
            self._program.give(self._filled(self._runs), self._filled(self._bounds))
            self._tables = self._new_tables()
            firsts = [
                self._program.first(bound, start, each.seed)
                for bound, start, each in zip(self._bounds, starts, inputs, strict=True)
            ]
            self._values = [
                tf.constant(np.stack(self._filled(lanes)), variable.dtype)
                for variable, lanes in zip(
                    self._program.variables, zip(*firsts, strict=True), strict=True
                )
            ]

    def train(self, steps: range) -> None:
        with self._computing():
            for chunk in self._chunks(steps):
                losses, *self._values = self._program.loop(
                    tf.constant(chunk.start, tf.int64),
                    *self._data["train"],
                    tf.constant(self._of_steps([each.batches for each in self._inputs], chunk)),
                    *self._masks_of(chunk),
                    *tf.nest.flatten(self._tables),
                    *self._values,
                )
                self._losses.append(losses)
        self._step = steps.stop

    def sync(self) -> None:
        with self._computing():
            tf.test.experimental.sync_devices()

    def losses(self) -> Array:
        taken, self._losses = self._losses, []
        if not taken:
            return np.zeros((len(self._runs), 0))
        with self._computing():
            joined = tf.cast(tf.transpose(tf.concat(taken, 0)), tf.float64).numpy()
        return np.array(joined[: len(self._runs)])

    def evaluate(self, split: str) -> list[Metrics]:
        x, y = self._data[split]
        count = tf.constant(len(self._runs))
        losses, totals = np.zeros(len(self._runs)), np.zeros(len(self._runs))
        with self._computing():
            weights = self._evaluated()
            for part in pieces(len(y), evaluated_rows(self._runs[0])):
                given = x[part], y[part], count, self._tables.amounts
                found = self._program.lane_totals(*given, *weights)
                losses, totals = losses + found[0].numpy(), totals + found[1].numpy()
        means, labels = losses / len(y), y.numpy()
        return [
            Metrics(loss, metric_of(self._objective, total, loss, labels))
            for loss, total in zip(means.tolist(), totals.tolist(), strict=True)
        ]

    def set_learning_rates(self, lane: int, rates: Array) -> None:
        changed = replace(self._inputs[lane], learning_rates=rates)
        self._planned[lane], self._bounds[lane] = rates, lane_bound(self._runs[lane], changed)
        with self._computing():
            self._tables = self._new_tables()

    def weights(self, lane: int) -> Weights:
        with self._computing():
            return self._program.canonical([each[lane] for each in self._values])

    def state_bytes(self) -> int | None:
        return self._program.state_bytes()

    def close(self) -> None:
        if hasattr(self, "_program"):
            _IDLE.append((self._key, self._program))
            del _IDLE[:-_IDLE_PROGRAMS]
            del self._program, self._values, self._data

    def _filled(self, of_runs: Sequence[Any]) -> list[Any]:
        """One for every lane of the program."""
        return [of_runs[run] for run in self._filling]

    def _of_steps(self, of_runs: Sequence[Array], steps: range) -> Array:
        return np.stack(self._filled([each[steps.start : steps.stop] for each in of_runs]))

    def _chunks(self, steps: range) -> Iterator[range]:
        """As many steps at a time as the masks and rows of all lanes have memory for."""
        batch, lanes = self._runs[0].task.batch_size, len(self._filling)
        size = batch * sum(map(prod, self._masks[0].shapes))
        most = max(1, _ROW_BYTES // (batch * lanes * self._inputs[0].batches.itemsize))
        most = max(1, min(most, _MASK_BYTES // (size * lanes))) if size else most
        for first in range(steps.start, steps.stop, most):
            yield range(first, min(first + most, steps.stop))

    def _masks_of(self, steps: range) -> list[tf.Tensor]:
        of_runs = [masks.stacked(steps) for masks in self._masks]
        return [tf.stack(self._filled(layer)) for layer in zip(*of_runs, strict=True)]

    def _evaluated(self) -> list[tf.Tensor]:
        """`weights` of all lanes; where a binding evaluates others, those."""
        count = len(self._program.weights)
        if self._bounds[0].evaluation is None:
            return self._values[:count]
        found = [
            self._program.evaluated_weights(
                bound, self._step, [each[lane] for each in self._values]
            )
            for lane, bound in enumerate(self._bounds)
        ]
        return [tf.stack(self._filled(lanes)) for lanes in zip(*found, strict=True)]

    def _new_tables(self) -> Any:
        return self._program.tables(self._filled(self._bounds), self._filled(self._planned))

    def _taken_program(self) -> LaneProgram | None:
        for position, (key, program) in enumerate(_IDLE):
            if key == self._key and program.fit(self._runs, self._bounds):
                del _IDLE[position]
                return program
        return None

    def _new_program(self, width: int) -> LaneProgram:
        one_by_one = tried(self._runs[0], self._inputs[0]).one_by_one
        return LaneProgram(self._runs[0], self._bounds[0], self._data, width, one_by_one)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """On the run's device. MemoryError if it is full."""
        try:
            with placed(self._device):
                yield
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(error.message.splitlines()[0]) from error


# Programs that no population holds, the longest idle first.
_IDLE: list[tuple[Hashable, LaneProgram]] = []


def _program_key(run: RunSpec, bound: Bound, data: Tensors, width: int) -> Hashable:
    return *program_key(run, bound), width, *signature(*data["train"], rows=None)


def lane_key(run: RunSpec, inputs: RunInputs) -> Hashable:
    """See gradrace.adapter.PopulationAdapter."""
    if run.input == "pipeline":
        raise LanesImpossible("an input pipeline feeds one run")
    if run.diagnose:
        raise LanesImpossible("norms of each layer are recorded of single runs")
    if run.optimizer.groups:
        raise LanesImpossible("a run with parameter groups has several optimizers")
    decisions = tried(run, inputs).decisions
    return *program_key(run, lane_bound(run, inputs)), decisions
