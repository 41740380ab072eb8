"""SGD with heavy-ball momentum."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated
from ._shared import KERAS_MOMENTUM_FOLLOWS_SCHEDULE


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    buffer = hyper["momentum"] * state["buffer"] + g
    return p - lr * buffer, {"buffer": buffer}


OPTIMIZER = Optimizer(
    name="momentum",
    title="Momentum",
    paper=(
        "Polyak (1964), Some methods of speeding up the convergence of iteration methods, USSR"
        " Comput. Math. 4(5); in the form of Sutskever et al. (2013), PMLR 28(3), with the learning"
        " rate outside of the buffer"
    ),
    learning_rate=0.02,
    hyper={"momentum": Hyper(0.9, "share of the buffer kept each step", high=1.0)},
    bindings={
        "torch": Binding("torch.optim.SGD", native={"momentum": 0.9}),
        "tensorflow": Binding(
            "keras.optimizers.SGD",
            native={"momentum": 0.9},
            corrections=(KERAS_MOMENTUM_FOLLOWS_SCHEDULE,),
        ),
        "jax": Binding("optax.sgd", native={"momentum": 0.9}),
    },
    rule=ReferenceRule(init=lambda p, hyper: {"buffer": np.zeros_like(p)}, update=_update),
    note=(
        "Keras folds the learning rate into the buffer: under a schedule its own momentum is a"
        " different optimizer."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-3, 10.0, log=True),
            "momentum": Range(1e-3, 1.0, log=True, below_one=True),
        },
        "proposed here: SGD's rates, and 1 - momentum evenly in its logarithm up to 1, so that a"
        " momentum of 0, which is SGD, is within the space",
    ),
)
