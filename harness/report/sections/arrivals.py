"""Time to target with censoring: pure functions from attempts to Kaplan-Meier curves, medians and
means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ...statistics.targets import KaplanMeier, kaplan_meier

KEYS = ["task", "setup", "series"]


def fits(attempts: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame, KaplanMeier]]:
    """Of every task, setup and series its key, its runs and their curve in steps. Restricted means
    of a task end at one
    horizon: the shortest budget that a run missed the target in, the last arrival where none did.
    """
    for _, of_task in attempts.groupby("task", sort=False):
        missed = of_task.loc[~of_task["reached"], "steps"]
        horizon = float(missed.min() if len(missed) else of_task["steps"].max())
        for key, runs in of_task.groupby(KEYS, sort=False):
            fit = kaplan_meier(
                runs["steps"].to_numpy(), runs["reached"].to_numpy(dtype=bool), horizon
            )
            yield dict(zip(KEYS, key, strict=True)), runs, fit


def table(attempts: pd.DataFrame) -> pd.DataFrame:
    """One row a task, setup and series: runs, reached, diverged; of steps, epochs and seconds the
    median with limits (NaN where they are not known, infinite where half of the runs or more did
    not arrive), the restricted mean of steps with limits, its horizon, and the expected running
    time in steps."""
    rows = []
    for key, runs, fit in fits(attempts):
        row = {
            **key,
            "runs": fit.runs,
            "reached": fit.reached,
            "diverged": int((runs["status"] == "diverged").sum()),
        }
        for name in ("steps", "epochs", "seconds"):
            # The same curve in another unit: one number of steps to an epoch, one time to a step.
            factor = float((runs[name] / runs["steps"]).iloc[0])
            row |= {
                f"{name}{limit}": value * factor
                for limit, value in zip(("", "_low", "_high"), fit.median[:3], strict=True)
            }
        mean = fit.restricted_mean
        row |= {
            "restricted_mean": mean.estimate,
            "restricted_mean_low": mean.low,
            "restricted_mean_high": mean.high,
        }
        rows.append(
            row | {"horizon": fit.horizon, "expected_running_time": fit.expected_running_time}
        )
    return pd.DataFrame(rows)


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
