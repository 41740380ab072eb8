"""RAdam: Adam whose adaptive rate is rectified, or left out, while its variance is large.

Not the paper's update to the letter: it rectifies from a length above 5, as torch, Optax and the
authors' code do, the paper from above 4 (with beta2 = 0.999 at step 6 instead of 5).
"""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Optimizer, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import ADAM_RANGES, ADAM_RANGES_SOURCE, epsilon_hat
from .adam import HYPER, init

# The paper rectifies from a length above 4; both libraries wait for 5, as in its authors' code.
_TRACTABLE = 5.0


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2 = hyper["beta1"], hyper["beta2"]
    m = b1 * state["m"] + (1.0 - b1) * g
    v = b2 * state["v"] + (1.0 - b2) * g * g
    step = m / (1.0 - b1**t)
    # Length of the simple moving average that the second moment stands for: at its longest, and by
    # now.
    longest = 2.0 / (1.0 - b2) - 1.0
    length = longest - 2.0 * t * b2**t / (1.0 - b2**t)
    if length > _TRACTABLE:
        rectifier = np.sqrt(
            (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        )
        step = rectifier * step / (np.sqrt(v / (1.0 - b2**t)) + hyper["epsilon"])
    return p - lr * step, {"m": m, "v": v}


OPTIMIZER = Optimizer(
    name="radam",
    title="RAdam",
    paper=(
        "Liu et al. (2020), On the Variance of the Adaptive Learning Rate and Beyond,"
        " arXiv:1908.03265, Algorithm 2, with rectification from a length above 5 instead of 4 (as"
        " torch, Optax and the authors' code), and epsilon as in Adam"
    ),
    learning_rate=3e-3,
    hyper=HYPER,
    bindings={
        "torch": Binding(
            "torch.optim.RAdam",
            arguments(betas=("beta1", "beta2"), eps="epsilon"),
            corrections=(epsilon_hat("eps"),),
        ),
        "jax": Binding("optax.radam", arguments(b1="beta1", b2="beta2", eps="epsilon")),
    },
    rule=ReferenceRule(init=init, update=_update),
    note=(
        "Keras ships none. torch adds epsilon to the uncorrected root of the second moment, Optax"
        " to the corrected one."
    ),
    imprecise={
        "jax": (
            "Optax computes the rectifier in float32 as the difference of two large numbers: 1.2%"
            " too small at its first step with beta2 = 0.999"
        )
    },
    space=SearchSpace(ADAM_RANGES, ADAM_RANGES_SOURCE),
)
