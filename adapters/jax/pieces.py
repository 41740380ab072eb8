"""Canonical rules that no single function of Optax computes, built of Optax's own parts.

Each makes a transformation from a `learning_rate`, traced or not, as Optax's aliases do.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

Rate = Any


def adafactor(
    learning_rate: Rate, decay_exponent: float, epsilon1: float, epsilon2: float, clip: float
) -> optax.GradientTransformation:
    """optax.adafactor with the last two axes factored at any size, the paper's cap of 1 / sqrt(t)
    on the learning rate, and the decay in the run's precision."""

    def decay(count: Any, exponent: Any) -> Any:
        return 1.0 - jnp.asarray(count + 1, jnp.result_type(float)) ** -exponent

    def capped(count: Any) -> Any:
        return -jnp.minimum(learning_rate, (count + 1.0) ** -0.5)

    factored = optax.scale_by_factored_rms(
        decay_rate=decay_exponent, min_dim_size_to_factor=0, epsilon=epsilon1, decay_rate_fn=decay
    )
    return optax.chain(
        _on_matrices(factored),
        optax.clip_by_block_rms(clip),
        optax.scale_by_schedule(capped),
        optax.scale_by_param_block_rms(epsilon2),
    )


def muon(
    learning_rate: Rate, momentum: float, beta1: float, beta2: float, epsilon: float
) -> optax.GradientTransformation:
    """optax.contrib.muon with plain Nesterov momentum, as its own is corrected for bias; optax.adam
    for all tensors but matrices."""
    # Without momentum it orthogonalises its input. 1e-7 and 0.2 are Keras'.
    orthogonalise = optax.contrib.muon(
        learning_rate, beta=0.0, nesterov=False, eps=1e-7, consistent_rms=0.2
    )
    rules = {
        "matrix": optax.chain(optax.trace(momentum, nesterov=True), orthogonalise),
        "other": optax.adam(learning_rate, b1=beta1, b2=beta2, eps=epsilon),
    }
    return optax.partition(
        rules, lambda tree: jax.tree.map(lambda x: "matrix" if x.ndim == 2 else "other", tree)
    )


def lbfgs(learning_rate: Rate, memory: int) -> optax.GradientTransformation:
    """optax.lbfgs without line search and without pairs of no curvature."""
    inner = optax.scale_by_lbfgs(memory)

    def update(gradients: Any, state: Any, parameters: Any = None) -> tuple[Any, Any]:
        move = optax.tree.sub(parameters, state.params)
        change = optax.tree.sub(gradients, state.updates)
        without = (state.count > 0) & (optax.tree.vdot(move, change) <= 1e-10)
        # One count back, from the ends of the pair before, it writes that pair over itself.
        last = (state.count - 2) % memory
        before = state._replace(
            count=state.count - 1,
            params=jax.tree.map(
                lambda p, moves: p - moves[last], parameters, state.diff_params_memory
            ),
            updates=jax.tree.map(
                lambda g, changes: g - changes[last], gradients, state.diff_updates_memory
            ),
        )
        state = jax.tree.map(lambda one, other: jnp.where(without, one, other), before, state)
        return inner.update(gradients, state, parameters)

    return optax.chain(
        optax.GradientTransformation(inner.init, update),
        optax.scale_by_learning_rate(learning_rate),
    )


def _on_matrices(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """`inner` on tensors of more than two axes as on a list of matrices, those of the last two."""

    def split(tree: Any) -> Any:
        return jax.tree.map(lambda x: list(x.reshape(-1, *x.shape[-2:])) if x.ndim > 2 else x, tree)

    def joined(like: Any, tree: Any) -> Any:
        return jax.tree.map(
            lambda x, part: jnp.stack(part).reshape(x.shape) if x.ndim > 2 else part, like, tree
        )

    def update(gradients: Any, state: Any, parameters: Any = None) -> tuple[Any, Any]:
        updates, state = inner.update(split(gradients), state, split(parameters))
        return joined(gradients, updates), state

    def init(parameters: Any) -> Any:
        return inner.init(split(parameters))

    return optax.GradientTransformation(init, update)
