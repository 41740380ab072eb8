"""Steps and samples to target by batch size, the learning rate chosen anew for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...results.frame import Frames
from ...statistics.arrivals import median_time
from ...statistics.targets import expected_running_time
from .endings import ATTEMPTED
from .grouping import SERIES, groups, with_several
from .planned import runs


def scaling(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a task, setup, series (without the batch size) and batch size, of series with several
    sizes: learning_rate, rates (how many were run), edge (it is the least or greatest of several),
    runs, reached, steps (median, infinite if that run missed), steps_low, steps_high (range; a
    run that missed at its budget), budget, samples, efficiency (steps under perfect scaling from
    the smallest size that arrived, over steps), digests."""
    rows = runs(frames, suite, "convergence", without=("batch_size",))
    rows = rows[rows["status"].isin(ATTEMPTED)]
    several = with_several(rows, "batch_size", SERIES)
    keys = [*SERIES, "batch_size"]
    found = [{**key, **_at_best_rate(group)} for key, group in groups(several, keys)]
    if not found:
        return pd.DataFrame()
    table = pd.DataFrame(found).sort_values("batch_size", kind="stable")
    table["samples"] = table["steps"] * table["batch_size"]
    first = table[np.isfinite(table["steps"])].drop_duplicates(SERIES).set_index(SERIES)["samples"]
    perfect = table.merge(first.rename("perfect").reset_index(), how="left", on=SERIES)["perfect"]
    table = table.assign(
        efficiency=perfect.to_numpy() / table["samples"].to_numpy(), place=_places(rows, table)
    )
    table = table.sort_values(["place", "batch_size"])
    return table.drop(columns="place").reset_index(drop=True)


def _places(rows: pd.DataFrame, table: pd.DataFrame) -> list[int]:
    """Of each row of the table the place of its series in the plan's order."""
    names = dict.fromkeys(rows[SERIES].itertuples(index=False, name=None))
    order = {name: place for place, name in enumerate(names)}
    return [order[name] for name in table[SERIES].itertuples(index=False, name=None)]


def _at_best_rate(group: pd.DataFrame) -> dict[str, Any]:
    by_rate = {float(rate): _arrivals(runs) for rate, runs in group.groupby("learning_rate")}

    def rank(rate: float) -> tuple[float, float, float]:
        found = by_rate[rate]
        return -found["share"], found["expected"], found["loss"]

    best = min(by_rate, key=rank)
    edge = len(by_rate) > 1 and best in (min(by_rate), max(by_rate))
    return {"learning_rate": best, "rates": len(by_rate), "edge": edge, **by_rate[best]}


def _arrivals(runs: pd.DataFrame) -> dict[str, Any]:
    reached, budget = runs["steps_to_target"].notna(), runs["steps"].astype("float64")
    steps = runs["steps_to_target"].where(reached, budget).clip(lower=1.0)
    loss = runs["final_validation_loss"].where(runs["status"] == "ok").mean()
    return {
        "runs": len(runs),
        "reached": int(reached.sum()),
        "share": float(reached.mean()),
        "expected": expected_running_time(steps.to_numpy(), reached.to_numpy()),
        "loss": float(np.nan_to_num(loss, nan=np.inf)),
        "steps": median_time(steps, reached),
        "steps_low": steps.min(),
        "steps_high": steps.max(),
        "budget": float(budget.max()),
        "digests": " ".join(runs["digest"]),
    }
