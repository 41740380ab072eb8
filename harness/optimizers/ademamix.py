"""AdEMAMix: Adam with a second, much slower mean of gradients.

Not the paper's update to the letter: its Algorithm 1 warms alpha and beta3 up by schedules of their
own, here they are constant."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2, b3 = hyper["beta1"], hyper["beta2"], hyper["beta3"]
    fast = b1 * state["fast"] + (1.0 - b1) * g
    slow = b3 * state["slow"] + (1.0 - b3) * g
    v = b2 * state["v"] + (1.0 - b2) * g * g
    mixed = fast / (1.0 - b1**t) + hyper["alpha"] * slow
    p = p - lr * mixed / (np.sqrt(v / (1.0 - b2**t)) + hyper["epsilon"])
    return p, {"fast": fast, "slow": slow, "v": v}


OPTIMIZER = Optimizer(
    name="ademamix",
    title="AdEMAMix",
    paper=(
        "Pagliardini, Ablin & Grangier (2024), The AdEMAMix Optimizer: Better, Faster, Older,"
        " arXiv:2409.03137, Algorithm 1 with constant alpha and beta3 instead of the paper's"
        " warm-ups of both, no weight decay"
    ),
    learning_rate=3e-3,
    hyper={
        "beta1": Hyper(0.9, "decay of the fast mean", high=1.0),
        "beta2": Hyper(0.999, "decay of the second moment", high=1.0),
        "beta3": Hyper(0.9999, "decay of the slow mean", high=1.0),
        "alpha": Hyper(6.0, "weight of the slow mean"),
        "epsilon": Hyper(1e-8, "added to the root of the corrected second moment"),
    },
    bindings={
        "torch": Binding(
            "pytorch_optimizer.AdEMAMix",
            arguments(betas=("beta1", "beta2", "beta3"), alpha="alpha", eps="epsilon"),
            requires=("pytorch_optimizer",),
        ),
        "jax": Binding(
            "optax.contrib.ademamix",
            arguments(b1="beta1", b2="beta2", b3="beta3", alpha="alpha", eps="epsilon"),
        ),
    },
    rule=ReferenceRule(
        init=lambda p, hyper: {name: np.zeros_like(p) for name in ("fast", "slow", "v")},
        update=_update,
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-1, log=True),
            "beta1": Range(1e-2, 1.0, log=True, below_one=True),
            "beta3": Range(1e-5, 1e-2, log=True, below_one=True),
            "alpha": Range(1.0, 20.0, log=True),
        },
        "proposed here: Adam's rates and first decay, and ranges around the paper's slow decay and"
        " weight",
    ),
)
