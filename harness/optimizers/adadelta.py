"""Adadelta."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _init(p: Array, hyper: Hypers) -> State:
    return {"mean_square": np.zeros_like(p), "mean_square_step": np.zeros_like(p)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    rho, epsilon = hyper["rho"], hyper["epsilon"]
    mean_square = rho * state["mean_square"] + (1.0 - rho) * g * g
    step = np.sqrt(state["mean_square_step"] + epsilon) / np.sqrt(mean_square + epsilon) * g
    mean_square_step = rho * state["mean_square_step"] + (1.0 - rho) * step * step
    return p - lr * step, {"mean_square": mean_square, "mean_square_step": mean_square_step}


OPTIMIZER = Optimizer(
    name="adadelta",
    title="Adadelta",
    paper=(
        "Zeiler (2012), ADADELTA: An Adaptive Learning Rate Method, arXiv:1212.5701, Algorithm 1;"
        " the learning rate, which the paper does not have, multiplies the step"
    ),
    learning_rate=1.0,
    hyper={
        "rho": Hyper(0.9, "decay of both mean squares", high=1.0),
        "epsilon": Hyper(1e-6, "added to both mean squares, inside the roots", low=1e-30),
    },
    bindings={
        "torch": Binding("torch.optim.Adadelta", arguments(rho="rho", eps="epsilon")),
        "tensorflow": Binding("keras.optimizers.Adadelta", arguments(rho="rho", epsilon="epsilon")),
        "jax": Binding("optax.adadelta", arguments(rho="rho", eps="epsilon")),
    },
    rule=ReferenceRule(init=_init, update=_update),
    note=(
        "One rule in all three. Defaults differ: Keras rho 0.95, epsilon 1e-7 and learning rate"
        " 0.001; torch and Optax 0.9 and 1e-6, torch with learning rate 1. optax.adadelta without a"
        " learning rate climbs the loss."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-2, 1e2, log=True),
            "rho": Range(1e-3, 0.5, log=True, below_one=True),
            "epsilon": Range(1e-8, 1e-2, log=True),
        },
        "proposed here; epsilon sets the size of the first steps and is searched, as Zeiler (2012)"
        " varies it",
    ),
)
