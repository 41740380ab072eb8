"""AMSGrad: Adam that divides by the largest second moment so far."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Optimizer, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import (
    ADAM_RANGES,
    ADAM_RANGES_SOURCE,
    KERAS_EPSILON_HAT,
    UNCORRECTED_SECOND_MOMENT,
    epsilon_hat,
)
from .adam import HYPER


def _init(p: Array, hyper: Hypers) -> State:
    return {"m": np.zeros_like(p), "v": np.zeros_like(p), "v_max": np.zeros_like(p)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2 = hyper["beta1"], hyper["beta2"]
    m = b1 * state["m"] + (1.0 - b1) * g
    v = b2 * state["v"] + (1.0 - b2) * g * g
    v_max = np.maximum(state["v_max"], v)
    step = (m / (1.0 - b1**t)) / (np.sqrt(v_max / (1.0 - b2**t)) + hyper["epsilon"])
    return p - lr * step, {"m": m, "v": v, "v_max": v_max}


OPTIMIZER = Optimizer(
    name="amsgrad",
    title="AMSGrad",
    paper=(
        "Reddi, Kale & Kumar (2018), On the Convergence of Adam and Beyond, ICLR, Algorithm 2, with"
        " Adam's bias corrections and epsilon, which the paper leaves out"
    ),
    learning_rate=3e-3,
    hyper=HYPER,
    bindings={
        "torch": Binding(
            "torch.optim.Adam",
            arguments(betas=("beta1", "beta2"), eps="epsilon", amsgrad=True),
            {"amsgrad": True},
        ),
        "tensorflow": Binding(
            "keras.optimizers.Adam",
            arguments(beta_1="beta1", beta_2="beta2", epsilon="epsilon", amsgrad=True),
            {"amsgrad": True},
            (KERAS_EPSILON_HAT,),
        ),
        "jax": Binding(
            "optax.amsgrad",
            arguments(b1="beta1", b2="beta2", eps="epsilon", bias_correction_nu=False),
            corrections=(UNCORRECTED_SECOND_MOMENT, epsilon_hat("eps")),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    note=(
        "The maximum is taken over second moments without bias correction, as in the paper. By"
        " default Optax takes it over corrected ones, which keeps the large first estimates for"
        " ever: another algorithm. Keras's epsilon is 1e-7."
    ),
    space=SearchSpace(ADAM_RANGES, ADAM_RANGES_SOURCE),
)
