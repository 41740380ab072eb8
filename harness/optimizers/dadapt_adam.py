"""D-Adapted Adam: Adam that estimates its own step size from below."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _init(p: Array, hyper: Hypers) -> State:
    zeros = {name: np.zeros_like(p) for name in ("m", "v", "sum")}
    return {**zeros, "distance": np.array(hyper["distance"]), "numerator": np.array(0.0)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2, d = hyper["beta1"], hyper["beta2"], float(state["distance"])
    root, epsilon = b2**0.5, hyper["epsilon"]
    rate = d * lr * (1.0 - b2**t) ** 0.5 / (1.0 - b1**t)
    ahead = rate * (g @ (state["sum"] / (np.sqrt(state["v"]) + epsilon)))
    m = b1 * state["m"] + (1.0 - b1) * rate * g
    v = b2 * state["v"] + (1.0 - b2) * g * g
    total = root * state["sum"] + (1.0 - root) * rate * g
    numerator = root * float(state["numerator"]) + (1.0 - root) * ahead
    length = float(np.abs(total).sum())
    if length > 0.0:
        d = max(d, float(numerator / ((1.0 - root) * length)))
    state = {"m": m, "v": v, "sum": total, "distance": np.array(d)}
    return p - m / (np.sqrt(v) + epsilon), {**state, "numerator": np.asarray(numerator)}


OPTIMIZER = Optimizer(
    name="dadapt_adam",
    title="D-Adapted Adam",
    paper=(
        "Defazio & Mishchenko (2023), Learning-Rate-Free Learning by D-Adaptation,"
        " arXiv:2301.07733, Algorithm 5 with Adam's correction of bias in the rate, no weight decay"
    ),
    learning_rate=1.0,
    hyper={
        "beta1": Hyper(0.9, "decay of the first moment", high=1.0),
        "beta2": Hyper(0.999, "decay of the second moment", high=1.0),
        "epsilon": Hyper(1e-8, "added to the root of the second moment"),
        "distance": Hyper(1e-6, "first estimate of the distance to the solution", low=1e-30),
    },
    bindings={
        "torch": Binding(
            "dadaptation.DAdaptAdam",
            arguments(
                betas=("beta1", "beta2"), eps="epsilon", d0="distance", use_bias_correction=True
            ),
            requires=("dadaptation",),
        ),
        "jax": Binding(
            "optax.contrib.dadapt_adamw",
            arguments(betas=("beta1", "beta2"), eps="epsilon", estim_lr0="distance"),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update, joint=True),
    note=(
        "One distance is estimated for all tensors together. The learning rate is a factor, 1 by"
        " design. The authors' class corrects bias only if it is asked to; Optax does always."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(0.1, 10.0, log=True),
            "beta1": Range(1e-2, 1.0, log=True, below_one=True),
        },
        "proposed here: the paper leaves the rate at 1, which is the middle",
    ),
)
