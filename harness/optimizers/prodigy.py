"""Prodigy: Adam that estimates its own step size from the distance travelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _init(p: Array, hyper: Hypers) -> State:
    zeros = {name: np.zeros_like(p) for name in ("m", "v", "sum")}
    return {
        **zeros,
        "start": p.copy(),
        "distance": np.array(hyper["distance"]),
        "numerator": np.array(0.0),
    }


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2, first, d = hyper["beta1"], hyper["beta2"], hyper["distance"], float(state["distance"])
    b3 = b2**0.5
    rate = lr * d * (1.0 - b2**t) ** 0.5 / (1.0 - b1**t)
    m = b1 * state["m"] + (1.0 - b1) * d * g
    v = b2 * state["v"] + (1.0 - b2) * (d * g) ** 2
    total = b3 * state["sum"] + rate * d * g / first
    numerator = b3 * state["numerator"] + d / first * rate * (g @ (state["start"] - p))
    d = max(d, float(numerator / np.abs(total).sum()))
    p = p - rate * m / (np.sqrt(v) + d * hyper["epsilon"])
    return p, {
        **state,
        "m": m,
        "v": v,
        "sum": total,
        "distance": np.array(d),
        "numerator": np.asarray(numerator),
    }


def _torch() -> Callable[..., Any]:
    from ..adapters.torch.early_state import prodigy

    return prodigy


OPTIMIZER = Optimizer(
    name="prodigy",
    title="Prodigy",
    paper=(
        "Mishchenko & Defazio (2023), Prodigy: An Expeditiously Adaptive Parameter-Free Learner,"
        " arXiv:2306.06101, Algorithm 4 with Adam's correction of bias and beta3 = sqrt(beta2), no"
        " weight decay"
    ),
    learning_rate=1.0,
    hyper={
        "beta1": Hyper(0.9, "decay of the first moment", high=1.0),
        "beta2": Hyper(0.999, "decay of the second moment", high=1.0),
        "epsilon": Hyper(1e-8, "added to the root of the second moment, times the distance"),
        "distance": Hyper(1e-6, "first estimate of the distance to the solution", low=1e-30),
    },
    bindings={
        "torch": Binding(
            _torch,
            arguments(
                betas=("beta1", "beta2"), eps="epsilon", d0="distance", use_bias_correction=True
            ),
            native_target="prodigyopt.Prodigy",
            requires=("prodigyopt",),
        ),
        "jax": Binding(
            "optax.contrib.prodigy",
            arguments(betas=("beta1", "beta2"), eps="epsilon", estim_lr0="distance"),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update, joint=True),
    note=(
        "One distance is estimated for all tensors together. The learning rate is a factor, 1 by"
        " design. The authors' class (prodigyopt) corrects bias only if it is asked to; Optax does"
        " always."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(0.1, 10.0, log=True),
            "beta1": Range(1e-2, 1.0, log=True, below_one=True),
        },
        "proposed here: the paper leaves the rate at 1, which is the middle",
    ),
)
