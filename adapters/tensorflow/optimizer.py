"""Keras optimizers inside a traced step, which reads rates and corrections from variables."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapters.held_arrays import HeldArrays, held_arrays
from gradrace.adapters.tensorflow.adjustable import (
    NONE,
    RATE_HINT,
    Adjustable,
    adjustable,
    keeps_rate,
)
from gradrace.adapters.tensorflow.hypers import Double, Numbers, overridden
from gradrace.adapters.tensorflow.making import adapted
from gradrace.binding import Bound
from gradrace.plugins.places import made
from gradrace.spec import RunSpec

# Attributes in which Keras and TensorFlow keep others' objects.
_KERAS_OWN = {"_variables", "_trainable_variables", "_learning_rate", "_tracker"}
_VARIABLES = (keras.Variable, tf.Variable)
_WITHOUT_ARRAYS = (tf.DType, tf.TensorShape, tf.Graph)


class _Rates(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The learning rate of each iteration, read from values [steps]."""

    def __init__(self, values: tf.Variable | tf.Tensor) -> None:
        self.values = values

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.values, step)

    def get_config(self) -> dict[str, Any]:
        return {}


class _Affine(NamedTuple):
    """Variables [steps]: before step t a buffer becomes buffer * scale[t] + shift[t]."""

    scale: tf.Variable
    shift: tf.Variable


class Updater:
    """Keras' own optimizer of these variables, with the run's rule, corrections and rates.

    `apply` is for a step that is being traced. The graph reads all numbers from variables, which
    `restart` and `set_tables` set; it serves every Bound of the same `traced_with` that `fits`.
    """

    def __init__(self, run: RunSpec, bound: Bound, variables: Sequence[keras.Variable]) -> None:
        self._run, self._variables = run, list(variables)
        self._adjustable = _adjustable(run, bound)
        self._rates = table(run.dtype)
        self._schedule = _Rates(self._rates)
        self._make_tables(bound)
        self._starts: dict[Hashable, list[np.ndarray]] = {}
        self._evaluation: Callable[..., Any] | None = bound.evaluation
        self.optimizer, self._replaced = self._new_optimizer(bound)

    def restart(self, bound: Bound) -> None:
        """Sets the optimizer back to step 0, from the variables' present values."""
        self.set_tables(bound)
        first = self._first_state(bound)
        for variable, initial in zip(self.optimizer.variables, first, strict=True):
            variable.assign(initial)

    def fits(self, bound: Bound) -> bool:
        """Whether a step traced with this updater can follow `bound`."""
        same = corrections(bound) == (tuple(sorted(self._hypers)), tuple(sorted(self._states)))
        return same and self._numbers.fits(self._values(bound))

    def set_tables(self, bound: Bound) -> None:
        """Takes over arguments, rates and corrections; if they do not fit, trace a step anew."""
        if not self.fits(bound):
            self._make_tables(bound)
        self._numbers.set(self._values(bound))
        self._evaluation = bound.evaluation
        assign(self._rates, bound.learning_rates)
        for name, values in bound.hyper_tables.items():
            assign(self._hypers[name], values)
        for name, affine in bound.state_tables.items():
            assign(self._states[name].scale, affine.scale)
            assign(self._states[name].shift, affine.shift)

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """The next update of the variables."""
        t = self.counter.value
        for name, affine in self._states.items():
            scale, shift = tf.gather(affine.scale, t), tf.gather(affine.shift, t)
            for buffer in getattr(self.optimizer, name):
                buffer.assign(buffer.value * scale + shift)
        at_step = {name: tf.gather(values, t) for name, values in self._hypers.items()}
        with overridden(self.optimizer, self._numbers.named() | at_step):
            # Some divide gradients by the scale of a loss that Keras' own training would scale.
            scaled = [self.optimizer.scale_loss(gradient) for gradient in gradients]
            self.optimizer.apply(scaled, self._variables)

    @property
    def counter(self) -> keras.Variable:
        """The optimizer's count of the gradients that it was given."""
        found = self.optimizer.iterations
        # With accumulated gradients `iterations` is a count of updates, computed of another.
        return found if isinstance(found, keras.Variable) else self.optimizer._iterations

    @property
    def step(self) -> tf.Tensor:
        """The number of updates so far, inside a step that is being traced."""
        return self.counter.value

    @property
    def others(self) -> list[keras.Variable]:
        """The optimizer's variables but for the number of updates so far."""
        return [v for v in self.optimizer.variables if v is not self.counter]

    def go_to(self, step: int) -> None:
        """Takes rates and corrections from this step on; the optimizer's buffers stay."""
        self.counter.assign(step)

    @contextmanager
    def evaluated(self, names: Sequence[str]) -> Iterator[None]:
        """Inside, the variables hold the weights that the binding's `evaluation` gives.

        Afterwards they hold their own, bit for bit. names: the variables' canonical names.
        """
        if self._evaluation is None:
            yield
            return
        kept = [tf.identity(variable.value) for variable in self._variables]
        try:
            found = self._evaluation(self._state(names), dict(zip(names, kept, strict=True)))
            if not isinstance(found, Mapping) or found.keys() != set(names):
                raise ValueError(f"evaluation must return a tensor for each of {', '.join(names)}")
            for name, variable in zip(names, self._variables, strict=True):
                variable.assign(found[name])
            yield
        finally:
            for variable, value in zip(self._variables, kept, strict=True):
                variable.assign(value)

    def _state(self, names: Sequence[str]) -> dict[str, Any]:
        """The optimizer's variables by attribute; lists of one per trained variable, by name."""
        found: dict[str, Any] = {}
        for attribute, value in self._own().items():
            if isinstance(value, keras.Variable):
                found[attribute] = tf.identity(value.value)
            elif isinstance(value, list) and len(value) == len(names):
                buffers = {
                    name: tf.identity(each.value)
                    for name, each in zip(names, value, strict=True)
                    if isinstance(each, keras.Variable)
                }
                if buffers:
                    found[attribute] = buffers
        return found

    def _own(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self.optimizer).items() if key not in _KERAS_OWN}

    def state_bytes(self) -> int | None:
        """See gradrace.adapter.Session."""
        # Scalars are counters: the iteration, NAdam's running product.
        untracked, whole = self._untracked()
        held = [*self.optimizer.variables, *untracked]
        arrays = [tf.convert_to_tensor(variable) for variable in held if len(variable.shape)]
        total = sum(array.dtype.size * array.shape.num_elements() for array in arrays)
        return total if whole else None

    @property
    def untracked(self) -> bool:
        """Whether it holds variables that Keras does not know and `restart` cannot set back."""
        return bool(self._untracked().arrays)

    def _untracked(self) -> HeldArrays:
        affines = (each for affine in self._states.values() for each in affine)
        known = [*self._variables, *self.optimizer.variables]
        known += [variable.value for variable in known]
        known += [self._rates, *self._hypers.values(), *affines, self._replaced]
        own = self._own().values()
        return held_arrays(own, lambda value: isinstance(value, _VARIABLES), known, _WITHOUT_ARRAYS)

    def _make_tables(self, bound: Bound) -> None:
        dtype = self._run.dtype
        self._numbers = Numbers(self._values(bound), dtype)
        self._hypers = {name: table(dtype) for name in bound.hyper_tables}
        self._states = {name: _Affine(table(dtype), table(dtype)) for name in bound.state_tables}

    def _values(self, bound: Bound) -> dict[str, float]:
        """The arguments that may change from run to run, not those that change with the step."""
        names = self._adjustable.arguments - bound.hyper_tables.keys()
        return {name: bound.arguments[name] for name in names}

    def _first_state(self, bound: Bound) -> list[np.ndarray]:
        """Its variables before the first step; kept, as making one takes as long as 100 steps."""
        if self._adjustable.from_weights:
            return self._made_first_state(bound)
        key = tuple(sorted((name, bound.arguments[name]) for name in self._adjustable.starting))
        if key not in self._starts:
            self._starts = {key: self._made_first_state(bound)}
        return self._starts[key]

    def _made_first_state(self, bound: Bound) -> list[np.ndarray]:
        return [np.array(variable.value) for variable in self._new_optimizer(bound)[0].variables]

    def _new_optimizer(self, bound: Bound) -> tuple[keras.optimizers.Optimizer, Any]:
        """Keras' optimizer in its first state, which may depend on the variables' present values;
        and its first rate's variable, which it goes on holding though nothing reads it."""
        arguments = bound.arguments
        if self._run.dtype == "float64" and self._run.optimizer.rule == "canonical":
            # Keras takes Python floats for float32. (In float32 an np.float64 would widen it.)
            arguments = {k: Double(v) if type(v) is float else v for k, v in arguments.items()}
        # A class may keep a product of the rate: with a table it would fail, with a warm-up's first
        # rate it would be 0.
        given = {"learning_rate": Double(bound.base_rate), **arguments}
        optimizer = made(_make(self._run, bound), "learning_rate", RATE_HINT, (), given)
        replaced = optimizer.learning_rate
        optimizer.learning_rate = self._schedule
        optimizer.build(self._variables)
        return optimizer, replaced


