"""RMSprop, with epsilon inside the root."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import TORCH_EPSILON_INSIDE_ROOT

HYPER = {
    "rho": Hyper(0.9, "decay of the mean square", low=1e-3, high=1.0),
    "epsilon": Hyper(1e-8, "added to the mean square, inside the root", low=1e-30),
}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    mean_square = hyper["rho"] * state["mean_square"] + (1.0 - hyper["rho"]) * g * g
    return p - lr * g / np.sqrt(mean_square + hyper["epsilon"]), {"mean_square": mean_square}


OPTIMIZER = Optimizer(
    name="rmsprop",
    title="RMSprop",
    paper=(
        "Tieleman & Hinton (2012), Neural Networks for Machine Learning, lecture 6e (Coursera),"
        " slide 29; the slide has no epsilon"
    ),
    learning_rate=3e-3,
    hyper=HYPER,
    bindings={
        "torch": Binding(
            "torch.optim.RMSprop",
            arguments(alpha="rho", eps=0.0),
            corrections=(TORCH_EPSILON_INSIDE_ROOT,),
        ),
        "tensorflow": Binding("keras.optimizers.RMSprop", arguments(rho="rho", epsilon="epsilon")),
        "jax": Binding("optax.rmsprop", arguments(decay="rho", eps="epsilon")),
    },
    rule=ReferenceRule(init=lambda p, hyper: {"mean_square": np.zeros_like(p)}, update=_update),
    note=(
        "By default torch decays with 0.99 and adds epsilon outside of the root, Keras and Optax"
        " with 0.9 and inside."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-5, 1e-1, log=True),
            "rho": Range(1e-3, 0.5, log=True, below_one=True),
        },
        "proposed here: rates of Adam's order and a range around the decay; epsilon stays fixed",
    ),
)
