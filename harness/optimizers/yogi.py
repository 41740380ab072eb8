"""Yogi: Adam whose second moment changes by no more than the squared gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, ReferenceRule, SearchSpace, StateCorrection
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import ADAM_RANGES, ADAM_RANGES_SOURCE

_START = 1e-6


def _init(p: Array, hyper: Hypers) -> State:
    return {"m": np.zeros_like(p), "v": np.full_like(p, _START)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2 = hyper["beta1"], hyper["beta2"]
    m = b1 * state["m"] + (1.0 - b1) * g
    v = state["v"] - (1.0 - b2) * np.sign(state["v"] - g * g) * g * g
    step = (m / (1.0 - b1**t)) / (np.sqrt(v / (1.0 - b2**t)) + hyper["epsilon"])
    return p - lr * step, {"m": m, "v": v}


def _zero_at_first(hyper: Hypers, lr: Array) -> Array:
    return np.concatenate([[0.0], np.ones(len(lr) - 1)])


def _torch() -> Callable[..., Any]:
    from ..adapters.torch.third_party import Yogi

    return Yogi


OPTIMIZER = Optimizer(
    name="yogi",
    title="Yogi",
    paper=(
        "Zaheer et al. (2018), Adaptive Methods for Nonconvex Optimization, NeurIPS 31, Algorithm"
        " 2, with Adam's corrections of bias and a second moment that starts at 1e-6"
    ),
    learning_rate=1e-2,
    hyper={
        "beta1": Hyper(0.9, "decay of the first moment", high=1.0),
        "beta2": Hyper(
            0.999,
            "1 minus the share of the squared gradient by which the second moment changes",
            high=1.0,
        ),
        "epsilon": Hyper(1e-3, "added to the root of the corrected second moment"),
    },
    bindings={
        "torch": Binding(
            _torch,
            arguments(betas=("beta1", "beta2"), eps="epsilon", initial_accumulator=_START),
            native_target="pytorch_optimizer.Yogi",
            requires=("pytorch_optimizer",),
        ),
        "jax": Binding(
            "optax.yogi",
            arguments(b1="beta1", b2="beta2", eps="epsilon"),
            corrections=(
                StateCorrection(
                    name="first_moment_from_zero",
                    why=(
                        "Optax starts the first moment at 1e-6 too, so that parameters move that"
                        " never had a gradient."
                    ),
                    state="mu",
                    scale=_zero_at_first,
                ),
            ),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    note=(
        "optax.yogi and pytorch_optimizer's class start the first moment at 1e-6 as well as the"
        " second."
    ),
    space=SearchSpace(ADAM_RANGES, ADAM_RANGES_SOURCE),
)
