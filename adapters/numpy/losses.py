"""Losses, metrics and penalties of gradrace.spec in NumPy float64, written from the formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from gradrace.spec import Regularization, TaskSpec
from scipy.special import expit

Array = np.ndarray


def loss_and_gradient(task: TaskSpec, outputs: Array, y: Array) -> tuple[float, Array]:
    """The task's mean loss of these outputs, and its gradient by them."""
    return _LOSSES[task.loss](outputs, y, task.label_smoothing)


def metric(task: TaskSpec, outputs: Array, y: Array) -> float:
    """The task's metric, the higher the better."""
    if task.metric == "accuracy":
        return float((_predicted(task, outputs) == y).mean())
    if task.metric == "r2":
        residuals = ((outputs - y.reshape(outputs.shape)) ** 2).sum()
        return float(1.0 - residuals / ((y - y.mean()) ** 2).sum())
    return -loss_and_gradient(task, outputs, y)[0]


def _predicted(task: TaskSpec, outputs: Array) -> Array:
    """The most probable class; for logits [n, 1] of a binary task, the sign."""
    if task.loss == "binary_cross_entropy":
        return (outputs[..., 0] > 0.0).astype(np.int64)
    return outputs.argmax(axis=-1)


def penalty(
    regularization: Regularization, kernels: Mapping[str, Array]
) -> tuple[float, dict[str, Array]]:
    """l1 * sum|w| + l2 / 2 * sum w^2, and its gradient by each kernel (|w|' is 0 at 0)."""
    l1, l2 = regularization.l1, regularization.l2
    value = sum(l1 * np.abs(w).sum() + 0.5 * l2 * (w * w).sum() for w in kernels.values())
    return float(value), {name: l1 * np.sign(w) + l2 * w for name, w in kernels.items()}


def clipped(gradients: Mapping[str, Array], clip_norm: float) -> dict[str, Array]:
    """All times min(1, clip_norm / global norm) (Pascanu et al., 2013, Algorithm 1)."""
    norm = np.sqrt(sum((gradient * gradient).sum() for gradient in gradients.values()))
    scale = clip_norm / norm if norm > clip_norm else 1.0
    return {name: scale * gradient for name, gradient in gradients.items()}


def _softmax_cross_entropy(logits: Array, y: Array, smoothing: float) -> tuple[float, Array]:
    """Targets are 1 - s at the label plus s / classes everywhere (Szegedy et al., 2016, sec. 7)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    classes = logits.shape[-1]
    targets = (1.0 - smoothing) * np.eye(classes)[y] + smoothing / classes
    return float(-(targets * log_p).sum(axis=-1).mean()), (np.exp(log_p) - targets) / y.size


def _binary_cross_entropy(logits: Array, y: Array, smoothing: float) -> tuple[float, Array]:
    """log(1 + e^z) - target * z for the logit z of class 1; smoothing as with two classes."""
    targets = (1.0 - smoothing) * y.reshape(logits.shape) + 0.5 * smoothing
    losses = np.logaddexp(0.0, logits) - targets * logits
    return float(losses.mean()), (expit(logits) - targets) / logits.size


def _mean_squared_error(outputs: Array, y: Array, smoothing: float) -> tuple[float, Array]:
    error = outputs - y.reshape(outputs.shape)
    return float((error**2).mean()), 2.0 * error / error.size


def _huber(outputs: Array, y: Array, smoothing: float) -> tuple[float, Array]:
    """Huber (1964) with delta 1: e^2 / 2 up to |e| = 1, |e| - 1/2 beyond."""
    error = outputs - y.reshape(outputs.shape)
    size = np.abs(error)
    losses = np.where(size <= 1.0, 0.5 * error**2, size - 0.5)
    return float(losses.mean()), np.clip(error, -1.0, 1.0) / error.size


def _output(outputs: Array, y: Array, smoothing: float) -> tuple[float, Array]:
    return float(outputs.mean()), np.full_like(outputs, 1.0 / outputs.size)


_LOSSES: Mapping[str, Callable[[Array, Array, float], tuple[float, Array]]] = {
    "softmax_cross_entropy": _softmax_cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "mean_squared_error": _mean_squared_error,
    "huber": _huber,
    "output": _output,
}
