"""Sophia-H: clipped steps along the diagonal of the Hessian."""

from __future__ import annotations

from ..optimizer import Binding, Optimizer, Range, SearchSpace

_RANDOM = (
    "it estimates the Hessian with random numbers of the library's own and needs the loss itself,"
    " so that no rule on gradients can be its referee"
)

OPTIMIZER = Optimizer(
    name="sophia",
    title="Sophia-H",
    paper=(
        "Liu et al. (2023), Sophia: A Scalable Stochastic Second-order Optimizer for Language Model"
        " Pre-training, arXiv:2305.14342, Algorithm 3 with Hutchinson's estimator (Algorithm 1)"
    ),
    learning_rate=1e-3,
    hyper={},
    bindings={
        "torch": Binding(
            "gradrace.adapters.torch.third_party.SophiaH",
            asks_for_loss=True,
            requires=("pytorch_optimizer",),
        ),
        "jax": Binding("optax.contrib.sophia", asks_for_loss=True),
    },
    differs={"torch": _RANDOM, "jax": _RANDOM},
    note=(
        "Every tenth step takes a product with the Hessian. For it the adapter hands the loss of"
        " the batch to Optax, and gradients that can be differentiated once more to"
        " pytorch_optimizer.SophiaH, which draws normal numbers from torch's generator. The latter"
        " clips m / h at p = 0.01 instead of m / (0.01 h) at 1, so that its steps are a hundredth"
        " as long; the adapter divides its rate by p."
    ),
    space=SearchSpace(
        {"learning_rate": Range(1e-5, 1e-2, log=True)},
        "proposed here: two decades around the default",
    ),
)
