"""Draws of a random search: their scores, and the best to be expected of k of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ...data import chance
from ...results.frame import Frames
from ...statistics.tuning import expected_best_curve
from .endings import ATTEMPTED
from .grouping import SERIES, groups
from .planned import metrics, runs

_UNNAMED = ("batch_size", "hyper", "learning_rate")


def scores(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a draw: task, setup, series (without the batch size), draw, learning_rate,
    batch_size, runs, ok, score (the mean over seeds of the final validation metric, or of the final
    validation loss if the metric is that), digests.

    A run that did not end ok counts as chance, or as the worst score of its task if that is worse
    (chance.floor)."""
    rows = runs(frames, suite, "convergence", without=_UNNAMED)
    varied = [frames.records[digest].spec.variations.get("draw") for digest in rows["digest"]]
    rows = rows.assign(draw=pd.Series(varied, rows.index, dtype="object"))
    rows = rows[rows["draw"].notna() & rows["status"].isin(ATTEMPTED)]
    if rows.empty:
        return rows
    lossy = rows["task"].map(metrics(frames, suite)) == "negative_loss"
    ended = rows["status"] == "ok"
    metric = rows["final_validation_metric"].where(~lossy, -rows["final_validation_loss"])
    metric = metric.where(ended)
    worst = {task: _floor(frames, of, metric) for task, of in rows.groupby("task")}
    score = metric.fillna(rows["task"].map(worst))
    rows = rows.assign(score=score.where(~lossy, -score), ok=ended).dropna(subset=["score"])
    draws = rows.groupby([*SERIES, "draw", "learning_rate", "batch_size"], sort=False)
    return draws.agg(
        runs=("ok", "size"), ok=("ok", "sum"), score=("score", "mean"), digests=("digest", " ".join)
    ).reset_index()


def _floor(frames: Frames, rows: pd.DataFrame, metric: pd.Series) -> float | None:
    """What a run of this task counts for that did not end ok, more being better."""
    found = chance.of(frames.records[rows["digest"].iloc[0]].spec.task)
    return chance.floor(found.metric, metric[rows.index].dropna(), True)


def expected(draws: pd.DataFrame, metrics: dict[str, Any]) -> pd.DataFrame:
    """The expected best after each number of draws: task, setup, series, draws, expected, low,
    high, reliable_up_to."""
    found = []
    for key, group in groups(draws, SERIES):
        higher = metrics[key["task"]] != "negative_loss"
        curve = expected_best_curve(group["score"].to_numpy(), higher)
        columns = {"draws": curve.trials, "expected": curve.expected}
        limits = {"low": curve.low, "high": curve.high, "reliable_up_to": curve.reliable_up_to}
        found.append(pd.DataFrame({**key, **columns, **limits}))
    return pd.concat(found, ignore_index=True)
