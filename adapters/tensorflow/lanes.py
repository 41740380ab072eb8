"""The traced functions of many lanes: one lane's own functions, vectorised.

Network and optimizer are those of a single run. Keras' StatelessScope gives their variables the
values of one lane, and `tf.vectorized_map` makes each operation one of all lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapters.tensorflow.batches import Tensors
from gradrace.adapters.tensorflow.groups import AnyBound
from gradrace.adapters.tensorflow.hypers import overridden
from gradrace.adapters.tensorflow.lane_layers import LANE_LAYERS, spread, vectorises
from gradrace.adapters.tensorflow.lane_optimizer import (
    LaneNumbers,
    LaneUpdater,
    Tables,
    table_types,
    tables_of,
    update_lanes,
)
from gradrace.adapters.tensorflow.layers import Kind, array_of
from gradrace.adapters.tensorflow.modes import repeated
from gradrace.adapters.tensorflow.program import Program, amounts_of
from gradrace.binding import Bound
from gradrace.layers import Shape, build
from gradrace.plan import Weights
from gradrace.spec import RunSpec

Array = np.ndarray
# Values of variables: of one lane, or [lanes, ...] of all.
Stack = Sequence[tf.Tensor]


class LaneProgram(Program):
    """A step and an evaluation of a fixed number of lanes. Serves one population at a time.

    Weights and the optimizer's state are tensors [lanes, ...] that the caller keeps, in the order
    of `variables`, of which `weights` are the first and `trained` the very first."""

    layer_table: Mapping[type, Kind] = LANE_LAYERS

    def __init__(
        self, run: RunSpec, bound: Bound, data: Tensors, lanes: int, one_by_one: bool
    ) -> None:
        """run, bound: of any lane, see `lane_bound`. one_by_one: see LaneUpdater."""
        self._one_by_one = one_by_one
        super().__init__(run, bound, data, compiled=False)
        self.lanes = lanes
        self._lane_amounts = LaneNumbers([amounts_of(run)], self.dtype)
        self._amounts = self._lane_amounts
        self.trained, self._moving = self.network.trainable_variables, self.network.moving_variables
        self.weights = [*self.trained, *self._moving]
        self.variables = [*self.weights, *self._updater.others]
        layers = build(run.task.model, run.task.input_shape)
        self._at_once = vectorises(layers, run.dtype)
        self._spread: list[tuple[keras.Variable, Shape]] = []
        if self._at_once:
            self._spread = spread(self.network, layers, run.task.batch_size, run.dtype)

    def made_updater(self, run: RunSpec, bound: AnyBound) -> LaneUpdater:
        """See Program."""
        assert isinstance(bound, Bound), "runs with parameter groups are trained alone"
        self._lane_updater = LaneUpdater(
            run, bound, self.network.trainable_variables, self._one_by_one
        )
        return self._lane_updater

    # Numbers and first values

    def fit(self, runs: Sequence[RunSpec], bounds: Sequence[Bound]) -> bool:
        """Whether all that was traced so far holds for these runs, of the program's key."""
        amounts = [amounts_of(run) for run in runs]
        updater = self._lane_updater
        return updater.numbers.fit(updater.values(bounds)) and self._lane_amounts.fit(amounts)

    def give(self, runs: Sequence[RunSpec], bounds: Sequence[Bound]) -> None:
        """Each lane's numbers; then traces what was not traced yet."""
        self._lane_amounts.give([amounts_of(run) for run in runs])
        self._lane_updater.numbers.give(self._lane_updater.values(bounds))
        _ = self.loop, self.lane_totals

    def tables(self, bounds: Sequence[Bound], planned: Sequence[Array]) -> Tables:
        """The lanes' numbers as the traced functions take them."""
        amounts = self._lane_amounts.table()
        return tables_of(bounds, planned, self._lane_updater, amounts, self.dtype)

    def first(self, bound: Bound, start: Weights, seed: int) -> list[Array]:
        """A lane's first values of `variables`."""
        keras.config.set_floatx(self.dtype)
        self.network.load(start)
        self.network.seed(seed)
        of_network = [array_of(variable.value) for variable in self.weights]
        return of_network + self._lane_updater.first_state(bound)

    def evaluated_weights(self, bound: Bound, step: int, state: Sequence[tf.Tensor]) -> Stack:
        """One lane's values to evaluate in place of `weights`, after so many steps."""
        evaluation, trained = bound.evaluation, len(self.trained)
        if evaluation is None:
            return state[: len(self.weights)]
        names, updater = self.network.trainable_names, self._lane_updater
        iterations = updater.counter, tf.constant(step, tf.int64)
        with keras.StatelessScope([*zip(self.variables, state, strict=True), iterations]):
            found = evaluation(updater.state(names), dict(zip(names, state[:trained], strict=True)))
        return [*(found[name] for name in names), *state[trained : len(self.weights)]]

    def canonical(self, values: Stack) -> dict[str, Array]:
        """The weights among one lane's values, canonical names and layout."""
        named = {id(each): value for each, value in zip(self.variables, values, strict=True)}
        return self.network.canonical(named)

    # Traced functions

    @property
    def loop(self) -> Callable[..., Any]:
        """(first, x, y, rows, *masks, *tables, *values) -> losses [k, lanes], *values.

        first: the number of the first step; rows int64[lanes, k, batch] of x and y; masks of each
        fed dropout bool[lanes, k, batch, *sample]."""
        return self.traced("loop", self._loop, self._loop_types)

    def _loop_types(self) -> list[tf.TensorSpec]:
        _, y, *masks = self.batch_types()
        rows = tf.TensorSpec([self.lanes, None, y.shape[0]], tf.int64)
        of_steps = [tf.TensorSpec([self.lanes, None, *mask.shape], mask.dtype) for mask in masks]
        tables = tf.nest.flatten(self._table_types)
        first = tf.TensorSpec([], tf.int64)
        return [first, *self._rows, rows, *of_steps, *tables, *self._stacks(self.variables)]

    @property
    def _table_types(self) -> Tables:
        return table_types(self._lane_updater, self.lanes, self.dtype)

    def _stacks(self, variables: Sequence[keras.Variable]) -> list[tf.TensorSpec]:
        return [tf.TensorSpec([self.lanes, *each.shape], each.dtype) for each in variables]

    def _loop(
        self, first: tf.Tensor, x: tf.Tensor, y: tf.Tensor, rows: tf.Tensor, *more: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        types, fed = self._table_types, len(self._fed)
        masks, end = more[:fed], fed + len(tf.nest.flatten(types))
        tables = tf.nest.pack_sequence_as(types, more[fed:end])
        count = tf.shape(rows)[1]

        def each(t: tf.Tensor, taken: tf.TensorArray, *values: tf.Tensor) -> Any:
            batch = (*(tf.gather(part, rows[:, t]) for part in (x, y)), *(m[:, t] for m in masks))
            loss, gradients, moved = self._all_gradients(batch, values, tables.amounts)
            stacks = gradients, moved, tables
            after = update_lanes(
                self._lane_update,
                self._lane_updater,
                self.variables,
                first + tf.cast(t, tf.int64),
                stacks,
            )
            return taken.write(t, loss), *after

        taken = tf.TensorArray(self.dtype, size=count, element_shape=[self.lanes])
        taken, *after = repeated(count, each, taken, *more[end:])
        return taken.stack(), *after

    def _all_gradients(
        self, batch: tuple[tf.Tensor, ...], values: Stack, amounts: tf.Tensor
    ) -> tuple[tf.Tensor, Stack, Stack]:
        """Losses [lanes], the gradients by `trained`, and values, after the forward pass.

        One derivative of the losses' sum gives every lane its own."""
        trained, moving, others = split(values, len(self.trained), len(self.weights))
        if not self._at_once:
            like = values[: len(self.weights)]
            types = [tf.TensorSpec(each.shape[1:], each.dtype) for each in like]
            kinds = tf.TensorSpec([], self.dtype), *split(types, len(trained), len(types))[:2]
            loss, gradients, moved = tf.map_fn(
                self._lane_gradients,
                (batch, trained, moving, amounts),
                parallel_iterations=1,
                fn_output_signature=kinds,
            )
            return loss, gradients, [*trained, *moved, *others]
        # A column for each lane: with one for all, TensorFlow would make one product of all lanes.
        columns = [
            tf.ones([self.lanes, prod(shape[:-1]), 1], self.dtype) for _, shape in self._spread
        ]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(trained)
            given = batch, trained, moving, amounts, columns
            loss, moved = tf.vectorized_map(self._lane_forward, given, warn=False)
            total = tf.reduce_sum(loss)
        return loss, _gradients(tape, total, trained), [*trained, *moved, *others]

    def _lane_gradients(self, lane: Sequence[Any]) -> tuple[tf.Tensor, Stack, Stack]:
        batch, trained, moving, amounts = lane
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(trained)
            loss, moved = self._lane_forward((batch, trained, moving, amounts, []))
        return loss, _gradients(tape, loss, trained), moved

    def _lane_forward(self, lane: Sequence[Any]) -> tuple[tf.Tensor, Stack]:
        batch, trained, moving, amounts, columns = lane
        values = zip(self.weights, [*trained, *moving], strict=True)
        with keras.StatelessScope(values) as scope, self._lane_amounts.at(amounts):
            for (bias, shape), column in zip(self._spread, columns, strict=True):
                product = tf.matmul(column, bias.value[tf.newaxis])
                scope.add_update((bias, tf.reshape(product, shape)))
            loss = self.forward(*batch)
        return loss, [scope.get_current_value(variable) for variable in self._moving]

    def _lane_update(self, tables: Tables, gradients: Sequence[tf.Tensor]) -> None:
        with self._lane_amounts.at(tables.amounts), overridden(self, {"_rates": tables.planned}):
            self.update(*gradients)

    @property
    def lane_totals(self) -> Callable[..., Any]:
        """(x, y, count, amounts, *weights) -> float64[count] twice: `totals` of the first lanes."""
        return self.traced("lane totals", self._each_total, self._total_types)

    def _total_types(self) -> list[tf.TensorSpec]:
        amounts = tf.TensorSpec([self.lanes, None], self.dtype)
        weights = self._stacks(self.weights)
        return [*self._rows, tf.TensorSpec([], tf.int32), amounts, *weights]

    def _each_total(
        self, x: tf.Tensor, y: tf.Tensor, count: tf.Tensor, amounts: tf.Tensor, *weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # One lane after another: the rows of a split are enough work for every operation, and the
        # activations of a single lane need less memory.
        def each(lane: tf.Tensor, losses: tf.TensorArray, totals: tf.TensorArray) -> Any:
            values = zip(self.weights, [stack[lane] for stack in weights], strict=True)
            with keras.StatelessScope(values), self._lane_amounts.at(amounts[lane]):
                loss, total = self._totals(x, y)
            return losses.write(lane, loss), totals.write(lane, tf.cast(total, tf.float64))

        none = (tf.TensorArray(tf.float64, size=count, element_shape=[]) for _ in range(2))
        losses, totals = repeated(count, each, *none)
        return losses.stack(), totals.stack()


def _gradients(tape: tf.GradientTape, of: tf.Tensor, by: Stack) -> list[tf.Tensor]:
    found = tape.gradient(of, by, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    # An embedding's gradients come as rows.
    return [tf.convert_to_tensor(gradient) for gradient in found]


def split(values: Stack, first: int, second: int) -> tuple[Stack, Stack, Stack]:
    """values up to `first`, from there to `second`, and the rest."""
    return values[:first], values[first:second], values[second:]
