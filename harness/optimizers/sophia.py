"""Sophia-H: clipped steps along the diagonal of the Hessian."""

from __future__ import annotations

from ..optimizer import Binding, Optimizer, Range, SearchSpace

OPTIMIZER = Optimizer(
    name="sophia",
    title="Sophia-H",
    paper=(
        "Liu et al. (2023), Sophia: A Scalable Stochastic Second-order Optimizer for Language Model"
        " Pre-training, arXiv:2305.14342, Algorithm 3 with Hutchinson's estimator (Algorithm 1)"
    ),
    learning_rate=1e-3,
    hyper={},
    bindings={"jax": Binding("optax.contrib.sophia", asks_for_loss=True)},
    differs={
        "jax": (
            "it estimates the Hessian with random numbers of the library's own and needs the loss"
            " itself, so that no rule on gradients can be its referee"
        )
    },
    note=(
        "Every tenth step takes a product with the Hessian, for which the adapter hands the loss of"
        " the batch to Optax."
    ),
    space=SearchSpace(
        {"learning_rate": Range(1e-5, 1e-2, log=True)},
        "proposed here: two decades around the default",
    ),
)
