"""Lion: the sign of an interpolated momentum, with decoupled weight decay."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2 = hyper["beta1"], hyper["beta2"]
    step = np.sign(b1 * state["m"] + (1.0 - b1) * g)
    return p - lr * hyper["weight_decay"] * p - lr * step, {"m": b2 * state["m"] + (1.0 - b2) * g}


OPTIMIZER = Optimizer(
    name="lion",
    title="Lion",
    paper=(
        "Chen et al. (2023), Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675,"
        " Algorithm 2"
    ),
    learning_rate=3e-4,
    hyper={
        "beta1": Hyper(
            0.9, "weight of the momentum against the gradient in the step", low=1e-3, high=1.0
        ),
        "beta2": Hyper(0.99, "decay of the momentum", high=1.0),
        "weight_decay": Hyper(
            1e-3, "share of every parameter taken away per step and learning rate"
        ),
    },
    bindings={
        "torch": Binding(
            "lion_pytorch.Lion",
            arguments(betas=("beta1", "beta2"), weight_decay="weight_decay"),
            requires=("lion-pytorch",),
        ),
        "tensorflow": Binding(
            "keras.optimizers.Lion",
            arguments(beta_1="beta1", beta_2="beta2", weight_decay="weight_decay"),
        ),
        "jax": Binding(
            "optax.lion",
            arguments(b1="beta1", b2="beta2", weight_decay="weight_decay"),
        ),
    },
    rule=ReferenceRule(init=lambda p, hyper: {"m": np.zeros_like(p)}, update=_update),
    note=(
        "torch ships none: its class is that of the package lion-pytorch. All parameters decay,"
        " biases too. Optax decays with 1e-3 by default, the others not at all."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-5, 1e-2, log=True),
            "beta1": Range(2e-2, 0.5, log=True, below_one=True),
            "beta2": Range(1e-3, 1e-1, log=True, below_one=True),
        },
        "proposed here: a tenth of Adam's rates; Chen et al. (2023) advise rates 3 to 10 times"
        " smaller than AdamW's",
    ),
)
