"""What is left of losses and metrics when the frameworks' tensors are taken out: their definition
and NumPy ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, NamedTuple, Self

import numpy as np

from .layers import BuiltLayer, Dropout, Embedding, Flatten, Layer, Shape, build
from .spec import Loss, Metric, TaskSpec

_CLASSES = ("softmax_cross_entropy", "binary_cross_entropy")
_REGRESSION = ("mean_squared_error", "huber")


class Objective(NamedTuple):
    """Loss and metric of a task; see TaskSpec for the meaning. Its numbers are `amounts`."""

    loss: Loss
    metric: Metric

    @classmethod
    def of(cls, task: TaskSpec) -> Self:
        """The task's."""
        return cls(task.loss, task.metric)


# Numbers of a task by name; see `amounts`. An adapter may put arguments of a compiled program in
# their place.
Amounts = Mapping[str, Any]


def amounts(task: TaskSpec, classes: int) -> dict[str, float]:
    """The numbers that a step computes with; those of what a task does not have are left out.

    l1, half_l2, decay, clip_norm: see Regularization. kept, spread: label smoothing, targets become
    kept at the label plus spread everywhere. "scale <layer>": what a dropout with masks of the
    harness multiplies by. A program that takes them as arguments serves all their values, so which
    ones there are is all that it may decide by."""
    rules, smoothing = task.regularization, task.label_smoothing
    found = {
        "l1": rules.l1,
        "half_l2": 0.5 * rules.l2,
        "decay": rules.decay,
        "clip_norm": rules.clip_norm,
    }
    found = {name: value for name, value in found.items() if value}
    if smoothing:
        binary = task.loss == "binary_cross_entropy"
        found |= {
            "kept": 1.0 - smoothing,
            "spread": 0.5 * smoothing if binary else smoothing / classes,
        }
    fed = fed_dropouts(build(task.model, task.input_shape))
    return found | {
        scale_of(built.name): 1.0 / (1.0 - built.layer.rate)
        for built in fed
        if isinstance(built.layer, Dropout)
    }


def scale_of(dropout: str) -> str:
    """The name among `amounts` of what the dropout layer of this name multiplies by."""
    return f"scale {dropout}"


def without_amounts(model: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The model with one rate for all dropouts whose rate is among `amounts`."""
    return tuple(
        (
            layer.model_copy(update={"rate": 0.5})
            if isinstance(layer, Dropout) and layer.masks == "harness" and layer.rate
            else layer
        )
        for layer in model
    )


def alike(task: TaskSpec) -> TaskSpec:
    """Equal for tasks that differ in the values of `amounts` alone, which one compiled program
    serves.
    """
    rules = {
        name: 1.0 if value else 0.0 for name, value in task.regularization.model_dump().items()
    }
    changed = {
        "regularization": task.regularization.model_copy(update=rules),
        "label_smoothing": 0.5 if task.label_smoothing else 0.0,
        "model": without_amounts(task.model),
    }
    return task.model_copy(update=changed)


def takes_integers(model: tuple[Layer, ...]) -> bool:
    """Whether samples are integers, rows of an embedding, which no float type may touch."""
    first = next((layer for layer in model if not isinstance(layer, Flatten)), None)
    return isinstance(first, Embedding)


def targets(loss: Loss, y: np.ndarray, dtype: str, shape: Shape) -> np.ndarray:
    """Labels as int64[n, ...], or for a regression the targets as `dtype`[n, *shape], the shape of
    a model's output.

    ValueError where the targets of a regression are not of that shape.
    """
    if loss in _CLASSES:
        return y.astype(np.int64)
    if loss in _REGRESSION:
        if y[0].size != prod(shape):
            raise ValueError(
                f"{loss} of outputs of shape {shape} wants targets of that shape, not of"
                f" {y.shape[1:]}"
            )
        y = y.reshape(len(y), *shape)
    return y.astype(dtype)


def metric_of(objective: Objective, total: float, loss: float, y: np.ndarray) -> float:
    """The metric of a whole split from its mean loss, its y, and a sum over its entries.

    total: the number of right answers for accuracy; the sum of squared residuals for r2; anything
    for negative_loss."""
    match objective.metric:
        case "accuracy":
            return total / y.size
        case "r2":
            return 1.0 - total / float(
                np.square(y - y.mean(dtype=np.float64), dtype=np.float64).sum()
            )
        case "negative_loss":
            return -loss


def fed_dropouts(layers: Iterable[BuiltLayer]) -> tuple[BuiltLayer, ...]:
    """The dropout layers whose masks the harness draws, in the model's order; those of rate 0 keep
    everything.
    """
    return tuple(
        b for b in dropouts(layers) if isinstance(b.layer, Dropout) and b.layer.masks == "harness"
    )


def dropouts(layers: Iterable[BuiltLayer]) -> tuple[BuiltLayer, ...]:
    """The dropout layers that drop something."""
    return tuple(built for built in layers if isinstance(built.layer, Dropout) and built.layer.rate)


def kernels(layers: Iterable[BuiltLayer]) -> tuple[str, ...]:
    """Names of the parameters that L1, L2 and decoupled decay act on."""
    return tuple(
        parameter.name
        for built in layers
        for parameter in built.parameters
        if parameter.role == "kernel"
    )
