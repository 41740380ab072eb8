"""Schedule-Free AdamW: gradients are taken between the fast iterate and the average, the average is
evaluated.

The weights of the average are those of Optax and of the authors' package: the square of the
greatest learning rate so far. The paper's Algorithm 1 weighs an iterate by gamma_t^2, where gamma_t
= lr sqrt(1 - beta2^t): early iterates weigh less there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, arguments


def _init(p: Array, hyper: Hypers) -> State:
    return {"z": p.copy(), "v": np.zeros_like(p), "weight": np.array(0.0), "rate": np.array(0.0)}


def _average(y: Array, state: State, hyper: Hypers) -> Array:
    """x of y = (1 - beta1) z + beta1 x."""
    return (y - (1.0 - hyper["beta1"]) * state["z"]) / hyper["beta1"]


def _update(
    y: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers
) -> tuple[Array, State]:
    b1, b2, x = hyper["beta1"], hyper["beta2"], _average(y, state, hyper)
    v = b2 * state["v"] + (1.0 - b2) * g * g
    z = state["z"] - lr * g / (np.sqrt(v / (1.0 - b2**t)) + hyper["epsilon"])
    rate = max(lr, float(state["rate"]))
    weight = state["weight"] + rate**2
    share = rate**2 / weight if weight > 0.0 else 0.0
    x = (1.0 - share) * x + share * z
    return (1.0 - b1) * z + b1 * x, {
        "z": z,
        "v": v,
        "weight": np.asarray(weight),
        "rate": np.array(rate),
    }


def _torch() -> Callable[..., Any]:
    from ..adapters.torch.early_state import schedule_free_adamw

    return schedule_free_adamw


OPTIMIZER = Optimizer(
    name="schedule_free_adamw",
    title="Schedule-Free AdamW",
    paper=(
        "Defazio et al. (2024), The Road Less Scheduled, arXiv:2405.15682, Algorithm 1 without"
        " weight decay; as in Optax an iterate weighs the square of the greatest learning rate so"
        " far, in the paper gamma_t^2 with gamma_t = lr sqrt(1 - beta2^t)"
    ),
    learning_rate=1e-2,
    hyper={
        "beta1": Hyper(
            0.9,
            "place between the fast iterate (0) and the average (1) where gradients are taken",
            1e-6,
            1.0,
        ),
        "beta2": Hyper(0.999, "decay of the second moment", high=1.0),
        "epsilon": Hyper(1e-8, "added to the root of the corrected second moment"),
    },
    bindings={
        "torch": Binding(
            _torch,
            arguments(betas=("beta1", "beta2"), eps="epsilon"),
            native_target="schedulefree.AdamWScheduleFree",
            requires=("schedulefree",),
        ),
        "tensorflow": Binding(
            "keras.optimizers.ScheduleFreeAdamW",
            arguments(beta_1="beta1", beta_2="beta2", epsilon="epsilon"),
        ),
        "jax": Binding(
            "optax.contrib.schedule_free_adamw",
            arguments(b1="beta1", b2="beta2", eps="epsilon"),
            evaluation="optax.contrib.schedule_free_eval_params",
        ),
    },
    rule=ReferenceRule(init=_init, update=_update, evaluation=_average),
    differs={
        "tensorflow": (
            "on TensorFlow the class takes the iterate after its update for the one before it, "
            "so that its average is another"
        )
    },
    note=(
        "Evaluations are of the average x; the weights of a session are y, at which gradients are"
        " taken. Keras also gives every iterate the same weight, and has no function for x: there y"
        " is evaluated."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-1, log=True),
            "beta1": Range(2e-2, 0.5, log=True, below_one=True),
        },
        "proposed here: Adam's rates, and the first decay as AlgoPerf searches AdamW's (Dahl et al."
        " 2023, arXiv:2306.07179)",
    ),
)
