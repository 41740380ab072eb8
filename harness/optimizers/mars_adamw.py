"""MARS-AdamW: AdamW on gradients whose variance is reduced by the gradient before.

The approximate form: the gradient before is that of the batch before. The exact one takes the
gradient of the present batch at the weights before, which costs a second pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from . import adam
from ._rule import Array, Hypers, State, Updated
from ._shared import epsilon_hat


def _init(p: Array, hyper: Hypers) -> State:
    return {**adam.init(p, hyper), "gradient": np.zeros_like(p)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1 = hyper["beta1"]
    corrected = g + hyper["gamma"] * b1 / (1.0 - b1) * (g - state["gradient"])
    corrected = corrected / max(1.0, float(np.linalg.norm(corrected)))
    step, moments = adam.direction(corrected, {k: state[k] for k in ("m", "v")}, t, hyper)
    p = p - lr * hyper["weight_decay"] * p - lr * step
    return p, {**moments, "gradient": g}


def _torch() -> Callable[..., Any]:
    from ..adapters.torch.third_party import Mars

    return Mars


def _arguments(hyper: Hypers) -> dict[str, Any]:
    return {
        "betas": (hyper["beta1"], hyper["beta2"]),
        "gamma": hyper["gamma"],
        "eps": hyper["epsilon"],
        "weight_decay": hyper["weight_decay"],
        "optimize_1d": True,
    }


OPTIMIZER = Optimizer(
    name="mars_adamw",
    title="MARS-AdamW",
    paper=(
        "Yuan et al. (2024), MARS: Unleashing the Power of Variance Reduction for Training Large"
        " Models, arXiv:2411.10438, Algorithm 2 in its approximate form, with a gradient of 0"
        " before the first step, as in the authors' code"
    ),
    learning_rate=3e-3,
    hyper={
        "beta1": Hyper(0.95, "decay of the first moment", high=0.999999),
        "beta2": Hyper(0.99, "decay of the second moment", high=1.0),
        "gamma": Hyper(0.025, "strength of the correction by the gradient before"),
        "epsilon": Hyper(1e-8, "added to the root of the corrected second moment"),
        "weight_decay": Hyper(
            0.01, "share of every parameter taken away per step and learning rate"
        ),
    },
    bindings={
        "torch": Binding(
            _torch,
            _arguments,
            corrections=(epsilon_hat("eps"),),
            native_target="pytorch_optimizer.MARS",
            requires=("pytorch_optimizer",),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    per_tensor=True,
    note=(
        "By default pytorch_optimizer's class moves vectors by AdamW at a learning rate and a decay"
        " of their own (lr_1d, weight_decay_1d); it adds 1e-15 under the root whatever eps is, and"
        " eps to the uncorrected root."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-2, log=True),
            "beta1": Range(2e-2, 0.5, log=True, below_one=True),
            "weight_decay": Range(5e-3, 1.0, log=True),
        },
        "AdamW's of Dahl et al. (2023), Benchmarking Neural Network Training Algorithms,"
        " arXiv:2306.07179; gamma stays at the paper's value",
    ),
)
