"""LARS: heavy-ball momentum whose learning rate is scaled tensor by tensor."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import TORCH_MOMENTUM_KEEPS_OLD_RATES


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    weight, length = np.linalg.norm(p), np.linalg.norm(g)
    ratio = hyper["trust"] * weight / length if weight > 0.0 and length > 0.0 else 1.0
    buffer = hyper["momentum"] * state["buffer"] + lr * ratio * g
    return p - buffer, {"buffer": buffer}


OPTIMIZER = Optimizer(
    name="lars",
    title="LARS",
    paper=(
        "You, Gitman & Ginsburg (2017), Large Batch Training of Convolutional Networks,"
        " arXiv:1708.03888, Algorithm 1 without weight decay; as in Optax the ratio is 1, not"
        " `trust`, where a norm is 0"
    ),
    learning_rate=1.0,
    hyper={
        "momentum": Hyper(0.9, "share of the buffer kept each step", high=1.0),
        "trust": Hyper(1e-3, "norm of an update by norm of its parameter", low=1e-30),
    },
    bindings={
        "torch": Binding(
            "pytorch_optimizer.LARS",
            arguments(momentum="momentum", trust_coefficient="trust"),
            corrections=(TORCH_MOMENTUM_KEEPS_OLD_RATES,),
            requires=("pytorch_optimizer",),
        ),
        "jax": Binding("optax.lars", arguments(momentum="momentum", trust_coefficient="trust")),
    },
    rule=ReferenceRule(init=lambda p, hyper: {"buffer": np.zeros_like(p)}, update=_update),
    per_tensor=True,
    differs={
        "torch": (
            "pytorch_optimizer.LARS has no trust ratio for vectors: biases move with the whole"
            " learning rate at every step"
        )
    },
    note=(
        "A bias that starts at zero takes its first step with the whole learning rate, a thousand"
        " times what `trust` would allow it."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-2, 1e2, log=True),
            "momentum": Range(1e-2, 1.0, log=True, below_one=True),
        },
        "proposed here: two decades around the default; the rate multiplies the trust coefficient,"
        " which stays fixed",
    ),
)
