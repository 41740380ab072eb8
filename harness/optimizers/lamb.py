"""LAMB: Adam's direction, scaled tensor by tensor to the norm of the parameter."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from . import adam
from ._rule import Array, Hypers, State, Updated, arguments


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    step, state = adam.direction(g, state, t, hyper)
    weight, length = np.linalg.norm(p), np.linalg.norm(step)
    return p - lr * (weight / length if weight > 0.0 and length > 0.0 else 1.0) * step, state


OPTIMIZER = Optimizer(
    name="lamb",
    title="LAMB",
    paper=(
        "You et al. (2020), Large Batch Optimization for Deep Learning, arXiv:1904.00962, Algorithm"
        " 2 with phi(x) = x and no weight decay; the ratio is 1 where a norm is 0"
    ),
    learning_rate=1e-2,
    hyper={
        **adam.HYPER,
        "epsilon": Hyper(1e-6, "added to the root of the corrected second moment"),
    },
    bindings={
        "torch": Binding(
            "pytorch_optimizer.Lamb",
            arguments(betas=("beta1", "beta2"), eps="epsilon", max_grad_norm=0.0),
            requires=("pytorch_optimizer",),
        ),
        "tensorflow": Binding(
            "keras.optimizers.Lamb",
            arguments(beta_1="beta1", beta_2="beta2", epsilon="epsilon"),
        ),
        "jax": Binding("optax.lamb", arguments(b1="beta1", b2="beta2", eps="epsilon")),
    },
    rule=ReferenceRule(init=adam.init, update=_update),
    per_tensor=True,
    differs={
        "torch": (
            "pytorch_optimizer.Lamb leaves the first moment and the second uncorrected inside of"
            " the ratio and divides the learning rate by 1 - beta1^t, so that the first step is ten"
            " times too long; and it caps the norm of a parameter at 10"
        )
    },
    note=(
        "With weight decay the two part: Optax adds it before the ratio, as in the paper, Keras"
        " applies it by itself. torch ships none; pytorch_optimizer's class also clips the norm of"
        " all gradients at 1 by default, which max_grad_norm=0 turns off."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-2, log=True),
            "beta1": Range(5e-2, 0.3, log=True, below_one=True),
        },
        "Dahl et al. (2023), Benchmarking Neural Network Training Algorithms, arXiv:2306.07179: the"
        " published search space of AlgoPerf's baseline of this name, without its weight decay",
    ),
)
