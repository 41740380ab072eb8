"""Scores of the contenders of a suite, on one scale over its tasks.

A contender is a series (optimizer and variant) in one setup; those of one setup are its pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...data import chance
from ...results.frame import Frames
from .endings import ATTEMPTED
from .rates import chosen

# A loss scores 0 here if chance is not known (gradrace.data.chance).
_START = "the mean validation loss before the first step"


@dataclass(frozen=True)
class Pool:
    """The contenders of one setup that were tried on every one of its tasks.

    scores: per contender one float[seeds] per task, chance 0 and target 1, higher better. attempts,
    diverged: numbers of runs per contender. left_out: contenders that lack some task, with these
    tasks."""

    setup: str
    tasks: tuple[str, ...]
    scores: dict[str, list[np.ndarray]]
    attempts: dict[str, int]
    diverged: dict[str, int]
    left_out: dict[str, tuple[str, ...]]

    @property
    def seeds(self) -> int:
        """The fewest runs of any contender on any task."""
        return min((task.size for tasks in self.scores.values() for task in tasks), default=0)


def ends(frames: Frames, picked: pd.DataFrame) -> pd.DataFrame:
    """One row a task: task, metric, zero, one (the metric's values that score 0 and 1), origin of
    the zero. A task is left out if its target does not lie above its zero: it cannot be scored."""
    starts = _starts(frames, picked)
    rows = []
    for task, runs in picked.groupby("task", sort=False):
        spec = frames.records[runs["digest"].iloc[0]].spec.task
        found = chance.of(spec)
        zero, origin = found.metric, found.origin
        if not np.isfinite(zero):
            zero, origin = starts.get(str(task), np.nan), _START
        if spec.target > zero:
            rows.append((task, spec.metric, zero, spec.target, origin))
    return pd.DataFrame(rows, columns=["task", "metric", "zero", "one", "origin"])


def _starts(frames: Frames, picked: pd.DataFrame) -> dict[str, float]:
    """Mean validation metric before the first step, of tasks that are measured by their loss."""
    lossy = [d for d in picked["digest"] if frames.records[d].spec.task.metric == "negative_loss"]
    if not lossy:
        return {}
    curves = frames.curves
    curves = curves[(curves["series"] == "validation_metric") & (curves["step"] == 0)]
    found = picked[["task", "digest"]].merge(curves.astype({"digest": "str"}), on="digest")
    means = found.groupby("task")["value"].mean()
    return {str(task): float(value) for task, value in means.items()}


def scores(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a run that was tried, at the chosen learning rate: task, setup, series, seed, digest,
    status, metric, score.

    The score is the final validation metric between the task's ends. A run that did not end ok
    counts as chance, 0, or as the least that any run of its task scored if that is less
    (chance.floor)."""
    picked = chosen(frames, suite)
    picked = picked[picked["status"].isin(ATTEMPTED)]
    scaled = picked.merge(ends(frames, picked)[["task", "zero", "one"]], on="task")
    ended = (scaled["status"] == "ok") & scaled["final_validation_metric"].notna()
    metric = scaled["final_validation_metric"].where(ended)
    score = (metric - scaled["zero"]) / (scaled["one"] - scaled["zero"])
    worst = score.groupby(scaled["task"]).transform(lambda of: chance.floor(0.0, of.dropna(), True))
    scaled = scaled.assign(metric=metric, score=score.fillna(worst))
    return scaled[["task", "setup", "series", "seed", "digest", "status", "metric", "score"]]


def pools(scored: pd.DataFrame) -> list[Pool]:
    """One pool of `scores` for each setup that has two contenders or more."""
    found = [_pool(str(setup), rows) for setup, rows in scored.groupby("setup", sort=False)]
    return [pool for pool in found if len(pool.scores) > 1]


def _pool(setup: str, rows: pd.DataFrame) -> Pool:
    tasks = tuple(dict.fromkeys(rows["task"]))
    tried: dict[str, dict[str, np.ndarray]] = {}
    for (series, task), runs in rows.groupby(["series", "task"], sort=False):
        tried.setdefault(str(series), {})[str(task)] = runs["score"].to_numpy(dtype=np.float64)
    whole = [name for name, of in tried.items() if len(of) == len(tasks)]
    runs_of = {name: rows.loc[rows["series"] == name, "status"] for name in whole}
    lacks = {name: tuple(t for t in tasks if t not in of) for name, of in tried.items()}
    return Pool(
        setup,
        tasks,
        scores={name: [tried[name][task] for task in tasks] for name in whole},
        attempts={name: len(statuses) for name, statuses in runs_of.items()},
        diverged={name: int((statuses == "diverged").sum()) for name, statuses in runs_of.items()},
        left_out={name: lacking for name, lacking in lacks.items() if lacking},
    )
