"""Adagrad, with epsilon inside the root."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _init(p: Array, hyper: Hypers) -> State:
    return {"sum": np.full_like(p, hyper["initial_accumulator"])}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    total = state["sum"] + g * g
    return p - lr * g / np.sqrt(total + hyper["epsilon"]), {"sum": total}


def _torch(hyper: Hypers) -> dict[str, object]:
    # torch adds epsilon outside of the root. A sum that starts epsilon higher is the same rule with
    # epsilon inside.
    return {
        "initial_accumulator_value": hyper["initial_accumulator"] + hyper["epsilon"],
        "eps": 0.0,
    }


OPTIMIZER = Optimizer(
    name="adagrad",
    title="Adagrad",
    paper=(
        "Duchi, Hazan & Singer (2011), Adaptive Subgradient Methods, JMLR 12, Fig. 1 (diagonal"
        " form)"
    ),
    learning_rate=0.1,
    hyper={
        "initial_accumulator": Hyper(0.1, "start of the sum of squared gradients"),
        "epsilon": Hyper(1e-7, "added to the sum, inside the root", low=1e-30),
    },
    bindings={
        "torch": Binding("torch.optim.Adagrad", _torch),
        "tensorflow": Binding(
            "keras.optimizers.Adagrad",
            arguments(initial_accumulator_value="initial_accumulator", epsilon="epsilon"),
        ),
        "jax": Binding(
            "optax.adagrad",
            arguments(initial_accumulator_value="initial_accumulator", eps="epsilon"),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    note=(
        "The paper adds its delta outside of the root; Keras and Optax add epsilon inside, and so"
        " does the canonical rule. By default torch starts the sum at 0, Keras and Optax at 0.1."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-3, 1.0, log=True),
            "initial_accumulator": Range(1e-6, 1.0, log=True),
        },
        "proposed here: rates around the default, and a start of the sum between the libraries' 0"
        " (nearly) and 1",
    ),
)
