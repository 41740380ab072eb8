"""What TensorFlow's populations do beyond tests/helpers/lanes.py, check by check.

`python tests/helpers/populations_tensorflow.py` prints JSON: check -> "", or the failure.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapter import LanesImpossible
from gradrace.adapters.tensorflow import ADAPTER, population
from gradrace.layers import Dropout
from gradrace.optimizer import Binding, Hyper, Optimizer
from lane_runs import LINEAR, NATIVE, RATE, SMALL, STEPS, Lanes, print_found
from runs import REGISTRY

OF = Lanes(ADAPTER, "loop")
run_of, seeds, key_of, refusal = OF.run_of, OF.seeds, OF.key_of, OF.refusal
together, alone, assert_as_alone = OF.together, OF.alone, OF.assert_as_alone


def declared(target: Any, **fields: Any) -> Optimizer:
    """A user's, with one hyperparameter."""
    binding = Binding(lambda: target, lambda hyper: dict(hyper), **fields)
    hyper = {"factor": Hyper(2.0, "-", 0.0)}
    return Optimizer("mine", "Mine", "-", RATE, hyper, {"tensorflow": binding})


class Mine(keras.optimizers.Optimizer):
    """Plain descent by `factor` times the rate, to be varied."""

    def __init__(self, learning_rate: Any, factor: Any) -> None:
        super().__init__(learning_rate)
        self.factor = factor

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign_sub(variable, self.changed(gradient) * self.factor * learning_rate)

    def changed(self, gradient: Any) -> Any:
        return gradient


class Branching(Mine):
    """By a hyperparameter's value."""

    def changed(self, gradient: Any) -> Any:
        return gradient if self.factor > 1.0 else tf.sign(gradient)


class Called(Mine):
    """Leaves the graph, where nothing can be vectorised."""

    def changed(self, gradient: Any) -> Any:
        halved = tf.py_function(lambda g: g / 2.0, [gradient], gradient.dtype)
        return tf.ensure_shape(halved, gradient.shape)


class Counting(Mine):
    """With a count that Keras does not know of."""

    def __init__(self, learning_rate: Any, factor: Any) -> None:
        super().__init__(learning_rate, factor)
        self.held = {"seen": [tf.Variable(np.zeros(3))]}

    def changed(self, gradient: Any) -> Any:
        self.held["seen"][0].assign_add(np.ones(3))
        return gradient


class Averaging(Mine):
    """Keeps an average of the weights, which `averaged` evaluates."""

    def build(self, variables: Any) -> None:
        if not self.built:
            super().build(variables)
            self.averages = self.add_optimizer_variables(variables, "average")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, learning_rate)
        average = self.averages[self._get_variable_index(variable)]
        self.assign(average, 0.5 * average + 0.5 * variable)


def averaged(state: Any, parameters: Any) -> Any:
    return {name: state["averages"][name] for name in parameters}


# -- which runs share a program --


def keys() -> None:
    """Numbers, schedules and seeds do not tell runs apart; what a trace holds does."""
    same = [
        run_of(),
        run_of(seed=3, rate=0.02, hyper={"beta1": 0.7}, kind="warmup_cosine"),
        run_of(change={"model": (*SMALL.model[:2], Dropout(rate=0.2), SMALL.model[3])}),
    ]
    assert len(set(map(key_of, same))) == 1
    other = [
        run_of(rule="native"),
        run_of(dtype="float32"),
        run_of(change={"batch_size": 8}),
        run_of(change={"label_smoothing": 0.1}),
        run_of(task=NATIVE),
    ]
    assert len(set(map(key_of, [*same, *other]))) == 1 + len(other)


def corrections_of_some_lanes() -> None:
    """A correction that one schedule does not need is in the program, and does nothing there."""
    momentum = REGISTRY.optimizers["momentum"]
    runs = [run_of(momentum), run_of(momentum, kind="cosine", seed=1)]
    assert len({key_of(run, momentum) for run in runs}) == 1
    assert_as_alone(runs, momentum)


def branches() -> None:
    """Lanes whose optimizer takes the same path share a program, others do not."""
    mine = declared(Branching)
    runs = [run_of(mine, seed=lane, hyper={"factor": 1.5 + lane}) for lane in range(2)]
    signs = run_of(mine, hyper={"factor": 0.5})
    assert key_of(runs[0], mine) == key_of(runs[1], mine) != key_of(signs, mine)
    assert_as_alone(runs, mine)
    assert_as_alone([signs], mine)
    try:
        together([*runs, signs], mine)
    except LanesImpossible as reason:
        assert "takes another path" in str(reason)
    else:
        raise AssertionError("lanes of two paths in one program")


def refused() -> None:
    """The reason is for people; by itself such a run trains."""
    assert "pipeline" in refusal(run_of(input="pipeline"))
    assert "norms" in refusal(run_of(diagnose=True))
    counting = declared(Counting)
    assert "Keras does not know" in refusal(run_of(counting), counting)
    # Its update reads a variable under another name after it has changed it.
    aliasing = REGISTRY.optimizers["schedule_free_adamw"]
    reason = refusal(run_of(aliasing, rule="native"), aliasing)
    assert "changed in place" in reason and "\n" not in reason, reason
    session = alone(run_of(aliasing, rule="native"), aliasing)
    session.train(range(STEPS))
    assert np.isfinite(session.losses()).all()


