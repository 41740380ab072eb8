"""A user's own optimizer: sign momentum (signSGD with momentum), for PyTorch and Optax.

    gradrace run quick --load examples/my_optimizer.py         beside the suite's own optimizers
    gradrace list optimizers --load examples/my_optimizer.py

The reference rule in NumPy is optional; it lets `gradrace verify` prove both versions equal.
Import frameworks inside the functions: processes that hold no framework read this file too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gradrace import Binding, Hyper, Optimizer, ReferenceRule


def for_torch() -> Any:
    """The class, a torch.optim.Optimizer."""
    import torch

    class SignMomentum(torch.optim.Optimizer):
        def __init__(self, params: Any, lr: float, momentum: float = 0.9) -> None:
            super().__init__(params, {"lr": lr, "momentum": momentum})

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    buffer = self.state[p].setdefault("buffer", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1.0 - group["momentum"])
                    p.sub_(buffer.sign(), alpha=group["lr"])

    return SignMomentum


def for_optax() -> Any:
    """A factory of the gradient transformation, as optax.sgd is."""
    import jax
    import jax.numpy as jnp
    import optax

    def sign_momentum(learning_rate: Any, momentum: float = 0.9) -> optax.GradientTransformation:
        def sign(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
            return jax.tree.map(jnp.sign, updates), state

        return optax.chain(
            optax.ema(momentum, debias=False),
            optax.GradientTransformation(lambda params: optax.EmptyState(), sign),
            optax.scale_by_learning_rate(learning_rate),
        )

    return sign_momentum


def update(
    p: Any, g: Any, state: dict[str, Any], lr: float, t: int, hyper: Any
) -> tuple[Any, dict[str, Any]]:
    """The rule on one tensor: the sign of an exponential mean of gradients moves the parameter."""
    buffer = hyper["momentum"] * state["buffer"] + (1.0 - hyper["momentum"]) * g
    return p - lr * np.sign(buffer), {"buffer": buffer}


OPTIMIZER = Optimizer(
    name="sign_momentum",
    title="Sign momentum",
    paper=(
        "Bernstein et al. (2018), signSGD: Compressed Optimisation for Non-Convex Problems,"
        " arXiv:1802.04434, Alg. 2"
    ),
    learning_rate=1e-3,
    hyper={"momentum": Hyper(0.9, "share of the mean gradient kept each step", high=1.0)},
    bindings={"torch": Binding(for_torch), "jax": Binding(for_optax)},
    rule=ReferenceRule(init=lambda p, hyper: {"buffer": np.zeros_like(p)}, update=update),
)
