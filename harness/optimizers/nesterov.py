"""SGD with Nesterov's momentum."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated
from ._shared import KERAS_MOMENTUM_FOLLOWS_SCHEDULE


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    buffer = hyper["momentum"] * state["buffer"] + g
    return p - lr * (g + hyper["momentum"] * buffer), {"buffer": buffer}


def _arguments(hyper: Hypers) -> dict[str, object]:
    return {"momentum": hyper["momentum"], "nesterov": True}


_NATIVE = {"momentum": 0.9, "nesterov": True}

OPTIMIZER = Optimizer(
    name="nesterov",
    title="Nesterov",
    paper=(
        "Nesterov (1983), Soviet Math. Dokl. 27(2); in the form of Sutskever et al. (2013), PMLR"
        " 28(3), eq. 3-4, rewritten for the look-ahead point as in Bengio et al. (2013),"
        " arXiv:1212.0901, eq. 7"
    ),
    learning_rate=0.02,
    hyper={"momentum": Hyper(0.9, "share of the buffer kept each step", high=1.0)},
    bindings={
        "torch": Binding("torch.optim.SGD", _arguments, _NATIVE),
        "tensorflow": Binding(
            "keras.optimizers.SGD", _arguments, _NATIVE, (KERAS_MOMENTUM_FOLLOWS_SCHEDULE,)
        ),
        "jax": Binding("optax.sgd", _arguments, _NATIVE),
    },
    rule=ReferenceRule(init=lambda p, hyper: {"buffer": np.zeros_like(p)}, update=_update),
    note=(
        "Keras folds the learning rate into the buffer: under a schedule its own momentum is a"
        " different optimizer."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(2e-2, 5.0, log=True),
            "momentum": Range(5e-3, 0.3, log=True, below_one=True),
        },
        "Dahl et al. (2023), Benchmarking Neural Network Training Algorithms, arXiv:2306.07179: the"
        " published search space of AlgoPerf's baseline of this name, without its weight decay",
    ),
)
