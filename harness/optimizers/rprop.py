"""Rprop: a step size of its own for every element, from the signs of its gradients alone."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _init(p: Array, hyper: Hypers) -> State:
    return {"step_size": np.zeros_like(p), "before": np.zeros_like(p)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    size = np.full_like(p, lr) if t == 1 else state["step_size"]
    turn = np.sign(g * state["before"])
    factor = np.where(turn > 0, hyper["increase"], np.where(turn < 0, hyper["decrease"], 1.0))
    size = np.clip(size * factor, hyper["smallest_step"], hyper["largest_step"])
    g = np.where(turn < 0, 0.0, g)
    return p - np.sign(g) * size, {"step_size": size, "before": g}


def _arguments(hyper: Hypers) -> dict[str, object]:
    return {
        "eta_minus": hyper["decrease"],
        "eta_plus": hyper["increase"],
        "min_step_size": hyper["smallest_step"],
        "max_step_size": hyper["largest_step"],
    }


OPTIMIZER = Optimizer(
    name="rprop",
    title="Rprop",
    paper=(
        "Riedmiller & Braun (1993), A Direct Adaptive Method for Faster Backpropagation Learning:"
        " The RPROP Algorithm; in the form iRprop- of Igel & Hüsken (2000), Improving the Rprop"
        " Learning Algorithm, Algorithm 4"
    ),
    learning_rate=1e-3,
    hyper={
        "decrease": Hyper(
            0.5, "factor of the step size where the gradient's sign turned", low=1e-3, high=0.999
        ),
        "increase": Hyper(1.2, "factor of the step size where the sign stayed", low=1.0 + 1e-9),
        "smallest_step": Hyper(1e-6, "lower bound of the step size"),
        "largest_step": Hyper(50.0, "upper bound of the step size", low=1e-6),
    },
    bindings={
        "torch": Binding(
            "torch.optim.Rprop",
            arguments(etas=("decrease", "increase"), step_sizes=("smallest_step", "largest_step")),
        ),
        "jax": Binding("optax.rprop", _arguments),
    },
    rule=ReferenceRule(init=_init, update=_update),
    note=(
        "The learning rate is the first step size only: schedules change nothing. Made for whole"
        " batches; the signs of small batches turn too often. Keras ships none."
    ),
    differs={
        "jax": (
            "optax.rprop gives out each step's update one step late, and nothing at the first step"
        )
    },
    space=SearchSpace(
        {
            "learning_rate": Range(1e-5, 1e-1, log=True),
            "decrease": Range(0.3, 0.9),
            "increase": Range(1.05, 1.5),
        },
        "proposed here: first step sizes and ranges around the factors of Riedmiller & Braun"
        " (1993)",
    ),
)
