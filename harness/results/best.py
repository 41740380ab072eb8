"""The best settings of every optimizer, with hindsight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..errors import UserError, nearest
from ..statistics.arrivals import median_time
from .columns import CELL, words

# What is ranked -> the column of runs, and whether more is better.
BY = {
    "validation_metric": ("final_validation_metric", True),
    "validation_loss": ("final_validation_loss", False),
    "train_loss": ("final_train_loss", False),
    "best_validation_metric": ("best_validation_metric", True),
    "best_validation_loss": ("best_validation_loss", False),
    "test_metric": ("test_metric", True),
    "test_loss": ("test_loss", False),
    "steps_to_target": ("steps_to_target", False),
}
# Of each of these one setting is picked.
_CONTENDER = words("task framework mode optimizer rule")
_SETTING = words("schedule schedule_params learning_rate hyper variation batch_size")
# Runs that tried: one that diverged or ran out of time missed its target.
_TRIED = ("ok", "diverged", "timeout")
_COLUMNS = [*_CONTENDER, *_SETTING, "steps", "runs", "ok", "value", "low", "high", "digests"]


def best(runs: pd.DataFrame, by: str) -> pd.DataFrame:
    """See Frames.best."""
    if by not in BY:
        raise UserError(f"best: nothing is ranked by {by!r}{nearest(by, BY)}")
    column, higher = BY[by]
    trained = runs[(runs["measure"] == "convergence") & runs["status"].isin(_TRIED)]
    trained = trained.drop_duplicates("digest")
    cells = [_cell(group, column) for _, group in trained.groupby(CELL, sort=False, dropna=False)]
    table = pd.DataFrame(cells, columns=[*_COLUMNS, "share"])
    table = table.assign(order=pd.to_numeric(table["value"]) * (-1 if higher else 1))
    tasks = pd.Series(pd.factorize(table["task"])[0], table.index)
    # Where all runs ended ok comes first: a mean over survivors flatters.
    table = table.assign(place=tasks, lost=-table["share"].astype("float64"))
    ranked = table.sort_values(["place", "lost", "order"], kind="stable")
    return ranked.drop_duplicates(_CONTENDER)[_COLUMNS].reset_index(drop=True)


def _cell(group: pd.DataFrame, column: str) -> dict[str, Any]:
    first, ended = group.iloc[0], group["status"] == "ok"
    settings = {name: first[name] for name in (*_CONTENDER, *_SETTING, "steps")}
    counts = {"runs": len(group), "ok": int(ended.sum()), "share": float(ended.mean())}
    found = _steps(group) if column == "steps_to_target" else _spread(group.loc[ended, column])
    return {**settings, **counts, **found, "digests": " ".join(group["digest"])}


def _spread(values: pd.Series) -> dict[str, float]:
    return {"value": values.mean(), "low": values.min(), "high": values.max()}


def _steps(group: pd.DataFrame) -> dict[str, float]:
    """A run that missed its target counts as longer than any other."""
    steps = group["steps_to_target"]
    reached = steps.notna() & (group["status"] == "ok")
    times = steps.where(reached, group["steps"]).astype("float64")
    all_times = steps.where(reached, np.inf)
    median = median_time(times, reached)
    return {"value": float(median), "low": all_times.min(), "high": all_times.max()}
