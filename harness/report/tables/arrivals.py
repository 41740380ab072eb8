"""Time to target with censoring: from attempts to Kaplan-Meier curves, medians and means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ...statistics.targets import KaplanMeier, kaplan_meier
from .grouping import SERIES, groups

_LIMITS = ("", "_low", "_high")


def fits(attempts: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame, KaplanMeier]]:
    """Key, runs and curve in steps of every task, setup and series. Restricted means of a task end
    at one horizon: the shortest budget that a run missed the target in, or the last arrival if none
    did."""
    for _, of_task in attempts.groupby("task", sort=False):
        missed = of_task.loc[~of_task["reached"], "steps"]
        horizon = float(missed.min() if len(missed) else of_task["steps"].max())
        for key, runs in groups(of_task, SERIES):
            reached = runs["reached"].to_numpy(dtype=bool)
            yield key, runs, kaplan_meier(runs["steps"].to_numpy(), reached, horizon)


def table(attempts: pd.DataFrame) -> pd.DataFrame:
    """One row a task, setup and series: runs, reached, diverged; the median of steps, epochs and
    seconds with limits (NaN if they are not known, infinite if half of the runs or more did not
    arrive), timed_on (the machine of the seconds), the restricted mean of steps with limits, its
    horizon, and the expected running time in steps."""
    return pd.DataFrame([_row(*fit) for fit in fits(attempts)])


def _row(key: dict[str, Any], runs: pd.DataFrame, fit: KaplanMeier) -> dict[str, Any]:
    diverged = int((runs["status"] == "diverged").sum())
    row = {**key, "runs": fit.runs, "reached": fit.reached, "diverged": diverged}
    row["timed_on"] = runs["timed_on"].iloc[0]
    for name in ("steps", "epochs", "seconds"):
        # The same curve in another unit: one number of steps to an epoch, one time to a step.
        factor = float((runs[name] / runs["steps"]).iloc[0])
        medians = zip(_LIMITS, fit.median[:3], strict=True)
        row |= {f"{name}{limit}": value * factor for limit, value in medians}
    means = zip(_LIMITS, fit.restricted_mean[:3], strict=True)
    row |= {f"restricted_mean{limit}": value for limit, value in means}
    return {**row, "horizon": fit.horizon, "expected_running_time": fit.expected_running_time}


def curves(attempts: pd.DataFrame) -> pd.DataFrame:
    """Points of the curves: task, setup, series, steps, remaining, low, high, runs, missed. The
    last point of each stands where its last run arrived or was given up; missed says how many were
    given up."""
    found = [
        pd.DataFrame(
            {
                **key,
                "steps": fit.times,
                "remaining": fit.remaining,
                "low": fit.low,
                "high": fit.high,
                "runs": fit.runs,
                "missed": fit.runs - fit.reached,
            }
        )
        for key, _, fit in fits(attempts)
    ]
    return pd.concat(found, ignore_index=True)
