"""Schedule-Free SGD: gradients are taken between the fast iterate and the average, the average is
evaluated.

The weights of the average are those of Optax and of the authors' package: the square of the
greatest learning rate so far. In the paper's theorems every iterate weighs the same, as it does
here at a constant rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _init(p: Array, hyper: Hypers) -> State:
    return {"z": p.copy(), "weight": np.array(0.0), "rate": np.array(0.0)}


def _average(y: Array, state: State, hyper: Hypers) -> Array:
    """x of y = (1 - beta) z + beta x."""
    return (y - (1.0 - hyper["beta"]) * state["z"]) / hyper["beta"]


def _update(y: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    beta, x = hyper["beta"], _average(y, state, hyper)
    z, rate = state["z"] - lr * g, max(lr, float(state["rate"]))
    weight = float(state["weight"]) + rate**2
    share = rate**2 / weight if weight > 0.0 else 0.0
    x = (1.0 - share) * x + share * z
    state = {"z": z, "weight": np.array(weight), "rate": np.array(rate)}
    return (1.0 - beta) * z + beta * x, state


def _torch() -> Callable[..., Any]:
    from ..adapters.torch.early_state import schedule_free_sgd

    return schedule_free_sgd


OPTIMIZER = Optimizer(
    name="schedule_free_sgd",
    title="Schedule-Free SGD",
    paper=(
        "Defazio et al. (2024), The Road Less Scheduled, arXiv:2405.15682, equations 3 to 5; as in"
        " the authors' code an iterate weighs the square of the greatest learning rate so far"
    ),
    learning_rate=0.3,
    hyper={
        "beta": Hyper(
            0.9,
            "place between the fast iterate (0) and the average (1) where gradients are taken",
            1e-6,
            1.0,
        ),
    },
    bindings={
        "torch": Binding(
            _torch,
            arguments(momentum="beta"),
            native_target="schedulefree.SGDScheduleFree",
            requires=("schedulefree",),
        ),
        "jax": Binding(
            "optax.contrib.schedule_free_sgd",
            arguments(b1="beta"),
            evaluation="optax.contrib.schedule_free_eval_params",
        ),
    },
    rule=ReferenceRule(init=_init, update=_update, evaluation=_average),
    note="Evaluations are of the average x; the weights of a session are y.",
    space=SearchSpace(
        {
            "learning_rate": Range(1e-2, 10.0, log=True),
            "beta": Range(2e-2, 0.5, log=True, below_one=True),
        },
        "proposed here: around SGD's rates, which the paper advises to raise, and the place as"
        " AlgoPerf searches AdamW's first decay (Dahl et al. 2023, arXiv:2306.07179)",
    ),
)
