"""RMSprop whose steps are added up in a momentum buffer, with epsilon inside the root."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import TORCH_EPSILON_INSIDE_ROOT, TORCH_MOMENTUM_KEEPS_OLD_RATES
from .rmsprop import HYPER


def _init(p: Array, hyper: Hypers) -> State:
    return {"mean_square": np.zeros_like(p), "buffer": np.zeros_like(p)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    mean_square = hyper["rho"] * state["mean_square"] + (1.0 - hyper["rho"]) * g * g
    buffer = hyper["momentum"] * state["buffer"] + lr * g / np.sqrt(mean_square + hyper["epsilon"])
    return p - buffer, {"mean_square": mean_square, "buffer": buffer}


_NATIVE = {"momentum": 0.9}

OPTIMIZER = Optimizer(
    name="rmsprop_momentum",
    title="RMSprop with momentum",
    paper=(
        "Graves (2013), Generating Sequences With Recurrent Neural Networks, arXiv:1308.0850, eqs."
        " 38-41, without its centring: each step enters the buffer with the learning rate of its"
        " time"
    ),
    learning_rate=5e-4,
    hyper={
        **HYPER,
        "momentum": Hyper(0.9, "share of the buffer kept each step", low=1e-3, high=1.0),
    },
    bindings={
        "torch": Binding(
            "torch.optim.RMSprop",
            arguments(alpha="rho", eps=0.0, momentum="momentum"),
            _NATIVE,
            (TORCH_EPSILON_INSIDE_ROOT, TORCH_MOMENTUM_KEEPS_OLD_RATES),
        ),
        "tensorflow": Binding(
            "keras.optimizers.RMSprop",
            arguments(rho="rho", epsilon="epsilon", momentum="momentum"),
            _NATIVE,
        ),
        "jax": Binding(
            "optax.rmsprop",
            arguments(decay="rho", eps="epsilon", momentum="momentum"),
            _NATIVE,
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    note=(
        "torch keeps the learning rate outside of the buffer: under a schedule its own rule is"
        " another one. Optax sides with Keras here, and with torch in SGD. Other defaults differ as"
        " those of RMSprop do."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-5, 1e-1, log=True),
            "rho": Range(1e-3, 0.5, log=True, below_one=True),
            "momentum": Range(1e-2, 0.9, log=True, below_one=True),
        },
        "proposed here: as for rmsprop, with a range around the default momentum",
    ),
)
