"""Stochastic gradient descent."""

from __future__ import annotations

from ..optimizer import Binding, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    return p - lr * g, state


OPTIMIZER = Optimizer(
    name="sgd",
    title="SGD",
    paper=(
        "Robbins & Monro (1951), A Stochastic Approximation Method, Ann. Math. Statist. 22(3),"
        " eq. 5"
    ),
    learning_rate=0.1,
    hyper={},
    bindings={
        "torch": Binding("torch.optim.SGD"),
        "tensorflow": Binding("keras.optimizers.SGD"),
        "jax": Binding("optax.sgd"),
    },
    rule=ReferenceRule(init=lambda p, hyper: {}, update=_update),
    space=SearchSpace(
        {"learning_rate": Range(1e-3, 10.0, log=True)},
        "proposed here: two decades around the default; momentum searches the same rates",
    ),
)
