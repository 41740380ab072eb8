"""Keras' optimizer for many lanes: one lane's update, which a trace vectorises, and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapter import LanesImpossible
from gradrace.adapters.deferred import Expression, value_of
from gradrace.adapters.tensorflow.hypers import Numbers, Values, overridden
from gradrace.adapters.tensorflow.lane_layers import vector
from gradrace.adapters.tensorflow.layers import array_of
from gradrace.adapters.tensorflow.optimizer import Updater, traced_with
from gradrace.adapters.tensorflow.program import traced
from gradrace.binding import Affine, Bound, bind
from gradrace.optimizer import StateCorrection
from gradrace.plan import RunInputs
from gradrace.spec import RunSpec

Array = np.ndarray
_STEPS = 2
_RTOL = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 2.0**-5}


class Tables(NamedTuple):
    """The numbers of all lanes, or of one without the first axis: planned (rates of the schedule)
    and rates (the optimizer's) [lanes, steps], hypers by name like them, states by buffer
    [lanes, 2, steps], numbers (arguments) and amounts (the task's) [lanes, k]."""

    planned: Any
    rates: Any
    hypers: dict[str, Any]
    states: dict[str, Any]
    numbers: Any
    amounts: Any


class LaneNumbers(Numbers):
    """Named values of every lane. A trace reads them inside of `at`."""

    def __init__(self, lanes: Sequence[Values], dtype: str) -> None:
        super().__init__(lanes[0], dtype)
        self._lanes = list(lanes)
        self._row: tf.Tensor | None = None

    def give(self, lanes: Sequence[Values]) -> None:
        """New values, which `fit`."""
        self._lanes = list(lanes)

    def fit(self, lanes: Sequence[Values]) -> bool:
        """Whether all that was traced so far holds for these values."""
        return all(map(self.fits, lanes))

    def table(self) -> Array:
        """[lanes, k]: all that traces have made of the values so far."""
        rows = [[value_of(each, values) for each in self._places] for values in self._lanes]
        return np.array(rows, np.float64).reshape(len(rows), -1)

    @contextmanager
    def at(self, row: tf.Tensor) -> Iterator[None]:
        """Inside, numbers are read from this row of the table."""
        with overridden(self, {"_row": row}):
            yield

    def decided(self, expression: Expression) -> Any:
        """See Numbers. LanesImpossible if the lanes differ."""
        if len({value_of(expression, values) for values in self._lanes}) > 1:
            raise LanesImpossible("its code takes another path for another lane's hyperparameters")
        self._decided[expression] = value_of(expression, self._lanes[0])
        return self._decided[expression]

    def outcomes(self, values: Values) -> Hashable:
        """Of all that the code has decided by so far, for these values."""
        return tuple(value_of(expression, values) for expression in self._decided)

    def tensor(self, expression: Expression) -> tf.Tensor:
        """A scalar of the lane that is being traced."""
        assert self._row is not None, "a number is read outside of any lane"
        return self._row[self._places.setdefault(expression, len(self._places))]


class LaneUpdater(Updater):
    """Keras' optimizer of these variables, in one lane."""

    def __init__(
        self,
        run: RunSpec,
        bound: Bound,
        variables: Sequence[keras.Variable],
        one_by_one: bool,
    ) -> None:
        """bound: any lane's, see `lane_bound`. one_by_one: its update is not vectorised."""
        super().__init__(run, bound, variables)
        self.one_by_one = one_by_one
        self.numbers = LaneNumbers(self.values([bound]), run.dtype)
        self._numbers = self.numbers

    def values(self, bounds: Sequence[Bound]) -> list[dict[str, float]]:
        """Of each lane: the arguments that may differ between lanes."""
        return [self._values(bound) for bound in bounds]

    @property
    def corrected(self) -> tuple[list[str], list[str]]:
        """Names of the arguments and of the buffers that have a table."""
        return sorted(self._hypers), sorted(self._states)

    def first_state(self, bound: Bound) -> list[Array]:
        """Of `others`, if the variables have their present values at the start."""
        states = zip(self.optimizer.variables, self._first_state(bound), strict=True)
        return [value for each, value in states if each is not self.counter]

    def state(self, names: Sequence[str]) -> dict[str, Any]:
        """What a binding's `evaluation` gets; of one lane in a scope that has its values."""
        return self._state(names)

    @contextmanager
    def lane(self, tables: Tables) -> Iterator[None]:
        """Inside, `apply` reads one lane's tables, and moves variables of a StatelessScope."""
        states = {name: Affine(*tf.unstack(pair)) for name, pair in tables.states.items()}
        with ExitStack() as stack:
            stack.enter_context(overridden(self, {"_hypers": tables.hypers, "_states": states}))
            stack.enter_context(overridden(self._schedule, {"values": tables.rates}))
            stack.enter_context(self.numbers.at(tables.numbers))
            stack.enter_context(_pure())
            yield

    def _new_optimizer(self, bound: Bound) -> tuple[keras.optimizers.Optimizer, Any]:
        with _pure():
            return super()._new_optimizer(bound)


@contextmanager
def _pure() -> Iterator[None]:
    """Inside, Keras' optimizers have the methods of their base class, as with any other backend.

    Those for TensorFlow hand tf.Variables to tf.distribute, and so go past a StatelessScope."""
    own, base = keras.optimizers.Optimizer.__bases__
    methods = {
        name: vars(base)[name]
        for name, method in vars(own).items()
        if callable(method) and name in vars(base) and not name.startswith("__")
    }
    with overridden(own, methods):
        yield


def update_lanes(
    update: Callable[[Tables, Sequence[tf.Tensor]], None],
    updater: LaneUpdater,
    variables: Sequence[keras.Variable],
    step: tf.Tensor,
    stacks: tuple[Sequence[tf.Tensor], Sequence[tf.Tensor], Tables],
) -> Sequence[tf.Tensor]:
    """The variables' values [lanes, ...] after an update. stacks: gradients, values, tables.

    update(tables, gradients): of one lane. The number of the step is the same in all lanes, so that
    an optimizer may choose by it what to do."""

    def of_one(lane: tuple[Sequence[tf.Tensor], Sequence[tf.Tensor], Tables]) -> list[tf.Tensor]:
        gradients, values, tables = lane
        present = [*zip(variables, values, strict=True), (updater.counter, step)]
        with keras.StatelessScope(present) as scope, updater.lane(tables):
            update(tables, gradients)
        return [scope.get_current_value(variable) for variable in variables]

    if updater.one_by_one:
        types = [tf.TensorSpec(variable.shape, variable.dtype) for variable in variables]
        after = tf.map_fn(of_one, stacks, parallel_iterations=1, fn_output_signature=types)
    else:
        after = tf.vectorized_map(of_one, stacks, warn=False)
    return list(after)


def table_types(updater: LaneUpdater, lanes: int, dtype: str) -> Tables:
    """Types of tables of any number of steps, for a trace."""
    table = tf.TensorSpec([lanes, None], dtype)
    hypers, states = updater.corrected
    pairs = dict.fromkeys(states, tf.TensorSpec([lanes, 2, None], dtype))
    return Tables(table, table, dict.fromkeys(hypers, table), pairs, table, table)


def tables_of(
    bounds: Sequence[Bound],
    planned: Sequence[Array],
    updater: LaneUpdater,
    amounts: Array,
    dtype: str,
) -> Tables:
    """These lanes' tables, complete once the update was traced."""
    hypers, states = updater.corrected

    def tensor(arrays: Sequence[Any]) -> tf.Tensor:
        return tf.constant(np.stack(arrays), dtype)

    return Tables(
        planned=tensor(planned),
        rates=tensor([bound.learning_rates for bound in bounds]),
        hypers={name: tensor([bound.hyper_tables[name] for bound in bounds]) for name in hypers},
        states={name: tensor([bound.state_tables[name] for bound in bounds]) for name in states},
        numbers=tf.constant(updater.numbers.table(), dtype),
        amounts=tf.constant(amounts, dtype),
    )


def lane_bound(run: RunSpec, inputs: RunInputs) -> Bound:
    """With a table for every buffer that its rule may correct, even if nothing changes: a lane's
    bits must not depend on what the other lanes' schedules need."""
    bound = bind(run, inputs.optimizer, inputs.learning_rates)
    if run.optimizer.rule == "native":
        return bound
    steps = len(inputs.learning_rates)
    nothing = Affine(np.ones(steps), np.zeros(steps))
    corrections = inputs.optimizer.bindings[run.framework].corrections
    names = [each.state for each in corrections if isinstance(each, StateCorrection)]
    return replace(bound, state_tables=dict.fromkeys(names, nothing) | dict(bound.state_tables))


class Tried(NamedTuple):
    """An optimizer that has lanes. one_by_one: TensorFlow cannot vectorise its update, or not so
    that a lane's bits are independent of its place. decisions: see `tried`."""

    one_by_one: bool
    decisions: Hashable


# What was found: why there are no lanes, or an updater that has been traced.
_FOUND: dict[Hashable, str | LaneUpdater] = {}


def tried(run: RunSpec, inputs: RunInputs) -> Tried:
    """How this run's optimizer updates lanes, and what its code decides by the run's arguments: the
    lanes of a program must agree on that. Tried once for a class and its arguments' kinds.

    LanesImpossible if lanes do not give what the optimizer gives by itself."""
    bound = lane_bound(run, inputs)
    key = run.dtype, traced_with(run, bound)
    if key not in _FOUND:
        matrices = inputs.optimizer.bindings[run.framework].matrices_only
        shapes = [(37, 10)] if matrices else [(37, 10), (3, 3, 5, 6), (10,)]
        _FOUND[key] = _trial(run, bound, shapes)
    found = _FOUND[key]
    if isinstance(found, str):
        raise LanesImpossible(f"{run.optimizer.name}: {found}")
    return Tried(found.one_by_one, found.numbers.outcomes(found.values([bound])[0]))


def _trial(run: RunSpec, bound: Bound, shapes: Sequence[tuple[int, ...]]) -> str | LaneUpdater:
    reason = ""
    for one_by_one in (False, True):
        try:
            return _tried(run, bound, shapes, one_by_one)
        except LanesImpossible as impossible:
            reason = str(impossible)
        except Exception as error:
            # A user's code may fail in any way, and still be right for single runs.
            reason = f"in lanes, it fails with {type(error).__name__}: {error}".splitlines()[0]
    return reason


def _tried(
    run: RunSpec, bound: Bound, shapes: Sequence[tuple[int, ...]], one_by_one: bool
) -> LaneUpdater:
    """Lanes of two kinds in turn, against single runs and among themselves."""
    drawn, kinds = np.random.default_rng(0), 2
    starts = [[drawn.normal(size=shape) for shape in shapes] for _ in range(kinds)]
    variables = [keras.Variable(start, dtype=run.dtype) for start in starts[0]]
    alone = Updater(run, bound, variables)
    updater = LaneUpdater(run, bound, variables, one_by_one)
    expected = [_outcome(alone, bound, variables, start) for start in starts]
    places = [place % 3 % kinds for place in range(vector(run.dtype))]
    found = _lanes_outcome(updater, bound, variables, starts, places)
    if alone.untracked or updater.untracked:
        raise LanesImpossible("it holds state that Keras does not know of")
    rtol = _RTOL[run.dtype]
    for stack, *values in zip(found, *expected, strict=True):
        for kind, value in enumerate(values):
            first, *others = (
                lane for lane, other in zip(stack, places, strict=True) if other == kind
            )
            if not np.allclose(first, value, rtol=rtol, atol=rtol, equal_nan=True):
                raise LanesImpossible(
                    "it computes something else where variables are not changed in place"
                )
            if not all(np.array_equal(first, other, equal_nan=True) for other in others):
                raise LanesImpossible("vectorised, its last bits depend on a lane's place")
    return updater


def _gradients(first: Sequence[tf.Tensor], step: tf.Tensor) -> list[tf.Tensor]:
    return [tf.cos(each + tf.cast(step, each.dtype)) for each in first]


def _outcome(
    updater: Updater, bound: Bound, variables: Sequence[keras.Variable], start: Sequence[Array]
) -> list[Array]:
    """The variables and the optimizer's after a few updates of one run by itself."""
    _assign(variables, start)
    updater.restart(bound)
    first = [tf.identity(variable.value) for variable in variables]
    types = [tf.TensorSpec(variable.shape, variable.dtype) for variable in variables]
    step = traced(lambda *gradients: updater.apply(gradients), types)
    for t in range(_steps(bound)):
        step(*_gradients(first, tf.constant(t, tf.int64)))
    return [array_of(each.value) for each in [*variables, *updater.others]]


def _lanes_outcome(
    updater: LaneUpdater,
    bound: Bound,
    variables: Sequence[keras.Variable],
    starts: Sequence[Sequence[Array]],
    places: Sequence[int],
) -> list[Array]:
    """The same, stacked, of lanes that start at these places of `starts`."""
    states, lanes, dtype = [], len(places), variables[0].dtype
    for start in starts:
        _assign(variables, start)
        states.append([array_of(each.value) for each in variables] + updater.first_state(bound))
    moved = [*variables, *updater.others]
    state = [
        tf.constant(np.stack([values[place] for place in places]), each.dtype)
        for each, *values in zip(moved, *states, strict=True)
    ]
    types = table_types(updater, lanes, dtype)
    width, count = len(tf.nest.flatten(types)), len(variables)

    def update(t: tf.Tensor, *given: tf.Tensor) -> Sequence[tf.Tensor]:
        tables = tf.nest.pack_sequence_as(types, given[:width])
        gradients, values = given[width : width + count], given[width + count :]

        def apply(_: Tables, gradients: Sequence[tf.Tensor]) -> None:
            updater.apply(gradients)

        return update_lanes(apply, updater, moved, t, (gradients, values, tables))

    of_state = [tf.TensorSpec(each.shape, each.dtype) for each in state]
    all_types = [tf.TensorSpec([], tf.int64), *tf.nest.flatten(types), *of_state[:count], *of_state]
    step = traced(update, all_types)
    bounds, planned = [bound] * lanes, [bound.learning_rates] * lanes
    updater.numbers.give(updater.values(bounds))
    tables = tables_of(bounds, planned, updater, np.zeros((lanes, 0)), dtype)
    first = state[:count]
    for now in range(_steps(bound)):
        t = tf.constant(now, tf.int64)
        state = list(step(t, *tf.nest.flatten(tables), *_gradients(first, t), *state))
    return [array_of(each) for each in state]


def _assign(variables: Sequence[keras.Variable], values: Sequence[Array]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _steps(bound: Bound) -> int:
    return min(_STEPS, len(bound.learning_rates))
