"""The score without learning: the best constant prediction on a split.

A diverged run counts as chance, or as the worst score of a finished run of its task if that is
lower (`floor`): a run without a result never stands above one that has a result."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .. import data
from ..errors import UserError
from ..layers import Layer, Point, build
from ..spec import NUMBER_LOSSES, Loss, TaskSpec
from .points import surface

_GUESS = "guessing, 1 / classes (the data set is not at hand)"
_START = "the value at the start"
_ORIGIN = {
    "accuracy": "always predicting the commonest class of the split",
    "r2": "predicting the mean, R² = 0",
    "negative_loss": "the loss of the best constant prediction",
}


class Chance(NamedTuple):
    """metric: the higher the better. loss: without penalties. NaN: not known.

    samples: the size of the split, 0 if the data set is not at hand. origin: the prediction that
    scores this metric, in words."""

    metric: float
    loss: float
    samples: int
    origin: str


def of(task: TaskSpec, split: str = "validation") -> Chance:
    """The best constant prediction on this split of the task's data.

    accuracy: the share of the commonest class; r2: 0. Losses: cross entropy at the split's own
    frequencies of classes (smoothed like the task's targets), the mean squared error at the means,
    huber at the constants that minimise it. A function of a point: its value at the start. Without
    the data set, labels have 1 / classes and log(classes)."""
    if task.loss == "output":
        loss, samples, share = _start(task.model), 0, np.nan
    else:
        share, loss, samples = _of_data(task, split)
    metric = {"accuracy": share, "r2": 0.0, "negative_loss": -loss}[task.metric]
    guessed = task.metric == "accuracy" and not samples
    origin = _GUESS if guessed else _START if task.loss == "output" else _ORIGIN[task.metric]
    return Chance(metric, loss, samples, origin)


def floor(chance: float | None, scores: Iterable[float], higher: bool) -> float | None:
    """A diverged run's score: the worse of chance and the worst of these; None if none is known."""
    known = [*scores, *([] if chance is None or np.isnan(chance) else [chance])]
    return None if not known else min(known) if higher else max(known)


def _of_data(task: TaskSpec, split: str) -> tuple[float, float, int]:
    """Share of the commonest class (NaN of numbers), loss, number of samples."""
    classes = build(task.model, task.input_shape)[-1].output_shape[-1] if task.model else 1
    try:
        content = data.content(task.data) or ""
        return _constant(task.data, content, split, task.loss, task.label_smoothing, classes)
    except (ValueError, OSError, UserError):
        if task.loss in NUMBER_LOSSES:
            return np.nan, np.nan, 0
        classes = max(2, classes)
        return 1 / classes, float(np.log(classes)), 0


# Reading a large data set takes seconds; these are a few numbers of each, and of each content.
@lru_cache(maxsize=512)
def _constant(
    name: str, content: str, split: str, loss: Loss, smoothing: float, classes: int
) -> tuple[float, float, int]:
    y = data.load(name).splits[split].y
    if loss in NUMBER_LOSSES:
        columns = np.asarray(y, np.float64).reshape(len(y), -1)
        return np.nan, float(np.mean([_least(column, loss) for column in columns.T])), len(y)
    if not y.size:
        raise ValueError(f"{name}: no samples in {split}")
    classes = max(2, classes)
    shares = np.bincount(np.asarray(y, np.int64).ravel(), minlength=classes) / y.size
    targets = (1 - smoothing) * shares + smoothing / classes
    used = targets[targets > 0]
    return float(shares.max()), float(-(used * np.log(used)).sum()), len(y)


def _least(y: np.ndarray, loss: Loss) -> float:
    """The least mean loss of a constant against y[n]."""
    if loss == "mean_squared_error":
        return float(np.var(y))
    low, high = float(y.min()), float(y.max())
    for _ in range(100):
        # The mean huber loss has a monotonous derivative: bisection finds its zero.
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(y - middle, -1, 1).mean() > 0 else (low, middle)
    away = np.abs(y - (low + high) / 2)
    return float(np.where(away <= 1, away**2 / 2, away - 0.5).mean())


def _start(model: tuple[Layer, ...]) -> float:
    """The value of a function of a point at its start; NaN for other models."""
    first = model[0] if model else None
    if not isinstance(first, Point) or len(model) > 1:
        return np.nan
    start = np.array(first.start)
    if first.objective == "quadratic":
        curvatures = (
            np.geomspace(1.0, first.condition, len(start)) if len(start) > 1 else np.ones(1)
        )
        return float(0.5 * (curvatures * start**2).sum())
    return float(surface(first, *start))
