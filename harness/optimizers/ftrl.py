"""FTRL-Proximal, per coordinate."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _init(p: Array, hyper: Hypers) -> State:
    return {"n": np.full_like(p, hyper["initial_accumulator"]), "z": np.zeros_like(p)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    n = state["n"] + g * g
    z = state["z"] + g - (np.sqrt(n) - np.sqrt(state["n"])) / lr * p
    shrunk = np.clip(z, -hyper["l1"], hyper["l1"]) - z
    return shrunk / ((np.sqrt(n) + hyper["beta"]) / lr + 2.0 * hyper["l2"]), {"n": n, "z": z}


OPTIMIZER = Optimizer(
    name="ftrl",
    title="FTRL-Proximal",
    paper="McMahan et al. (2013), Ad Click Prediction: a View from the Trenches, KDD, Algorithm 1",
    learning_rate=0.5,
    hyper={
        "initial_accumulator": Hyper(0.1, "start of the sum of squared gradients", low=1e-30),
        "l1": Hyper(0.0, "L1 regularisation"),
        "l2": Hyper(0.0, "L2 regularisation, without the factor 1/2"),
        "beta": Hyper(0.0, "added to the root of the sum"),
    },
    bindings={
        "tensorflow": Binding(
            "keras.optimizers.Ftrl",
            arguments(
                initial_accumulator_value="initial_accumulator",
                l1_regularization_strength="l1",
                l2_regularization_strength="l2",
                beta="beta",
            ),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    note=(
        "The first step discards the initial weights: the rule solves for weights from its sums"
        " alone, and those start at zero. Networks whose weights must not start alike do not train"
        " with it."
    ),
    space=SearchSpace(
        {"learning_rate": Range(1e-2, 10.0, log=True)},
        "proposed here: rates around the default; the penalties stay at 0",
    ),
)