# -- what a lane computes --


def one_by_one() -> None:
    """What cannot be vectorised, or not bit for bit, goes lane by lane in the same program."""
    for optimizer in (declared(Called), REGISTRY.optimizers["adafactor"]):
        assert_as_alone(seeds(2, optimizer, LINEAR), optimizer)


def native_rules() -> None:
    """Of Keras' own; one has a variable for all weights, one divides by norms."""
    for name in ("nadam", "lamb"):
        optimizer = REGISTRY.optimizers[name]
        assert_as_alone(seeds(2, optimizer, LINEAR, rule="native", rate=0.01), optimizer)


def native_dropout() -> None:
    """Every lane has a generator of its own seed."""
    assert_as_alone(seeds(3, task=NATIVE))


def other_weights_evaluated() -> None:
    """Those that the binding gives, of each lane its own."""
    mine = declared(Averaging, evaluation=f"{__name__}.averaged")
    runs = seeds(2, mine, LINEAR)
    assert_as_alone(runs, mine)
    both = together(runs, mine)
    both.train(range(4))
    before = both.evaluate("test")
    assert before == both.evaluate("test") and before[0] != before[1]


def state_bytes() -> None:
    """None without state; one lane's, not all lanes'."""
    for name, known in (("sgd", 0), ("adam", 2 * 8 * (64 * 10 + 10))):
        optimizer = REGISTRY.optimizers[name]
        assert together(seeds(2, optimizer, LINEAR), optimizer).state_bytes() == known


def bfloat16() -> None:
    """Numbers of a lane do not widen its tensors, and weights come as float32."""
    momentum = REGISTRY.optimizers["momentum"]
    both = together(seeds(2, momentum, dtype="bfloat16"), momentum)
    both.train(range(STEPS))
    kinds = {value.dtype for value in both._values if value.dtype.is_floating}
    assert kinds == {tf.bfloat16}, kinds
    assert {value.dtype for value in both.weights(1).values()} == {np.dtype(np.float32)}
    assert np.isfinite(both.losses()).all()


# -- how it is driven --


def traced_once() -> None:
    """Any number of runs, and any of their numbers, use the same program."""
    programs = set()
    for runs in (seeds(2), seeds(4, rate=0.01), seeds(1, hyper={"beta1": 0.5}, kind="cosine")):
        both = together(runs)
        both.train(range(STEPS))
        both.evaluate("test")
        assert both.losses().shape == (len(runs), STEPS) and both.losses().shape == (len(runs), 0)
        programs.add((id(both._program), both._program.traces))
        both.close()
    assert len(programs) == 1 and {traces for _, traces in programs} == {2}, programs


def little_room() -> None:
    """Masks that come in pieces give the same."""
    runs, usual = seeds(3), population._MASK_BYTES

    def trained() -> tuple[int, np.ndarray]:
        both = together(runs)
        both.train(range(STEPS))
        return len(both._losses), both.losses()

    whole = trained()
    try:
        # Three steps of the lanes, filled up to a vector of 8.
        population._MASK_BYTES = 3 * 8 * 16 * 6
        parts = trained()
    finally:
        population._MASK_BYTES = usual
    assert (whole[0], parts[0]) == (1, 3), (whole[0], parts[0])
    assert np.array_equal(whole[1], parts[1])


def one_lane_slower() -> None:
    """New rates reach their lane alone; reading weights in between moves nothing."""
    runs = seeds(3)
    plain, changed = together(runs), together(runs)
    for both in (plain, changed):
        both.train(range(0, 4))
        if both is changed:
            before = both.weights(0)
            both.set_learning_rates(1, np.full(STEPS, RATE / 2.0))
        both.train(range(4, STEPS))
    ends = [[both.weights(lane) for lane in range(3)] for both in (plain, changed)]
    same = [
        all(np.array_equal(one[name], other[name]) for name in one)
        for one, other in zip(*ends, strict=True)
    ]
    assert same == [True, False, True], same
    assert not any(np.array_equal(before[name], ends[1][0][name]) for name in before)


def memory() -> None:
    """A device that is full is a MemoryError; other errors stay."""
    both = together(seeds(1))

    def full(*_: Any) -> Any:
        return tf.zeros([1 << 44])

    def broken(*_: Any) -> Any:
        raise ValueError("broken")

    own = both._program
    both._program = SimpleNamespace(loop=full, lane_totals=full, weights=own.weights)
    for call in (lambda: both.train(range(4)), lambda: both.evaluate("test")):
        try:
            call()
        except MemoryError as error:
            assert "OOM" in str(error), error
        else:
            raise AssertionError("it had room")
    both._program.loop = broken
    try:
        both.train(range(4))
    except ValueError:
        return
    raise AssertionError("it was not broken")


CHECKS: tuple[Callable[[], None], ...] = (
    *(traced_once, keys, corrections_of_some_lanes, branches, refused, one_by_one, native_rules),
    *(native_dropout, other_weights_evaluated, state_bytes, bfloat16, little_room),
    *(one_lane_slower, memory),
)


if __name__ == "__main__":
    print_found(CHECKS)
