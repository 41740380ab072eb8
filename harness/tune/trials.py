"""How a trial ended, from its runs' records, and the best of several. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
    """A trial that ended.

    score: mean over its runs of the final validation metric (or loss, see higher_is_better); None
    unless it is ok. loss: mean final validation loss, which decides between equal scores."""

    number: int
    settings: Mapping[str, float]
    state: State
    score: float | None = None
    loss: float | None = None
    reason: str = ""
    digests: tuple[str, ...] = ()


def final_score(summary: Summary | None, higher: bool, split: str = "validation") -> float | None:
    """A run's metric at the end of its budget, or loss if less is better. None if not finite."""
    if summary is None:
        return None
    kind, prefix = "metric" if higher else "loss", "final_" if split == "validation" else ""
    value: float | None = getattr(summary, f"{prefix}{split}_{kind}")
    return value


def judged(number: int, settings: Mapping[str, float], records: Sequence[RunRecord]) -> Trial:
    """A trial from the records of all its runs; the worst of them decides its state."""
    made = partial(Trial, number, settings, digests=tuple(record.digest for record in records))
    for state, statuses in _WORST_FIRST.items():
        bad = [record for record in records if record.status in statuses]
        if bad:
            return made(state, reason=bad[0].reason)
    higher = higher_is_better(records[0].spec.task)
    scores = [final_score(record.summary, higher) for record in records]
    if any(score is None for score in scores):
        return made("diverged", reason="the score is not a finite number")
    losses = [final_score(record.summary, higher=False) for record in records]
    loss = None if None in losses else float(np.mean(losses))  # type: ignore[arg-type]
    return made("ok", float(np.mean(scores)), loss)  # type: ignore[arg-type]


# State of a trial -> statuses of a run that make it so.
_WORST_FIRST: dict[State, tuple[str, ...]] = {
    "skipped": ("skipped",),
    "failed": ("failed", "timeout"),
    "diverged": ("diverged",),
}


def best_of(trials: Iterable[Trial], higher: bool) -> Trial | None:
    """The best score; among equal ones the lowest loss, then the first trial."""

    def rank(trial: Trial) -> tuple[float, float, int]:
        assert trial.score is not None, "only trials that ended ok are ranked"
        loss = math.inf if trial.loss is None else trial.loss
        return -trial.score if higher else trial.score, loss, trial.number

    return min((trial for trial in trials if trial.state == "ok"), key=rank, default=None)


def worst_score(trials: Iterable[Trial], higher: bool, level: float | None = None) -> float | None:
    """The score of a diverged trial: chance (`level`), or the worst ok trial's if that is worse.

    None if neither is known."""
    return chance.floor(level, [trial.score for trial in trials if trial.score is not None], higher)


def chance_level(task: TaskSpec, split: str = "validation") -> float | None:
    """The score of chance on the split: metric or loss, as the search uses. None if unknown."""
    found = chance.of(task, split)
    level = found.metric if higher_is_better(task) else found.loss
    return level if math.isfinite(level) else None


def told(trials: Sequence[Trial], higher: bool, level: float | None = None) -> list[Told]:
    """The trials for a sampler: a diverged one has `worst_score`, a failed one has no score."""
    worst = worst_score(trials, higher, level)
    scores = (worst if trial.state == "diverged" else trial.score for trial in trials)
    return [Told(trial.settings, score) for trial, score in zip(trials, scores, strict=True)]
