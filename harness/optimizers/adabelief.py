"""AdaBelief: Adam with the second moment of the gradient's distance from its mean."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import ADAM_RANGES, ADAM_RANGES_SOURCE


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2, epsilon = hyper["beta1"], hyper["beta2"], hyper["epsilon"]
    m = b1 * state["m"] + (1.0 - b1) * g
    s = b2 * state["s"] + (1.0 - b2) * (g - m) ** 2 + epsilon
    return p - lr * (m / (1.0 - b1**t)) / (np.sqrt(s / (1.0 - b2**t)) + epsilon), {"m": m, "s": s}


OPTIMIZER = Optimizer(
    name="adabelief",
    title="AdaBelief",
    paper=(
        "Zhuang et al. (2020), AdaBelief Optimizer, arXiv:2010.07468, Algorithm 2 without weight"
        " decay"
    ),
    learning_rate=3e-3,
    hyper={
        "beta1": Hyper(0.9, "decay of the first moment", high=1.0),
        "beta2": Hyper(0.999, "decay of the second moment around the first", high=1.0),
        "epsilon": Hyper(
            1e-16, "added to the second moment every step, and to its corrected root", low=1e-30
        ),
    },
    bindings={
        "torch": Binding(
            "pytorch_optimizer.AdaBelief",
            arguments(betas=("beta1", "beta2"), eps="epsilon"),
            requires=("pytorch_optimizer",),
        ),
        "jax": Binding(
            "optax.adabelief",
            arguments(b1="beta1", b2="beta2", eps="epsilon", eps_root="epsilon"),
        ),
    },
    rule=ReferenceRule(
        init=lambda p, hyper: {"m": np.zeros_like(p), "s": np.zeros_like(p)}, update=_update
    ),
    note="The paper's epsilon is 1e-8, Optax's and the later code of the authors 1e-16.",
    space=SearchSpace(ADAM_RANGES, ADAM_RANGES_SOURCE),
)
