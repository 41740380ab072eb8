"""Adam."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import KERAS_EPSILON_HAT

HYPER = {
    "beta1": Hyper(0.9, "decay of the first moment", high=1.0),
    "beta2": Hyper(0.999, "decay of the second moment", high=1.0),
    "epsilon": Hyper(1e-8, "added to the root of the corrected second moment"),
}


def init(p: Array, hyper: Hypers) -> State:
    """Both moments at zero."""
    return {"m": np.zeros_like(p), "v": np.zeros_like(p)}


def direction(g: Array, state: State, t: int, hyper: Hypers) -> tuple[Array, State]:
    """Algorithm 1 up to the learning rate."""
    b1, b2 = hyper["beta1"], hyper["beta2"]
    m = b1 * state["m"] + (1.0 - b1) * g
    v = b2 * state["v"] + (1.0 - b2) * g * g
    return (m / (1.0 - b1**t)) / (np.sqrt(v / (1.0 - b2**t)) + hyper["epsilon"]), {"m": m, "v": v}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    step, state = direction(g, state, t, hyper)
    return p - lr * step, state


OPTIMIZER = Optimizer(
    name="adam",
    title="Adam",
    paper=(
        "Kingma & Ba (2015), Adam: A Method for Stochastic Optimization, arXiv:1412.6980,"
        " Algorithm 1"
    ),
    learning_rate=3e-3,
    hyper=HYPER,
    bindings={
        "torch": Binding("torch.optim.Adam", arguments(betas=("beta1", "beta2"), eps="epsilon")),
        "tensorflow": Binding(
            "keras.optimizers.Adam",
            arguments(beta_1="beta1", beta_2="beta2", epsilon="epsilon"),
            corrections=(KERAS_EPSILON_HAT,),
        ),
        "jax": Binding("optax.adam", arguments(b1="beta1", b2="beta2", eps="epsilon")),
    },
    rule=ReferenceRule(init=init, update=_update),
    note=(
        "Keras computes the epsilon-hat form with epsilon 1e-7; torch and Optax Algorithm 1 with"
        " 1e-8."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-1, log=True),
            "beta1": Range(1e-2, 1.0, log=True, below_one=True),
            "beta2": Range(1e-4, 1e-1, log=True, below_one=True),
            "epsilon": Range(1e-8, 1e-1, log=True),
        },
        "proposed here; epsilon is searched, as Choi et al. (2019), arXiv:1910.05446, argue that it"
        " must be: where it exceeds the root mean square of every gradient, Adam is momentum with"
        " learning rate * (1 - beta1) / epsilon, so that SGD and momentum of rates / (1 - momentum)"
        " up to 1 are approximated within the space, not contained in it",
    ),
)
