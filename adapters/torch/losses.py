"""Losses, metrics and penalties of gradrace.spec with torch's own functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from gradrace.adapters.torch.batches import viewed
from gradrace.adapters.torch.graph import multiply
from gradrace.layers import Shape
from gradrace.objective import targets
from gradrace.spec import Regularization, TaskSpec
from torch import Tensor
from torch.nn import functional

Criterion = Callable[[Tensor, Tensor], Tensor]


def prepared(task: TaskSpec, output_shape: Shape, y: np.ndarray, dtype: torch.dtype) -> Tensor:
    """gradrace.objective.targets, converted once for criterion and metric.

    A binary task's classes become smoothed probabilities of the outputs' shape. ValueError as for
    `targets`.
    """
    # Through float64: torch's dtypes have no name that NumPy knows.
    given = viewed(targets(task.loss, y, "float64", output_shape))
    if task.loss == "binary_cross_entropy":
        probabilities = given.to(dtype).reshape(len(y), *output_shape)
        return (1.0 - task.label_smoothing) * probabilities + 0.5 * task.label_smoothing
    return given.to(dtype) if given.is_floating_point() else given


def criterion(task: TaskSpec, output_shape: Shape) -> Criterion:
    """(outputs, prepared y) -> the mean loss."""
    if task.loss == "softmax_cross_entropy":
        smoothed = partial(functional.cross_entropy, label_smoothing=task.label_smoothing)
        entropy = smoothed if task.label_smoothing else functional.cross_entropy
        return entropy if len(output_shape) == 1 else _over_all_axes(entropy)
    return _CRITERIA[task.loss]


def _over_all_axes(entropy: Criterion) -> Criterion:
    """torch expects classes on axis 1; here they are on the last one."""
    return lambda logits, y: entropy(logits.flatten(0, -2), y.flatten())


_CRITERIA: dict[str, Criterion] = {
    "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
    "mean_squared_error": functional.mse_loss,
    "huber": functional.huber_loss,
    "output": lambda outputs, y: outputs.mean(),
}


def metric(task: TaskSpec, outputs: Tensor, y: Tensor) -> float:
    """The task's metric of (outputs, prepared y); sums in float64."""
    if task.metric == "accuracy":
        if task.loss == "binary_cross_entropy":
            return float(((outputs > 0.0) == (y > 0.5)).double().mean())
        return float((outputs.argmax(dim=-1) == y).double().mean())
    if task.metric == "r2":
        outputs, y = outputs.double(), y.double()
        return float(1.0 - (outputs - y).square().sum() / (y - y.mean()).square().sum())
    return -float(criterion(task, tuple(outputs.shape[1:]))(outputs, y))


def metric_total(task: TaskSpec, outputs: Tensor, y: Tensor) -> Tensor:
    """The sum for `gradrace.objective.metric_of`, float64."""
    if task.metric == "accuracy":
        if task.loss == "binary_cross_entropy":
            return ((outputs > 0.0) == (y > 0.5)).double().sum()
        return (outputs.argmax(dim=-1) == y).double().sum()
    if task.metric == "r2":
        return (outputs.double() - y.double()).square().sum()
    return torch.zeros((), dtype=torch.float64)


def penalty(regularization: Regularization, kernels: list[Tensor]) -> Callable[[], Tensor] | None:
    """Added to every batch's loss: l1 * sum|w| + l2 / 2 * sum w^2; None if that is nothing."""
    l1, half_l2 = regularization.l1, 0.5 * regularization.l2
    if not kernels or not (l1 or half_l2):
        return None

    def total() -> Tensor:
        terms = [l1 * w.abs().sum() for w in kernels] if l1 else []
        terms += [half_l2 * w.square().sum() for w in kernels] if half_l2 else []
        return torch.stack(terms).sum()

    return total


def before_update(
    regularization: Regularization, parameters: list[Tensor], kernels: list[Tensor]
) -> Callable[[float | Tensor], None] | None:
    """Clips by the global norm, then decays the kernels, at a learning rate; None if it does
    nothing."""
    clip_norm, decay = regularization.clip_norm, regularization.decay
    if not clip_norm and not (decay and kernels):
        return None

    @torch.no_grad()
    def apply(rate: float | Tensor) -> None:
        if clip_norm:
            _clip([p.grad for p in parameters if p.grad is not None], clip_norm)
        if decay and kernels:
            multiply(kernels, 1.0 - rate * decay)

    return apply


def _clip(gradients: list[Tensor], clip_norm: float) -> None:
    """Times min(1, clip_norm / norm), 1 for a norm of 0; torch's own adds 1e-6 to the norm."""
    norm = torch.nn.utils.get_total_norm(gradients)
    torch._foreach_mul_(gradients, (clip_norm / norm).clamp(max=1.0))
