"""ASGD: stochastic gradient descent with a decaying rate, whose iterates may be averaged."""

from __future__ import annotations

import numpy as np

from ..optimizer import (
    Binding,
    Hyper,
    Optimizer,
    Range,
    ReferenceRule,
    SearchSpace,
    StateCorrection,
)
from ._rule import Array, Hypers, State, Updated, arguments


def _rate(lr: float, t: int, hyper: Hypers) -> float:
    """Bottou's rate of step t, counted from 1."""
    return float(lr / (1.0 + hyper["decay"] * lr * (t - 1)) ** hyper["power"])


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    rate = _rate(lr, t, hyper)
    return p * (1.0 - hyper["decay"] * rate) - rate * g, state


def _rates(hyper: Hypers, lr: Array) -> Array:
    return np.array([_rate(rate, t, hyper) for t, rate in enumerate(lr, start=1)])


OPTIMIZER = Optimizer(
    name="asgd",
    title="ASGD",
    paper=(
        "Polyak & Juditsky (1992), Acceleration of Stochastic Approximation by Averaging, SIAM J."
        " Control Optim. 30(4); rates of Bottou (2012), Stochastic Gradient Descent Tricks,"
        " section 5.2"
    ),
    learning_rate=0.1,
    hyper={
        "decay": Hyper(1e-4, "lambda: weight decay, which also sets the decay of the rate"),
        "power": Hyper(0.75, "exponent of the decay of the rate", high=1.0),
    },
    bindings={
        "torch": Binding(
            "torch.optim.ASGD",
            arguments(lambd="decay", alpha="power"),
            corrections=(
                StateCorrection(
                    name="rate_of_this_step",
                    why=(
                        "torch works out its rate at the end of a step, from the learning rate of"
                        " that step: under a schedule it runs one step late. The buffer is set to"
                        " the rate of the step to come."
                    ),
                    state="eta",
                    scale=lambda hyper, lr: np.zeros_like(lr),
                    shift=_rates,
                ),
            ),
        ),
    },
    rule=ReferenceRule(init=lambda p, hyper: {}, update=_update),
    note=(
        "What is trained and evaluated are the iterates. torch averages from step 1,000,000 on by"
        " default, and keeps the averages in its state."
    ),
    space=SearchSpace(
        {"learning_rate": Range(1e-3, 10.0, log=True)},
        "proposed here: as for sgd",
    ),
)
