"""Runs by what a suite varies of its tasks: pure functions from frames to one row a setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...results.frame import Frames
from .. import tables
from .shared import is_random_search

KEYS = ["task", "setup", "series"]
QUANTITIES = ("train_loss", "final_validation_loss", "gap", "metric")


def settings(frames: Frames, suite: str, *keys: str) -> pd.DataFrame:
    """Convergence runs that tried their target, with one column of text for each of these
    variations and a series named without them; only runs that have all of them, of which some
    differs within a task. Of each setting the best learning rate (tables.best_rates).

    Besides the columns of `tables.runs`: train_loss (the mean over the batches since the last
    evaluation but one), gap (validation loss - train_loss), metric (the final validation metric),
    of runs that ended ok."""
    rows = tables.runs(frames, suite, "convergence")
    if is_random_search(rows, frames):
        # A setting is then judged by its best draw, whatever the batch size.
        rows = tables.runs(frames, suite, "convergence", without=(*keys, "batch_size", "hyper"))
    else:
        rows = tables.runs(frames, suite, "convergence", without=keys)
    varied = [frames.records[digest].spec.variations for digest in rows["digest"]]
    rows = rows.assign(
        **{
            key: pd.Series([str(of.get(key, "")) for of in varied], rows.index, dtype="str")
            for key in keys
        }
    )
    rows = rows[(rows[list(keys)] != "").all(axis=1) & rows["status"].isin(tables.ATTEMPTED)]
    if rows.empty or not any((rows.groupby("task")[key].nunique() > 1).any() for key in keys):
        return rows.iloc[:0]
    rows = tables.best_rates(rows, [*KEYS, *keys])
    train = rows["digest"].map(last_train_losses(frames, rows)).astype("float64")
    ended = rows["status"] == "ok"
    return rows.assign(
        train_loss=train.where(ended),
        gap=(rows["final_validation_loss"] - train).where(ended),
        metric=rows["final_validation_metric"].where(ended),
    )


def last_train_losses(frames: Frames, rows: pd.DataFrame) -> dict[str, float]:
    """By digest the mean training loss over the last `eval_every` batches, since a single batch
    says little.
    """
    start = {row.digest: row.steps - row.eval_every for row in rows.itertuples()}
    points = frames.curves[frames.curves["series"] == "train_loss"]
    points = points[points["digest"].isin(start)].astype({"digest": "str", "step": "float64"})
    late = points[points["step"] >= points["digest"].map(start).astype("float64")]
    return {
        str(digest): float(value)
        for digest, value in late.groupby("digest")["value"].mean().items()
    }


def summary(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """One row a task, setup, series and setting: learning_rate, runs, ok, diverged, of train_loss,
    final_validation_loss, gap and metric the mean, min and max over the runs that ended ok,
    digests."""
    found: list[dict[str, Any]] = []
    for key, group in rows.groupby([*KEYS, *keys], sort=False):
        row: dict[str, Any] = {
            **dict(zip([*KEYS, *keys], key, strict=True)),
            "learning_rate": float(group["learning_rate"].iloc[0]),
            "runs": len(group),
            "ok": int((group["status"] == "ok").sum()),
            "diverged": int((group["status"] == "diverged").sum()),
            "digests": " ".join(group["digest"]),
        }
        ended = group[group["status"] == "ok"]
        for name in QUANTITIES:
            values = ended[name].to_numpy(dtype=np.float64)
            values = values if values.size else np.array([np.nan])
            row |= {
                f"{name}_mean": values.mean(),
                f"{name}_min": values.min(),
                f"{name}_max": values.max(),
            }
        found.append(row)
    return pd.DataFrame(found)


def hindsight(rows: pd.DataFrame, trained: pd.DataFrame) -> str:
    """Says that each setting has the best of several learning rates; empty where one was run."""
    of_tasks = trained[trained["task"].isin(set(rows["task"]))]
    if of_tasks.groupby(["task", "optimizer"])["learning_rate"].nunique().max() == 1:
        return ""
    return (
        "Each setting has its own best learning rate of those run, or its best draw of a search"
        " (most runs ended ok, then the lowest mean validation loss), chosen with hindsight."
    )
