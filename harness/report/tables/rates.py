"""Learning rates: which of several is shown, and how runs end at each."""

from __future__ import annotations

import pandas as pd

from ...results.frame import Frames
from .. import text
from .endings import SPREAD, per_cell
from .grouping import SERIES, groups, once, with_several
from .planned import runs
from .pooling import pooled


@once
def chosen(frames: Frames, suite: str) -> pd.DataFrame:
    """Convergence runs of the learning rate that figures show: the best of each task, setup and
    series (see best_rates)."""
    return best_rates(runs(frames, suite, "convergence"), SERIES)


def best_rates(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The runs of each group's rate with the largest share of runs ended ok, and among those the
    lowest mean final validation loss."""
    kept = [_best_rate(group) for _, group in groups(rows, keys)]
    return pd.concat(kept, ignore_index=True) if kept else rows


def _best_rate(group: pd.DataFrame) -> pd.DataFrame:
    ended = group["status"] == "ok"
    rows = group.assign(ok=ended, loss=group["final_validation_loss"].where(ended))
    # Draws of a search may share a rate; in other groups hyperparameters are those of the series.
    setting = rows.groupby(["learning_rate", "hyper"], dropna=False).ngroup()
    settings = rows.groupby(setting).agg(ok=("ok", "mean"), loss=("loss", "mean"))
    ranked = settings.sort_values(["ok", "loss"], ascending=[False, True], kind="stable")
    return group[setting == ranked.index[0]]


def learning_rates(frames: Frames, suite: str, merged: pd.DataFrame | None = None) -> pd.DataFrame:
    """Final validation loss of every rate, for series run at more than one: task, setup, series,
    learning_rate, mean, min, max (over runs ended ok), ok, diverged, runs, digests. merged: setups
    that are one, see tables.merged."""
    swept = with_several(runs(frames, suite, "convergence"), "learning_rate", SERIES)
    if merged is not None:
        swept = pooled(swept, merged, ["final_validation_loss"])
    keys = [*SERIES, "learning_rate"]
    found = per_cell(swept, keys, ["final_validation_loss"])
    found = found.rename(columns={f"final_validation_loss_{limit}": limit for limit in SPREAD})
    return found[[*keys, *SPREAD, "runs", *text.STATUSES, "digests"]]
