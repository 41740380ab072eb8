"""Runs by the varied settings of their tasks: one row a setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...results.columns import words
from ...results.frame import Frames
from .endings import ATTEMPTED, SPREAD
from .grouping import SERIES, groups, texts, varies
from .planned import runs
from .rates import best_rates

QUANTITIES = ("train_loss", "final_validation_loss", "gap", "metric")
# What makes runs of one task differ in more than their optimizer; each has a section of its own.
OF_TASKS = frozenset(
    words(
        "activation initializer hidden normalization regularization batch_size train_fraction draw"
    )
)


def compare_optimizers(runs: pd.DataFrame, frames: Frames) -> bool:
    """Whether runs differ in optimizer, schedule and rule on unvaried tasks: they form a pool."""
    specs = [frames.records[digest].spec for digest in runs["digest"]]
    # Draws that leave the tasks as they are differ in optimizer alone.
    sizes = {name: set[int]() for name in (spec.task.name for spec in specs)}
    for spec in specs:
        sizes[spec.task.name].add(spec.task.batch_size)
    drawn = set() if any(len(of) > 1 for of in sizes.values()) else {"draw"}
    return not any((OF_TASKS - drawn) & set(spec.variations) for spec in specs)


def are_draws(runs: pd.DataFrame, frames: Frames) -> bool:
    """Whether runs are draws of a random search, each with settings of its own."""
    return any("draw" in frames.records[digest].spec.variations for digest in runs["digest"])


def settings(frames: Frames, suite: str, *keys: str) -> pd.DataFrame:
    """Convergence runs that tried their target, with one column of text for each of these
    variations and a series named without them; only runs that have all of them, of which some
    differs within a task. Of each setting the best learning rate (tables.best_rates).

    Besides the columns of `tables.runs`: train_loss (the mean over the batches since the last
    evaluation but one), gap (validation loss - train_loss), metric (the final validation metric),
    of runs that ended ok."""
    rows = runs(frames, suite, "convergence")
    # A setting of a search is judged by its best draw, whatever the batch size.
    drawn = ("batch_size", "hyper") if are_draws(rows, frames) else ()
    rows = runs(frames, suite, "convergence", without=(*keys, *drawn))
    varied = [frames.records[digest].spec.variations for digest in rows["digest"]]
    rows = rows.assign(
        **{key: texts(rows, [str(of.get(key, "")) for of in varied]) for key in keys}
    )
    rows = rows[(rows[list(keys)] != "").all(axis=1) & rows["status"].isin(ATTEMPTED)]
    if not any(varies(rows, key, ["task"]) for key in keys):
        return rows.iloc[:0]
    rows = best_rates(rows, [*SERIES, *keys])
    train = rows["digest"].map(last_train_losses(frames, rows)).astype("float64")
    ended = rows["status"] == "ok"
    return rows.assign(
        train_loss=train.where(ended),
        gap=(rows["final_validation_loss"] - train).where(ended),
        metric=rows["final_validation_metric"].where(ended),
    )


def last_train_losses(frames: Frames, rows: pd.DataFrame) -> dict[str, float]:
    """By digest the mean training loss over the last `eval_every` batches, since a single batch
    says little."""
    start = {row.digest: row.steps - row.eval_every for row in rows.itertuples()}
    points = frames.curves[frames.curves["series"] == "train_loss"]
    points = points[points["digest"].isin(start)].astype({"digest": "str", "step": "float64"})
    late = points[points["step"] >= points["digest"].map(start).astype("float64")]
    means = late.groupby("digest")["value"].mean()
    return {str(digest): float(value) for digest, value in means.items()}


def summary(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """One row a task, setup, series and setting: learning_rate, runs, ok, diverged; the mean, min
    and max of train_loss, final_validation_loss, gap and metric over the runs that ended ok;
    digests."""
    found = [_summed(key, group) for key, group in groups(rows, [*SERIES, *keys])]
    return pd.DataFrame(found)


def _summed(key: dict[str, Any], group: pd.DataFrame) -> dict[str, Any]:
    ended = group[group["status"] == "ok"]
    row: dict[str, Any] = {
        **key,
        "learning_rate": float(group["learning_rate"].iloc[0]),
        "runs": len(group),
        "ok": len(ended),
        "diverged": int((group["status"] == "diverged").sum()),
        "digests": " ".join(group["digest"]),
    }
    for name in QUANTITIES:
        values = ended[name].to_numpy(dtype=np.float64)
        values = values if values.size else np.array([np.nan])
        row |= {f"{name}_{limit}": getattr(values, limit)() for limit in SPREAD}
    return row