def traced_with(run: RunSpec, bound: Bound) -> Hashable:
    """All of the optimizer that a traced step holds as constants."""
    free = _adjustable(run, bound).arguments
    given = sorted(bound.arguments.items())
    arguments = tuple((name, name in free or repr(value)) for name, value in given)
    rate = keeps_rate(_make(run, bound), bound.arguments) and bound.base_rate
    return run.optimizer.rule, bound.make, arguments, rate, corrections(bound)


def _make(run: RunSpec, bound: Bound) -> Callable[..., Any]:
    """Under the native rule any class will do."""
    native = run.optimizer.rule == "native"
    return adapted(bound.make, bound.arguments) if native else bound.make


def corrections(bound: Bound) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the arguments and of the buffers that a traced step corrects."""
    return tuple(sorted(bound.hyper_tables)), tuple(sorted(bound.state_tables))


def _adjustable(run: RunSpec, bound: Bound) -> Adjustable:
    """Timed runs and the native rule have plain constants, as a user writes them."""
    if run.measure != "convergence" or run.optimizer.rule != "canonical":
        return NONE
    return adjustable(bound.make, bound.arguments)


def table(dtype: str) -> tf.Variable:
    """A variable for float values, one a step; its length is set with its values."""
    return tf.Variable(np.zeros(0), shape=[None], dtype=dtype, trainable=False)


def assign(table: tf.Variable, values: np.ndarray) -> None:
    table.assign(values.astype(table.dtype.as_numpy_dtype))
