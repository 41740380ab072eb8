"""ADOPT: Adam that normalises a gradient by the second moment of those before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import ADAM_RANGES, ADAM_RANGES_SOURCE


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    if t == 1:
        return p, {"m": state["m"], "v": g * g}
    limit = (t - 1) ** 0.25
    normalised = np.clip(g / np.maximum(np.sqrt(state["v"]), hyper["epsilon"]), -limit, limit)
    m = hyper["beta1"] * state["m"] + (1.0 - hyper["beta1"]) * normalised
    v = hyper["beta2"] * state["v"] + (1.0 - hyper["beta2"]) * g * g
    return p - lr * m, {"m": m, "v": v}


def _limit(step: int) -> float:
    """Of the normalised gradient; pytorch_optimizer counts the step that only measures."""
    return float(step - 1) ** 0.25


def _torch(hyper: Hypers) -> dict[str, Any]:
    betas = hyper["beta1"], hyper["beta2"]
    return {"betas": betas, "eps": hyper["epsilon"], "clip_lambda": _limit}


OPTIMIZER = Optimizer(
    name="adopt",
    title="ADOPT",
    paper=(
        "Taniguchi et al. (2024), ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal"
        " Rate, arXiv:2411.02853, Algorithm 2 with the authors' clipping at t^(1/4)"
    ),
    learning_rate=3e-3,
    hyper={
        "beta1": Hyper(0.9, "decay of the first moment", high=1.0),
        "beta2": Hyper(0.9999, "decay of the second moment", high=1.0),
        "epsilon": Hyper(1e-6, "least root of the second moment", low=1e-30),
    },
    bindings={
        "torch": Binding("pytorch_optimizer.ADOPT", _torch, requires=("pytorch_optimizer",)),
        "jax": Binding(
            "optax.contrib.adopt",
            arguments(b1="beta1", b2="beta2", eps="epsilon"),
        ),
    },
    rule=ReferenceRule(
        init=lambda p, hyper: {"m": np.zeros_like(p), "v": np.zeros_like(p)}, update=_update
    ),
    note="The first step only measures the gradient: no parameter moves.",
    space=SearchSpace(ADAM_RANGES, ADAM_RANGES_SOURCE),
)
