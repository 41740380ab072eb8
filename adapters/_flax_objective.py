"""Losses, metrics, penalties and clipping in JAX, from Optax's functions. See TaskSpec and Regularization."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from gradrace.objective import Objective


def loss(objective: Objective, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """The mean over outputs [n, ...]."""
    return _losses(objective, outputs, y).mean()


def _losses(objective: Objective, outputs: jax.Array, y: jax.Array) -> jax.Array:
    smoothing = objective.label_smoothing
    match objective.loss:
        case "softmax_cross_entropy" if smoothing:
            hot = jax.nn.one_hot(y, outputs.shape[-1], dtype=outputs.dtype)
            return optax.softmax_cross_entropy(outputs, optax.smooth_labels(hot, smoothing))
        case "softmax_cross_entropy":
            return optax.softmax_cross_entropy_with_integer_labels(outputs, y)
        case "binary_cross_entropy":
            labels = y[..., None].astype(outputs.dtype) * (1.0 - smoothing) + 0.5 * smoothing
            return optax.sigmoid_binary_cross_entropy(outputs, labels)
        case "mean_squared_error":
            return optax.squared_error(outputs, y)
        case "huber":
            return optax.huber_loss(outputs, y, delta=1.0)
        case "output":
            return outputs


def metric_total(objective: Objective, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """What `gradrace.objective.metric_of` wants the sum of."""
    match objective.metric:
        case "accuracy" if objective.loss == "binary_cross_entropy":
            return ((outputs[..., 0] > 0.0) == y).sum()
        case "accuracy":
            return (outputs.argmax(axis=-1) == y).sum()
        case "r2":
            return jnp.square(outputs - y).sum()
        case "negative_loss":
            return jnp.zeros((), jnp.int32)


def penalty(objective: Objective, kernels: Iterable[jax.Array]) -> jax.Array | float:
    """L1 and L2 of these kernels; 0.0, and no operation, without them."""
    l1, l2 = objective.regularization.l1, objective.regularization.l2
    total: jax.Array | float = 0.0
    for kernel in kernels:
        total += l1 * jnp.abs(kernel).sum() if l1 else 0.0
        total += 0.5 * l2 * jnp.square(kernel).sum() if l2 else 0.0
    return total


def clipped(objective: Objective, gradients: Any) -> Any:
    """Gradients, any tree of them, scaled to a global norm of at most clip_norm."""
    limit = objective.regularization.clip_norm
    if not limit:
        return gradients
    # A norm of zero gives infinity, and so 1.
    factor = jnp.minimum(1.0, limit / optax.global_norm(gradients))
    return jax.tree.map(lambda gradient: gradient * factor, gradients)
