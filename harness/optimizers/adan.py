"""Adan: adaptive Nesterov momentum."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _init(p: Array, hyper: Hypers) -> State:
    return {name: np.zeros_like(p) for name in ("m", "v", "n", "gradient")}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2, b3 = hyper["beta1"], hyper["beta2"], hyper["beta3"]
    change = g - state["gradient"] if t > 1 else np.zeros_like(g)
    m = b1 * state["m"] + (1.0 - b1) * g
    v = b2 * state["v"] + (1.0 - b2) * change
    n = b3 * state["n"] + (1.0 - b3) * (g + b2 * change) ** 2
    ahead = m / (1.0 - b1**t) + b2 * v / (1.0 - b2**t)
    p = p - lr * ahead / (np.sqrt(n / (1.0 - b3**t)) + hyper["epsilon"])
    return p, {"m": m, "v": v, "n": n, "gradient": g}


OPTIMIZER = Optimizer(
    name="adan",
    title="Adan",
    paper=(
        "Xie et al. (2022), Adan: Adaptive Nesterov Momentum Algorithm, arXiv:2208.06677, Algorithm"
        " 1 with the corrections of bias of the authors' code and no weight decay; betas are what"
        " is kept, 1 minus those of the paper"
    ),
    learning_rate=3e-3,
    hyper={
        "beta1": Hyper(0.98, "decay of the gradient's mean", high=1.0),
        "beta2": Hyper(
            0.92, "decay of the mean change of the gradient; it also weighs the change", high=1.0
        ),
        "beta3": Hyper(0.99, "decay of the second moment", high=1.0),
        "epsilon": Hyper(1e-8, "added to the root of the corrected second moment"),
    },
    bindings={
        "torch": Binding(
            "pytorch_optimizer.Adan",
            arguments(betas=("beta1", "beta2", "beta3"), eps="epsilon"),
            requires=("pytorch_optimizer",),
        ),
        "jax": Binding(
            "optax.adan",
            arguments(b1="beta1", b2="beta2", b3="beta3", eps="epsilon", eps_root=0.0),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    differs={
        "jax": (
            "optax.adan weighs the change of the gradient with 1 - b2 = 0.08 where the paper and"
            " the authors' code weigh it with b2 = 0.92"
            " (https://github.com/google-deepmind/optax/pull/1715)"
        )
    },
    note="optax.adan also adds 1e-8 inside of the root by default.",
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-1, log=True),
            "beta1": Range(5e-3, 0.2, log=True, below_one=True),
            "beta2": Range(2e-2, 0.3, log=True, below_one=True),
            "beta3": Range(1e-3, 1e-1, log=True, below_one=True),
        },
        "proposed here: Adam's rates and ranges around the paper's decays",
    ),
)
