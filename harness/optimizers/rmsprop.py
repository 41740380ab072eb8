"""RMSprop, with epsilon inside the root."""

from __future__ import annotations

import numpy as np

from ..optimizer import Array, Binding, Hyper, Hypers, Optimizer, ReferenceRule, State, StateCorrection


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> tuple[Array, State]:
    mean_square = hyper["rho"] * state["mean_square"] + (1.0 - hyper["rho"]) * g * g
    return p - lr * g / np.sqrt(mean_square + hyper["epsilon"]), {"mean_square": mean_square}


def _carry_epsilon(hyper: Hypers, lr: Array) -> Array:
    shift = np.full_like(lr, hyper["epsilon"] * (1.0 / hyper["rho"] - 1.0))
    shift[0] = hyper["epsilon"] / hyper["rho"]
    return shift


TORCH_EPSILON_INSIDE_ROOT = StateCorrection(
    name="epsilon_inside_root",
    why="torch adds eps outside of the root. A mean square that carries epsilon with it (raised before each step by "
    "what the decay will take away) is the same rule with epsilon inside.",
    state="square_avg",
    scale=lambda hyper, lr: np.ones_like(lr),
    shift=_carry_epsilon,
)

OPTIMIZER = Optimizer(
    name="rmsprop",
    title="RMSprop",
    paper="Tieleman & Hinton (2012), Neural Networks for Machine Learning, lecture 6e (Coursera), slide 29; the "
    "slide has no epsilon",
    learning_rate=3e-3,
    hyper={
        "rho": Hyper(0.9, "decay of the mean square", low=1e-3, high=1.0),
        "epsilon": Hyper(1e-8, "added to the mean square, inside the root", low=1e-30),
    },
    bindings={
        "torch": Binding(
            "torch.optim.RMSprop", lambda h: {"alpha": h["rho"], "eps": 0.0}, corrections=(TORCH_EPSILON_INSIDE_ROOT,)
        ),
        "tensorflow": Binding("keras.optimizers.RMSprop", lambda h: {"rho": h["rho"], "epsilon": h["epsilon"]}),
        "jax": Binding("optax.rmsprop", lambda h: {"decay": h["rho"], "eps": h["epsilon"]}),
    },
    rule=ReferenceRule(init=lambda p, hyper: {"mean_square": np.zeros_like(p)}, update=_update),
    note="By default torch decays with 0.99 and adds epsilon outside of the root, Keras and Optax with 0.9 and inside.",
)
