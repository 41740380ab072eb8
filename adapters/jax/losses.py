"""Losses, metrics, penalties and clipping from Optax's functions; see TaskSpec."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from gradrace.objective import Amounts, Objective


def loss(objective: Objective, amounts: Amounts, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """The mean over outputs [n, ...]."""
    return _losses(objective, amounts, outputs, y).mean()


def _losses(objective: Objective, amounts: Amounts, outputs: jax.Array, y: jax.Array) -> jax.Array:
    match objective.loss:
        case "softmax_cross_entropy" if "kept" in amounts:
            # optax.smooth_labels would compute 1 - smoothing in the device's precision.
            hot = jax.nn.one_hot(y, outputs.shape[-1], dtype=outputs.dtype)
            return optax.softmax_cross_entropy(outputs, amounts["kept"] * hot + amounts["spread"])
        case "softmax_cross_entropy":
            return optax.softmax_cross_entropy_with_integer_labels(outputs, y)
        case "binary_cross_entropy":
            labels = y[..., None].astype(outputs.dtype)
            labels = labels * amounts["kept"] + amounts["spread"] if "kept" in amounts else labels
            return optax.sigmoid_binary_cross_entropy(outputs, labels)
        case "mean_squared_error":
            return optax.squared_error(outputs, y)
        case "huber":
            return optax.huber_loss(outputs, y, delta=1.0)
        case "output":
            return outputs


def metric_total(objective: Objective, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """The sum for `gradrace.objective.metric_of`."""
    match objective.metric:
        case "accuracy" if objective.loss == "binary_cross_entropy":
            return ((outputs[..., 0] > 0.0) == y).sum()
        case "accuracy":
            return (outputs.argmax(axis=-1) == y).sum()
        case "r2":
            return jnp.square(outputs - y).sum()
        case "negative_loss":
            return jnp.zeros((), jnp.int32)


def penalty(amounts: Amounts, kernels: Iterable[jax.Array]) -> jax.Array | float:
    """L1 and L2 of these kernels; 0.0, and no operation, without them."""
    total: jax.Array | float = 0.0
    for kernel in kernels:
        total += amounts["l1"] * jnp.abs(kernel).sum() if "l1" in amounts else 0.0
        total += amounts["half_l2"] * jnp.square(kernel).sum() if "half_l2" in amounts else 0.0
    return total


def clipped(amounts: Amounts, gradients: Any) -> Any:
    """Gradients, any tree of them, scaled to a global norm of at most clip_norm."""
    if "clip_norm" not in amounts:
        return gradients
    # A norm of zero gives infinity, and so 1.
    factor = jnp.minimum(1.0, amounts["clip_norm"] / optax.global_norm(gradients))
    return jax.tree.map(lambda gradient: gradient * factor, gradients)
