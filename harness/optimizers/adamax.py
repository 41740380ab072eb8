"""Adamax: Adam with the infinity norm."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import ADAM_RANGES, ADAM_RANGES_SOURCE, carried_epsilon


def _init(p: Array, hyper: Hypers) -> State:
    return {"m": np.zeros_like(p), "u": np.zeros_like(p)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    m = hyper["beta1"] * state["m"] + (1.0 - hyper["beta1"]) * g
    u = np.maximum(hyper["beta2"] * state["u"], np.abs(g))
    return p - lr / (1.0 - hyper["beta1"] ** t) * m / (u + hyper["epsilon"]), {"m": m, "u": u}


_EPSILON_OUTSIDE = (
    "The library adds eps to the gradient's absolute value before it takes the maximum, so that"
    " epsilon decays with the norm. A norm that carries epsilon with it is max(beta2 * u, |g|) +"
    " epsilon."
)

OPTIMIZER = Optimizer(
    name="adamax",
    title="Adamax",
    paper=(
        "Kingma & Ba (2015), Adam: A Method for Stochastic Optimization, arXiv:1412.6980, Algorithm"
        " 2, with epsilon added to the norm (the paper divides by zero where a gradient was always"
        " zero)"
    ),
    learning_rate=4e-3,
    hyper={
        "beta1": Hyper(0.9, "decay of the first moment", high=1.0),
        "beta2": Hyper(0.999, "decay of the infinity norm", low=1e-3, high=1.0),
        "epsilon": Hyper(1e-8, "added to the infinity norm", low=1e-30),
    },
    bindings={
        "torch": Binding(
            "torch.optim.Adamax",
            arguments(betas=("beta1", "beta2"), eps="epsilon"),
            corrections=(carried_epsilon("exp_inf", "beta2", _EPSILON_OUTSIDE),),
        ),
        "tensorflow": Binding(
            "keras.optimizers.Adamax",
            arguments(beta_1="beta1", beta_2="beta2", epsilon="epsilon"),
        ),
        "jax": Binding(
            "optax.adamax",
            arguments(b1="beta1", b2="beta2", eps="epsilon"),
            corrections=(carried_epsilon("nu", "beta2", _EPSILON_OUTSIDE),),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    note=(
        "Keras adds epsilon (1e-7 by default) to the norm, torch and Optax (1e-8) to the gradient's"
        " absolute value."
    ),
    space=SearchSpace(ADAM_RANGES, ADAM_RANGES_SOURCE),
)
