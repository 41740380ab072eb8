"""RMSprop divided by the root of the gradient's variance, with epsilon inside the root."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import TORCH_EPSILON_INSIDE_ROOT
from .rmsprop import HYPER


def _init(p: Array, hyper: Hypers) -> State:
    return {"mean_square": np.zeros_like(p), "mean": np.zeros_like(p)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    rho = hyper["rho"]
    mean_square = rho * state["mean_square"] + (1.0 - rho) * g * g
    mean = rho * state["mean"] + (1.0 - rho) * g
    step = g / np.sqrt(mean_square - mean * mean + hyper["epsilon"])
    return p - lr * step, {"mean_square": mean_square, "mean": mean}


OPTIMIZER = Optimizer(
    name="rmsprop_centered",
    title="RMSprop, centred",
    paper=(
        "Graves (2013), Generating Sequences With Recurrent Neural Networks, arXiv:1308.0850, eqs."
        " 38-41, without its momentum"
    ),
    learning_rate=2e-3,
    hyper=HYPER,
    bindings={
        "torch": Binding(
            "torch.optim.RMSprop",
            arguments(alpha="rho", eps=0.0, centered=True),
            {"centered": True},
            (TORCH_EPSILON_INSIDE_ROOT,),
        ),
        "tensorflow": Binding(
            "keras.optimizers.RMSprop",
            arguments(rho="rho", epsilon="epsilon", centered=True),
            {"centered": True},
        ),
        "jax": Binding(
            "optax.rmsprop",
            arguments(decay="rho", eps="epsilon", centered=True),
            {"centered": True},
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    note=(
        "Defaults differ as those of RMSprop do. Where gradients stand still, rounding can make the"
        " variance negative and the step NaN, in torch's own form after 1209 equal gradients"
        " (float32, alpha 0.99); epsilon inside the root prevents that as long as it is larger than"
        " the rounding of the squared gradient."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-5, 1e-1, log=True),
            "rho": Range(1e-3, 0.5, log=True, below_one=True),
        },
        "proposed here: as for rmsprop",
    ),
)
