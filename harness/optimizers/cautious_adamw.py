"""Cautious AdamW: AdamW that moves an element only along its present gradient."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Optimizer, ReferenceRule
from . import adam, adamw
from ._rule import Array, Hypers, State, Updated, arguments

# The class of AdEMAMix without its slow mean is AdamW, and the one that takes `cautious`.
_CAUTIOUS = {"alpha": 0.0, "cautious": True, "weight_decouple": True}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    step, state = adam.direction(g, state, t, hyper)
    along = step * g > 0.0
    step = step * along * (along.size / (np.count_nonzero(along) + 1.0))
    return p - lr * hyper["weight_decay"] * p - lr * step, state


def _torch(hyper: Hypers) -> dict[str, object]:
    given = arguments(eps="epsilon", weight_decay="weight_decay")(hyper)
    return {**given, **_CAUTIOUS, "betas": (hyper["beta1"], hyper["beta2"], 0.0)}


OPTIMIZER = Optimizer(
    name="cautious_adamw",
    title="Cautious AdamW",
    paper=(
        "Liang et al. (2024), Cautious Optimizers: Improving Training with One Line of Code,"
        " arXiv:2411.16085, Algorithm 2: the elements left are scaled up by n / (k + 1), k of n"
        " elements; the authors' code scales by n / k, at most 1000"
    ),
    learning_rate=3e-3,
    hyper=adamw.OPTIMIZER.hyper,
    bindings={
        "torch": Binding(
            "pytorch_optimizer.AdEMAMix",
            _torch,
            native=_CAUTIOUS,
            requires=("pytorch_optimizer",),
        ),
    },
    rule=ReferenceRule(init=adam.init, update=_update),
    per_tensor=True,
    note=(
        "pytorch_optimizer has no AdamW of its own: its AdEMAMix with alpha 0 is AdamW, and takes"
        " cautious=True."
    ),
    space=adamw.OPTIMIZER.space,
)
