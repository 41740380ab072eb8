"""What is left of losses and metrics when the frameworks' tensors are taken out: their definition and NumPy ends."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple, Self

import numpy as np

from .layers import BuiltLayer, Dropout, Embedding, Flatten, Layer, Shape
from .spec import Loss, Metric, Regularization, TaskSpec

_CLASSES = ("softmax_cross_entropy", "binary_cross_entropy")
_REGRESSION = ("mean_squared_error", "huber")


class Objective(NamedTuple):
    """All of a task that a compiled step holds beside its model; see TaskSpec and Regularization for the meaning."""

    loss: Loss
    label_smoothing: float
    metric: Metric
    regularization: Regularization

    @classmethod
    def of(cls, task: TaskSpec) -> Self:
        """The task's."""
        return cls(task.loss, task.label_smoothing, task.metric, task.regularization)


def takes_integers(model: tuple[Layer, ...]) -> bool:
    """Whether samples are integers, rows of an embedding, which no float type may touch."""
    first = next((layer for layer in model if not isinstance(layer, Flatten)), None)
    return isinstance(first, Embedding)


def targets(loss: Loss, y: np.ndarray, dtype: str, shape: Shape) -> np.ndarray:
    """Labels as int64[n, ...], or for a regression the targets as `dtype`[n, *shape], the shape of a model's output.

    ValueError where the targets of a regression are not of that shape.
    """
    if loss in _CLASSES:
        return y.astype(np.int64)
    if loss in _REGRESSION:
        if y[0].size != prod(shape):
            raise ValueError(f"{loss} of outputs of shape {shape} wants targets of that shape, not of {y.shape[1:]}")
        y = y.reshape(len(y), *shape)
    return y.astype(dtype)


def metric_of(objective: Objective, total: float, loss: float, y: np.ndarray) -> float:
    """The metric of a whole split from its mean loss, its y, and a sum over its entries.

    total: the number of right answers for accuracy; the sum of squared residuals for r2; anything for negative_loss.
    """
    match objective.metric:
        case "accuracy":
            return total / y.size
        case "r2":
            return 1.0 - total / float(np.square(y - y.mean(dtype=np.float64), dtype=np.float64).sum())
        case "negative_loss":
            return -loss


def fed_dropouts(layers: Iterable[BuiltLayer]) -> tuple[BuiltLayer, ...]:
    """The dropout layers whose masks the harness draws, in the model's order; those of rate 0 keep everything."""
    return tuple(b for b in dropouts(layers) if isinstance(b.layer, Dropout) and b.layer.masks == "harness")


def dropouts(layers: Iterable[BuiltLayer]) -> tuple[BuiltLayer, ...]:
    """The dropout layers that drop something."""
    return tuple(built for built in layers if isinstance(built.layer, Dropout) and built.layer.rate)


def kernels(layers: Iterable[BuiltLayer]) -> tuple[str, ...]:
    """Names of the parameters that L1, L2 and decoupled decay act on."""
    return tuple(parameter.name for built in layers for parameter in built.parameters if parameter.role == "kernel")
