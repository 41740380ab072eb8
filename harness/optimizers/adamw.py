"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments
from ._shared import KERAS_EPSILON_HAT
from .adam import HYPER, direction, init


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    step, state = direction(g, state, t, hyper)
    return p - lr * hyper["weight_decay"] * p - lr * step, state


OPTIMIZER = Optimizer(
    name="adamw",
    title="AdamW",
    paper=(
        "Loshchilov & Hutter (2019), Decoupled Weight Decay Regularization, arXiv:1711.05101,"
        " Algorithm 2, with the decay multiplied by the learning rate as in all three libraries"
    ),
    learning_rate=3e-3,
    hyper={
        **HYPER,
        "weight_decay": Hyper(
            0.01, "share of every parameter taken away per step and learning rate"
        ),
    },
    bindings={
        "torch": Binding(
            "torch.optim.AdamW",
            arguments(betas=("beta1", "beta2"), eps="epsilon", weight_decay="weight_decay"),
        ),
        "tensorflow": Binding(
            "keras.optimizers.AdamW",
            arguments(
                beta_1="beta1", beta_2="beta2", epsilon="epsilon", weight_decay="weight_decay"
            ),
            corrections=(KERAS_EPSILON_HAT,),
        ),
        "jax": Binding(
            "optax.adamw",
            arguments(b1="beta1", b2="beta2", eps="epsilon", weight_decay="weight_decay"),
        ),
    },
    rule=ReferenceRule(init=init, update=_update),
    note="All parameters decay, biases too. Defaults differ: torch 0.01, Keras 0.004, Optax 1e-4.",
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-2, log=True),
            "beta1": Range(2e-2, 0.5, log=True, below_one=True),
            "weight_decay": Range(5e-3, 1.0, log=True),
        },
        "Dahl et al. (2023), Benchmarking Neural Network Training Algorithms, arXiv:2306.07179: the"
        " published search space of AlgoPerf's baseline of this name",
    ),
)
