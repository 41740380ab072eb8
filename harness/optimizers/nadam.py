"""NAdam: Adam with Nesterov's momentum, the momentum constant.

Not the paper's update to the letter: its Algorithm 2 has a mu_t for each step, and its experiments
raise it."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Optimizer, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import ADAM_RANGES, ADAM_RANGES_SOURCE
from .adam import HYPER, init


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2 = hyper["beta1"], hyper["beta2"]
    m = b1 * state["m"] + (1.0 - b1) * g
    v = b2 * state["v"] + (1.0 - b2) * g * g
    ahead = b1 * m / (1.0 - b1 ** (t + 1)) + (1.0 - b1) * g / (1.0 - b1**t)
    return p - lr * ahead / (np.sqrt(v / (1.0 - b2**t)) + hyper["epsilon"]), {"m": m, "v": v}


OPTIMIZER = Optimizer(
    name="nadam",
    title="NAdam",
    paper=(
        "Dozat (2016), Incorporating Nesterov Momentum into Adam, ICLR workshop, Algorithm 2 with a"
        " constant mu = beta1 instead of the paper's rising mu_t"
    ),
    learning_rate=3e-3,
    hyper=HYPER,
    bindings={
        "torch": Binding(
            "torch.optim.NAdam",
            # torch's mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2): an infinite decay leaves
            # beta1.
            arguments(betas=("beta1", "beta2"), eps="epsilon", momentum_decay=float("inf")),
        ),
        "tensorflow": Binding(
            "keras.optimizers.Nadam",
            arguments(beta_1="beta1", beta_2="beta2", epsilon="epsilon"),
        ),
        "jax": Binding("optax.nadam", arguments(b1="beta1", b2="beta2", eps="epsilon")),
    },
    rule=ReferenceRule(init=init, update=_update),
    note=(
        "Three rules by default: Optax keeps the momentum constant, torch raises it as beta1 * (1 -"
        " 0.96^(t/250) / 2), as the paper recommends, and Keras as beta1 * (1 - 0.96^t / 2)."
        " Keras's epsilon is 1e-7, the others' 1e-8."
    ),
    differs={
        "tensorflow": (
            "Keras raises the momentum as beta1 * (1 - 0.96^t / 2), and no argument changes that"
        )
    },
    space=SearchSpace(ADAM_RANGES, ADAM_RANGES_SOURCE),
)
