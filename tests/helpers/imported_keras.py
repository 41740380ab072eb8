"""Keras' optimizers by import path in real training: prints JSON, check -> "" or the failure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from gradrace.adapter import LanesImpossible
from gradrace.adapters.tensorflow.imported import problem_of
from hand_stepped import file_of
from lane_runs import print_found
from sessions_by_path import STEPS, Trainee, apart

MINE = file_of(
    textwrap.dedent("""
    import keras

    class Plain(keras.optimizers.Optimizer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, learning_rate * gradient)

    class Eager(Plain):
        def update_step(self, gradient, variable, learning_rate):
            if float(gradient[0].numpy().sum()) > 0:
                self.assign_sub(variable, learning_rate * gradient)

    def factory(max_lr, momentum=0.9):
        return keras.optimizers.SGD(max_lr, momentum=momentum)
    """)
)


def trainee(name: str, hyper: dict[str, Any] | None = None, **fields: Any) -> Trainee:
    return Trainee(f"keras:keras.optimizers.{name}", hyper, **fields)


def mine(name: str) -> Trainee:
    return Trainee(f"keras:{MINE}:{name}")


def forms() -> None:
    """A wrapper, scaled losses, a class without a signature and a factory train as SGD does."""
    plain = trainee("SGD").weights()
    assert apart(trainee("LossScaleOptimizer").weights(), plain) < 1e-12
    assert apart(trainee("SGD", {"loss_scale_factor": 8.0}).weights(), plain) == 0.0
    assert apart(mine("Plain").weights(), plain) < 1e-12
    with_momentum = trainee("SGD", {"momentum": 0.9}).weights()
    assert apart(mine("factory").weights(), with_momentum) < 1e-12
    assert apart(with_momentum, plain) > 1e-3


def inner_optimizers() -> None:
    hyper = {"inner_optimizer": "keras.optimizers.Adam"}
    found = trainee("LossScaleOptimizer", hyper).weights()
    assert apart(found, trainee("Adam").weights()) < 1e-12


def accumulated_gradients() -> None:
    """Half as many updates, each at the rate of the gradient that completed it."""
    session = trainee("SGD", {"gradient_accumulation_steps": 2}).opened()
    start = session.weights()
    session.train(range(1))
    assert apart(session.weights(), start) == 0.0
    session.train(range(1, STEPS))
    assert apart(session.weights(), start) > 0.0
    session.close()


def fails_in_a_graph() -> None:
    """The class's own words, as of any run that fails."""
    session = mine("Eager").opened()
    try:
        session.train(range(STEPS))
    except Exception as error:
        assert "numpy" in str(error), error
        return
    raise AssertionError("it was traced")


def lanes() -> None:
    found, alone = trainee("SGD", {"momentum": 0.9, "nesterov": True}).lanes()
    assert all(apart(*pair) < 1e-12 for pair in zip(found, alone, strict=True))
    try:
        trainee("LossScaleOptimizer").lanes()
    except LanesImpossible:
        return
    raise AssertionError("a wrapper's scale is one for all lanes")


def problems() -> None:
    assert problem_of(keras.optimizers.Lion, {}) == ""
    assert problem_of(keras.optimizers.LossScaleOptimizer, {}) == ""
    assert problem_of(lambda max_lr: keras.optimizers.SGD(max_lr), {}) == ""
    assert problem_of(keras.optimizers.Optimizer, {}).startswith("abstract")
    assert problem_of(keras.layers.Dense, {}).startswith("no optimizer")
    assert problem_of(np.array, {}).startswith("no optimizer")


CHECKS: tuple[Callable[[], None], ...] = (
    *(forms, inner_optimizers, accumulated_gradients, fails_in_a_graph, lanes, problems),
)


if __name__ == "__main__":
    print_found(CHECKS)
