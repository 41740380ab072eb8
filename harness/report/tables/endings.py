"""How the runs of a cell ended: counts of outcomes, spreads over seeds, steps to target."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...statistics.arrivals import median_time
from .. import text

# The outcomes that tell something about the optimizer: a run that failed or was skipped never tried
# the target.
ATTEMPTED = ("ok", "diverged", "timeout")
COUNTS = ["runs", *text.STATUSES]
SPREAD = ("mean", "min", "max")
_TO_TARGET = ["attempts", "reached", "steps_to_target"]


def counts(group: pd.DataFrame) -> dict[str, int]:
    """The number of runs, and of those with each status."""
    return {"runs": len(group), **{s: int((group["status"] == s).sum()) for s in text.STATUSES}}


def per_cell(rows: pd.DataFrame, keys: list[str], quantities: Sequence[str]) -> pd.DataFrame:
    """One row a group, in order of appearance: keys; runs and one count a status; of each quantity
    `_mean`, `_min` and `_max` over the runs that ended ok; attempts, reached, steps_to_target;
    digests."""
    if rows.empty:
        spreads = [f"{quantity}_{limit}" for quantity in quantities for limit in SPREAD]
        return pd.DataFrame(columns=[*keys, *COUNTS, *spreads, *_TO_TARGET, "digests"])
    # Numbered by appearance, so that every table below has the same rows in the same order.
    rows = rows.assign(cell=rows.groupby(keys, sort=False, dropna=False).ngroup())
    cells = rows.drop_duplicates("cell").set_index("cell")[keys]
    statuses = pd.crosstab(rows["cell"], rows["status"])
    ended = rows[rows["status"] == "ok"].groupby("cell")
    spread = ended[list(quantities)].agg(list(SPREAD))
    spread.columns = [f"{quantity}_{limit}" for quantity, limit in spread.columns]
    columns = [
        cells,
        rows.groupby("cell").size().rename("runs"),
        statuses.reindex(columns=text.STATUSES, fill_value=0),
        spread.reindex(cells.index),
        _to_target(rows, cells.index),
        rows.groupby("cell")["digest"].agg(" ".join).rename("digests"),
    ]
    return pd.concat(columns, axis=1)


def _to_target(rows: pd.DataFrame, cells: pd.Index) -> pd.DataFrame:
    """attempts, reached and the median of steps_to_target, censored at the budget."""
    tried = rows[rows["status"].isin(ATTEMPTED)]
    reached = tried["steps_to_target"].notna()
    steps = tried["steps_to_target"].where(reached, tried["steps"])
    groups = tried.assign(reached=reached, steps=steps).groupby("cell")
    medians = {cell: median_time(runs["steps"], runs["reached"]) for cell, runs in groups}
    found = groups.agg(attempts=("reached", "size"), reached=("reached", "sum"))
    return found.reindex(cells, fill_value=0).assign(
        steps_to_target=pd.Series(medians, dtype="float64").reindex(cells)
    )
