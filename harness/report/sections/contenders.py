"""Scores of what a suite compares, on one scale over its tasks: pure functions from frames to
arrays of seeds.

A contender is a series (optimizer and variant) in one setup; those of one setup are its pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...data import chance
from ...results.frame import Frames
from .. import tables

# Where chance is not known (gradrace.data.chance) a loss scores 0 here.
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
    the zero. Tasks whose target does not lie above their zero cannot be scored, and are not
    listed."""
    starts = _starts(frames, picked)
    rows = []
    for task, runs in picked.groupby("task", sort=False):
        spec = frames.records[runs["digest"].iloc[0]].spec.task
        found = chance.of(spec)
        known = np.isfinite(found.metric)
        zero, origin = (
            (found.metric, found.origin) if known else (starts.get(str(task), np.nan), _START)
        )
        if spec.target > zero:
            rows.append((task, spec.metric, zero, spec.target, origin))
    return pd.DataFrame(rows, columns=["task", "metric", "zero", "one", "origin"])


def scores(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a run that was tried, at the chosen learning rate: task, setup, series, seed, digest,
    status, metric, score.

    The score is the final validation metric between the task's ends. A run that did not end ok
    counts as chance, 0, or as the least that any run of its task scored if that is less
    (chance.floor)."""
    picked = tables.chosen(frames, suite)
    picked = picked[picked["status"].isin(tables.ATTEMPTED)]
    scaled = picked.merge(ends(frames, picked)[["task", "zero", "one"]], on="task")
    ended = (scaled["status"] == "ok") & scaled["final_validation_metric"].notna()
    metric = scaled["final_validation_metric"].where(ended)
    score = (metric - scaled["zero"]) / (scaled["one"] - scaled["zero"])
    worst = score.groupby(scaled["task"]).transform(lambda of: chance.floor(0.0, of.dropna(), True))
    scaled = scaled.assign(metric=metric, score=score.fillna(worst))
    return scaled[["task", "setup", "series", "seed", "digest", "status", "metric", "score"]]


def pools(scored: pd.DataFrame) -> list[Pool]:
    """Of `scores`, one pool a setup that has two contenders or more."""
    found = [_pool(str(setup), rows) for setup, rows in scored.groupby("setup", sort=False)]
    return [pool for pool in found if len(pool.scores) > 1]


def _pool(setup: str, rows: pd.DataFrame) -> Pool:
    tasks = tuple(dict.fromkeys(rows["task"]))
    tried: dict[str, dict[str, np.ndarray]] = {}
    for (series, task), runs in rows.groupby(["series", "task"], sort=False):
        tried.setdefault(str(series), {})[str(task)] = runs["score"].to_numpy(dtype=np.float64)
    whole = [name for name, of in tried.items() if len(of) == len(tasks)]
    counts = rows.groupby("series")["status"].agg(
        ["size", lambda status: int((status == "diverged").sum())]
    )
    counts.columns = ["attempts", "diverged"]
    attempts, diverged = (
        {n: int(counts.loc[n, column]) for n in whole} for column in ("attempts", "diverged")
    )
    return Pool(
        setup,
        tasks,
        {name: [tried[name][task] for task in tasks] for name in whole},
        attempts,
        diverged,
        left_out={
            name: tuple(task for task in tasks if task not in of)
            for name, of in tried.items()
            if len(of) < len(tasks)
        },
    )


def _starts(frames: Frames, picked: pd.DataFrame) -> dict[str, float]:
    """Mean validation metric before the first step of the tasks that are measured by their loss."""
    lossy = [d for d in picked["digest"] if frames.records[d].spec.task.metric == "negative_loss"]
    if not lossy:
        return {}
    curves = frames.curves[
        (frames.curves["series"] == "validation_metric") & (frames.curves["step"] == 0)
    ]
    found = picked[["task", "digest"]].merge(curves.astype({"digest": "str"}), on="digest")
    return {
        str(task): float(value) for task, value in found.groupby("task")["value"].mean().items()
    }
