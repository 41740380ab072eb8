"""Losses and metrics without tensors: a step's numbers, the targets, and the metric from sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, NamedTuple, Self

import numpy as np

from .layers import BuiltLayer, Dropout, Embedding, Flatten, Layer, Shape, build
from .spec import LABEL_LOSSES, NUMBER_LOSSES, Loss, Metric, TaskSpec


class Objective(NamedTuple):
    """Loss and metric of a task, as TaskSpec defines them; their numbers are `amounts`."""

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
    """The numbers that a step computes with, without those that the task does not use.

    l1, half_l2, decay, clip_norm: see Regularization. kept, spread: label smoothing, the targets
    are kept at the label plus spread everywhere. "scale <layer>": the factor of a dropout whose
    masks the harness draws. A program that takes them as arguments serves all their values: it may
    depend on which there are, on nothing else."""
    rules, smoothing = task.regularization, task.label_smoothing
    given = {"l1": rules.l1, "half_l2": 0.5 * rules.l2}
    given |= {"decay": rules.decay, "clip_norm": rules.clip_norm}
    found = {name: value for name, value in given.items() if value}
    if smoothing:
        of = 2 if task.loss == "binary_cross_entropy" else classes
        found |= {"kept": 1.0 - smoothing, "spread": smoothing / of}
    fed = fed_dropouts(build(task.model, task.input_shape))
    return found | {
        scale_of(built.name): 1.0 / (1.0 - built.layer.rate)
        for built in fed
        if isinstance(built.layer, Dropout)
    }


def scale_of(dropout: str) -> str:
    """The name among `amounts` of the factor of this dropout layer."""
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
    """Equal for tasks that differ in the values of `amounts` alone: one program serves them."""
    rules = {name: float(bool(value)) for name, value in dict(task.regularization).items()}
    changed = {
        "regularization": task.regularization.model_copy(update=rules),
        "label_smoothing": 0.5 if task.label_smoothing else 0.0,
        "model": without_amounts(task.model),
    }
    return task.model_copy(update=changed)


def takes_integers(model: tuple[Layer, ...]) -> bool:
    """Whether samples are integers, rows of an embedding, that must not become floats."""
    first = next((layer for layer in model if not isinstance(layer, Flatten)), None)
    return isinstance(first, Embedding)


def targets(loss: Loss, y: np.ndarray, dtype: str, shape: Shape) -> np.ndarray:
    """Labels as int64[n, ...], or targets of a regression as `dtype`[n, *shape]; y's own memory if
    it is such an array.

    shape: of a model's output. ValueError if the targets of a regression have another one."""
    if loss in LABEL_LOSSES:
        return y.astype(np.int64, copy=False)
    if loss in NUMBER_LOSSES:
        if y[0].size != prod(shape):
            raise ValueError(
                f"{loss} of outputs of shape {shape} wants targets of that shape, not of"
                f" {y.shape[1:]}"
            )
        y = y.reshape(len(y), *shape)
    return y.astype(dtype, copy=False)


def metric_of(objective: Objective, total: float, loss: float, y: np.ndarray) -> float:
    """The metric of a whole split from its mean loss, its y, and a total over its entries.

    total: right answers for accuracy, squared residuals for r2, unused for negative_loss."""
    match objective.metric:
        case "accuracy":
            return total / y.size
        case "r2":
            around = np.subtract(y, y.mean(dtype=np.float64), dtype=np.float64)
            return 1.0 - total / float(np.square(around, out=around).sum())
        case "negative_loss":
            return -loss


def fed_dropouts(layers: Iterable[BuiltLayer]) -> tuple[BuiltLayer, ...]:
    """The dropout layers whose masks the harness draws, in order, without those of rate 0."""
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
