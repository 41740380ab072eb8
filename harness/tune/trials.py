"""A trial: how it ended, judged from the records of its runs, and which of several is the best.
Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..data import chance
from ..record import RunRecord, Summary
from ..spec import TaskSpec
from .samplers import Told
from .study import higher_is_better

State = Literal["ok", "diverged", "failed", "skipped", "unfinished"]


@dataclass(frozen=True)
class Trial:
    """A trial that ended. score: mean over its runs of the final validation metric (the validation
    loss where that is searched by), None unless it is ok; loss: of the final validation loss, which
    decides between equal scores."""

    number: int
    settings: Mapping[str, float]
    state: State
    score: float | None = None
    loss: float | None = None
    reason: str = ""
    digests: tuple[str, ...] = ()


def final_score(summary: Summary | None, higher: bool, split: str = "validation") -> float | None:
    """Of a run at the end of its budget: the metric, or the loss where less is better. None where
    it is not finite.
    """
    if summary is None:
        return None
    names = {
        "validation": ("final_validation_metric", "final_validation_loss"),
        "test": ("test_metric", "test_loss"),
    }
    value: float | None = getattr(summary, names[split][0 if higher else 1])
    return value


def judged(number: int, settings: Mapping[str, float], records: Sequence[RunRecord]) -> Trial:
    """A trial from the records of all its runs. One that failed makes it failed, one that diverged
    makes it diverged.
    """
    digests = tuple(record.digest for record in records)
    for state, statuses in (
        ("skipped", ("skipped",)),
        ("failed", ("failed", "timeout")),
        ("diverged", ("diverged",)),
    ):
        bad = [record for record in records if record.status in statuses]
        if bad:
            return Trial(number, settings, state, reason=bad[0].reason, digests=digests)  # type: ignore[arg-type]
    higher = higher_is_better(records[0].spec.task)
    scores = [final_score(record.summary, higher) for record in records]
    losses = [
        record.summary.final_validation_loss if record.summary else None for record in records
    ]
    if any(score is None for score in scores):
        return Trial(
            number, settings, "diverged", reason="the score is not a finite number", digests=digests
        )
    loss = None if None in losses else float(np.mean(losses))  # type: ignore[arg-type]
    return Trial(number, settings, "ok", float(np.mean(scores)), loss, digests=digests)  # type: ignore[arg-type]


def best_of(trials: Iterable[Trial], higher: bool) -> Trial | None:
    """The best score; among equals the lowest loss, then the first."""

    def rank(trial: Trial) -> tuple[float, float, int]:
        assert trial.score is not None, "only trials that ended ok are ranked"
        return (
            (-trial.score if higher else trial.score),
            math.inf if trial.loss is None else trial.loss,
            trial.number,
        )

    return min((trial for trial in trials if trial.state == "ok"), key=rank, default=None)


def worst_score(trials: Iterable[Trial], higher: bool, level: float | None = None) -> float | None:
    """What a diverged trial counts for: chance (`level`, see chance_level), or the worst score of a
    trial that ended ok if that is worse. None if neither is known."""
    return chance.floor(level, [trial.score for trial in trials if trial.score is not None], higher)


def chance_level(task: TaskSpec, split: str = "validation") -> float | None:
    """What chance scores on the split, in what the task is searched by: the metric, or the loss.
    None if unknown.
    """
    found = chance.of(task, split)
    level = found.metric if higher_is_better(task) else found.loss
    return level if math.isfinite(level) else None


def told(trials: Sequence[Trial], higher: bool, level: float | None = None) -> list[Told]:
    """What a sampler is told: a diverged trial has `worst_score`, a failed one has no score."""
    worst = worst_score(trials, higher, level)
    return [
        Told(trial.settings, worst if trial.state == "diverged" else trial.score)
        for trial in trials
    ]
