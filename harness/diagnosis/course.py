"""A run as the rules read it: its curve, made smooth, and its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .. import data
from ..data import chance
from ..data.chance import Chance
from ..layers import Point, build
from ..record import RunRecord
from ..spec import TaskSpec
from .finding import Finding

# A window of the training loss is an epoch, but never so long that fewer than this many are left.
FEWEST_WINDOWS = 6
# With fewer evaluations, the first included, shapes of curves cannot be told apart.
FEWEST_EVALUATIONS = 4
# Of penalised training losses, how many batches stand for the start.
FIRST_BATCHES = 5


class Windows(NamedTuple):
    """Consecutive pieces of the training loss, float64[m] each: the mean, its standard error, the
    step that ends it."""

    means: np.ndarray
    errors: np.ndarray
    stops: np.ndarray


@dataclass(frozen=True)
class Course:
    """A convergence run's curve as the rules read it.

    train_losses float64[n], of every step's batch; eval_steps int64[k], validation_losses and
    validation_metrics float64[k]. epoch: steps in which every training sample is seen once.
    diverged: the run ended so, for `reason`. chance: loss and metric of the best constant
    prediction on the validation split; None if they are not known."""

    task: TaskSpec
    train_losses: np.ndarray
    eval_steps: np.ndarray
    validation_losses: np.ndarray
    validation_metrics: np.ndarray
    epoch: int = 1
    diverged: bool = False
    reason: str = ""
    chance: Chance | None = None

    @property
    def generalises(self) -> bool:
        """Whether there are samples to fit: not if the task is a function of a point."""
        return not any(isinstance(layer, Point) for layer in self.task.model)

    @property
    def reached(self) -> bool:
        """Whether the validation metric ever reached the target."""
        return bool((self.validation_metrics >= self.task.target).any())

    @property
    def judgeable(self) -> bool:
        """Whether the curve is long enough, and finite, for rules about its shape."""
        both = (self.train_losses, self.validation_losses)
        return all(len(of) >= FEWEST_EVALUATIONS and bool(np.isfinite(of).all()) for of in both)

    @cached_property
    def windows(self) -> Windows:
        """The training loss averaged over pieces of an epoch's length."""
        n = len(self.train_losses)
        width = max(1, min(self.epoch, n // FEWEST_WINDOWS))
        pieces = np.array_split(self.train_losses, max(1, n // width))
        sizes = np.array([len(piece) for piece in pieces])
        means = np.array([piece.mean() for piece in pieces])
        spreads = np.array([piece.std(ddof=1) if len(piece) > 1 else 0.0 for piece in pieces])
        return Windows(means, spreads / np.sqrt(sizes), np.cumsum(sizes))

    @property
    def penalised(self) -> bool:
        """Whether training losses hold an L1 or L2 penalty, which validation losses never do."""
        return bool(self.task.regularization.l1 or self.task.regularization.l2)

    @property
    def start(self) -> float:
        """The loss before anything was learnt, without a penalty: that of the validation split,
        free of the noise of batches."""
        return float(self.validation_losses[0])

    @cached_property
    def train_start(self) -> float:
        """The same with the penalty, if training losses hold one: the median of the first batches,
        lowered if the rate made the later ones worse. To be compared with training losses only."""
        if not self.penalised:
            return self.start
        first = self.train_losses
        return min(float(np.median(first[:FIRST_BATCHES])), max(float(first[0]), self.start))

    @cached_property
    def scale(self) -> float:
        """The unit of moves of validation losses: the size of the first loss, or the largest if
        that is 0. A loss that goes below 0 may begin close to 0: then its fall, if that is more."""
        size = abs(self.start) or float(np.abs(self.train_losses).max())
        lowest = float(self.validation_losses.min())
        return max(size, self.start - lowest) if lowest < 0 else size

    @cached_property
    def train_scale(self) -> float:
        """The unit of moves of training losses: `scale`, or if they hold a penalty, the size of
        their own first."""
        return max(abs(self.train_start), self.scale) if self.penalised else self.scale

    @cached_property
    def floor(self) -> float:
        """The least possible loss: with smoothed labels a perfect prediction still has the entropy
        of its target."""
        smoothing = self.task.label_smoothing
        if not smoothing:
            return 0.0
        shape = build(self.task.model, self.task.input_shape)[-1].output_shape
        classes = 2 if self.task.loss == "binary_cross_entropy" else shape[-1]
        targets = np.full(classes, smoothing / classes)
        targets[0] += 1.0 - smoothing
        used = targets[targets > 0]
        return min(float(-(used * np.log(used)).sum()), self.start)

    @cached_property
    def unit(self) -> float:
        """The unit of levels of losses, above `floor`: the first loss, or that of the best constant
        prediction if it is lower, so that a bad start does not make a model look good."""
        level = self.chance.loss if self.chance else 0.0
        least = min(self.scale, level) if level > 0 else self.scale
        return max(least - self.floor, 0.0) or self.scale

    def level(self, loss: float) -> float:
        """A loss above `floor`, in `unit`."""
        return (loss - self.floor) / self.unit

    @property
    def fitted(self) -> float:
        """How far samples were fitted: the last window of training losses, or the last validation
        loss if that is lower, as it may be under a penalty or dropout, which validation losses do
        not have."""
        return min(self.end, float(self.validation_losses[-1]))

    @property
    def end(self) -> float:
        """The mean of the last window."""
        return float(self.windows.means[-1])

    @property
    def fall(self) -> float:
        """The share of its scale by which the validation loss fell, or the smoothed training loss
        if that is more. Each is measured from its own start: on few samples the two begin apart."""
        means, losses = self.windows.means, self.validation_losses
        # The share of a loss that began at next to nothing may be more than a float can hold.
        with np.errstate(over="ignore"):
            trained = (means[0] - means.min()) / self.train_scale
            return float(max(trained, (losses[0] - losses.min()) / self.scale))

    def smooth_at(self, step: int) -> float:
        """The smoothed training loss after so many steps."""
        means, stops = self.windows.means, self.windows.stops
        return float(means[min(int(np.searchsorted(stops, step, side="right")), len(stops) - 1)])

    def unremarkable(self) -> Finding:
        """The finding if no rule speaks."""
        step = int(self.eval_steps[-1]) if len(self.eval_steps) else 0
        if not self.judgeable:
            found = f"{len(self.validation_losses)} evaluations and {len(self.train_losses)} steps"
            reason = f"Too short to say more than that nothing went wrong: {found}."
            return Finding("unjudged", "none", step, reason)
        best = int(np.argmin(self.validation_losses))
        return Finding(
            "healthy",
            "none",
            step,
            f"The training loss went from {self.train_start:.3g} to {self.end:.3g}; the validation"
            f" loss was lowest, {self.validation_losses[best]:.3g}, after {self.eval_steps[best]}"
            f" of {step} steps; the target was {'reached' if self.reached else 'missed'}.",
        )


def course_of(record: RunRecord, curve: Mapping[str, Any]) -> Course:
    """The course of a stored run, from the columns step, series and value of its curve."""
    series, values = np.asarray(curve["series"], str), np.asarray(curve["value"], np.float64)
    task, evaluated = record.spec.task, series == "validation_loss"
    return Course(
        task,
        values[series == "train_loss"],
        np.asarray(curve["step"])[evaluated].astype(np.int64),
        values[evaluated],
        values[series == "validation_metric"],
        steps_of_epoch(task),
        record.status == "diverged",
        record.reason,
        chance.of(task),
    )


def steps_of_epoch(task: TaskSpec) -> int:
    """Batches in an epoch; of data that are not known here, the steps between evaluations."""
    try:
        samples = int(data.training_samples(task.data) * task.train_fraction)
    except ValueError:
        return task.eval_every
    return max(1, samples // task.batch_size)
