"""Losses, metrics, penalties, clipping and decay of many runs at once, each by its own numbers.

What has a leading axis of lanes gives a tensor [lanes]. Numbers of a run are those of
gradrace.objective.amounts, here [lanes] each, in float32 at least.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from gradrace.adapters.torch.batches import viewed
from gradrace.layers import Shape
from gradrace.objective import targets
from gradrace.spec import TaskSpec
from torch import Tensor
from torch.nn import functional

Amounts = Mapping[str, Tensor]
LaneLoss = Callable[[Tensor, Tensor], Tensor]


def prepared(task: TaskSpec, output_shape: Shape, y: np.ndarray, dtype: torch.dtype) -> Tensor:
    """gradrace.objective.targets; a binary task's classes in the outputs' shape and dtype."""
    given = viewed(targets(task.loss, y, "float64", output_shape))
    if task.loss == "binary_cross_entropy":
        return given.to(dtype).reshape(len(y), *output_shape)
    return given.to(dtype) if given.is_floating_point() else given


def criterion(task: TaskSpec, amounts: Amounts) -> LaneLoss:
    """(outputs [lanes, n, ...], prepared y [lanes, n, ...]) -> each lane's mean loss."""
    entries = _ENTRIES[task.loss]
    return lambda outputs, y: entries(outputs, y, amounts).flatten(1).mean(1)


# Of every entry: [lanes, n, ...].


def _softmax(outputs: Tensor, y: Tensor, amounts: Amounts) -> Tensor:
    flat, labels = outputs.flatten(0, -2), y.flatten()
    if "spread" not in amounts:
        return functional.cross_entropy(flat, labels, reduction="none").view_as(y)
    logs = functional.log_softmax(flat, -1)
    at_label = functional.nll_loss(logs, labels, reduction="none").view_as(y)
    kept, spread = (_along(amounts[name], y) for name in ("kept", "spread"))
    return kept * at_label - spread * logs.sum(-1).view_as(y)


def _binary(outputs: Tensor, y: Tensor, amounts: Amounts) -> Tensor:
    if "spread" in amounts:
        y = _along(amounts["kept"], y) * y + _along(amounts["spread"], y)
    return functional.binary_cross_entropy_with_logits(
        outputs, y.to(outputs.dtype), reduction="none"
    )


_ENTRIES: dict[str, Callable[[Tensor, Tensor, Amounts], Tensor]] = {
    "softmax_cross_entropy": _softmax,
    "binary_cross_entropy": _binary,
    "mean_squared_error": lambda outputs, y, _: functional.mse_loss(outputs, y, reduction="none"),
    "huber": lambda outputs, y, _: functional.huber_loss(outputs, y, reduction="none"),
    "output": lambda outputs, y, _: outputs,
}


def metric(task: TaskSpec, outputs: Tensor, y: Tensor, losses: Tensor) -> Tensor:
    """Each lane's metric of (outputs [lanes, n, ...], prepared y [n, ...]); sums in float64.

    losses: [lanes], of the same outputs.
    """
    if task.metric == "accuracy":
        binary = task.loss == "binary_cross_entropy"
        right = (outputs > 0.0) == (y > 0.5) if binary else outputs.argmax(dim=-1) == y
        return right.flatten(1).double().mean(1)
    if task.metric == "r2":
        y = y.double()
        residuals = (outputs.double() - y).square().flatten(1).sum(1)
        return 1.0 - residuals / (y - y.mean()).square().sum()
    return -losses


def metric_totals(task: TaskSpec, outputs: Tensor, y: Tensor) -> Tensor:
    """Each lane's sum for `gradrace.objective.metric_of`, float64."""
    if task.metric == "accuracy":
        binary = task.loss == "binary_cross_entropy"
        right = (outputs > 0.0) == (y > 0.5) if binary else outputs.argmax(dim=-1) == y
        return right.flatten(1).double().sum(1)
    if task.metric == "r2":
        return (outputs.double() - y.double()).square().flatten(1).sum(1)
    return outputs.new_zeros(len(outputs), dtype=torch.float64)


def penalty(amounts: Amounts, kernels: Sequence[Tensor]) -> Callable[[], Tensor] | None:
    """Added to each lane's loss: l1 * sum|w| + l2 / 2 * sum w^2; None if that is nothing."""
    if not kernels or not amounts.keys() & {"l1", "half_l2"}:
        return None

    def total() -> Tensor:
        terms = []
        if "l1" in amounts:
            terms += [amounts["l1"] * w.flatten(1).abs().sum(1) for w in kernels]
        if "half_l2" in amounts:
            terms += [amounts["half_l2"] * w.flatten(1).square().sum(1) for w in kernels]
        return torch.stack(terms).sum(0)

    return total


@torch.no_grad()
def clip(gradients: Sequence[Tensor], norms: Tensor) -> None:
    """Times min(1, norm / the lane's global norm), 1 for a norm of 0. norms: [lanes]."""
    found = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
    factors = (norms / torch.linalg.vector_norm(torch.stack(found), dim=0)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(_along(factors, gradient))


@torch.no_grad()
def decay(kernels: Sequence[Tensor], factors: Tensor) -> None:
    """Every kernel of a lane times the lane's factor. factors: [lanes]."""
    for kernel in kernels:
        kernel.mul_(_along(factors, kernel))


def _along(numbers: Tensor, tensor: Tensor) -> Tensor:
    """[lanes] as [lanes, 1, ...], to be combined with the tensor."""
    return numbers.view(-1, *(1 for _ in tensor.shape[1:]))
