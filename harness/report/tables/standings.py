"""Who leads on each task: by steps and by seconds to the target, or by the best validation metric
if nobody's median run reached it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...results.columns import words
from ...results.frame import Frames
from ...statistics.leaders import leaders
from .endings import ATTEMPTED
from .grouping import once
from .planned import metrics
from .rates import chosen
from .targets import attempts
from .timed import step_times

# What is compared. A metric is higher, the rest lower if it is better.
STEPS, EPOCHS, SECONDS, METRIC, LOSS = "steps", "epochs", "seconds", "metric", "loss"
_COLUMNS = words(
    "task unit series setup median low high runs missed budget best leads contenders decidable"
    " digests"
)


@once
def standings(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a contender, task and unit, best first: task, unit, series, setup, median, low, high
    (the least and the largest), runs, missed, budget, best, leads, contenders, decidable, digests.

    unit: of the median: steps to target (epochs if batch sizes vary), seconds to target, and if
    nobody's median run reached it the best validation metric or loss. A contender by seconds is a
    series in a setup. By the others it is a series, whose value of a seed is the median over
    setups: frameworks that compute the same are no further evidence, so seeds are the sample. A
    median is infinite if half of the runs or more
    missed. best, leads, decidable: see statistics.leaders; contenders is their number. Rates are
    the chosen ones (`rates.chosen`), with hindsight if there are several."""
    tried, kinds = attempts(frames, suite), metrics(frames, suite)
    factors = _factors(frames, suite, tried)
    trained = chosen(frames, suite)
    found: list[dict[str, Any]] = []
    for task, rows in tried.groupby("task", sort=False):
        of_task = trained[trained["task"] == task]
        by_steps = list(_by_arrival(rows, of_task))
        if any(math.isfinite(row["median"]) for row in by_steps):
            found += [*by_steps, *_by_seconds(rows, factors)]
        else:
            found += _by_score(of_task, kinds[str(task)])
    return pd.DataFrame(found, columns=_COLUMNS)


def _by_arrival(rows: pd.DataFrame, trained: pd.DataFrame) -> Iterator[dict[str, Any]]:
    unit = EPOCHS if trained["batch_size"].nunique() > 1 and rows["epochs"].notna().all() else STEPS
    values = rows.assign(value=rows[unit].where(rows["reached"], math.inf), budget=rows[unit])
    return _compared(values.assign(setup=""), unit)


def _by_seconds(
    rows: pd.DataFrame, factors: Mapping[tuple[str, str], tuple[float, float]]
) -> Iterator[dict[str, Any]]:
    timed = rows[rows["seconds"].notna()]
    if not timed["reached"].any():
        return iter(())
    values = timed["seconds"].where(timed["reached"], math.inf)
    return _compared(timed.assign(value=values, budget=timed["seconds"]), SECONDS, factors)


def _by_score(trained: pd.DataFrame, metric: str) -> Iterator[dict[str, Any]]:
    lossy = metric == "negative_loss"
    unit, sign = (LOSS, 1.0) if lossy else (METRIC, -1.0)
    tried = trained[trained["status"].isin(ATTEMPTED)]
    best = tried["best_validation_loss" if lossy else "best_validation_metric"]
    lost = (tried["status"] != "ok") | best.isna()
    values = (sign * best).where(~lost, math.inf)
    rows = tried.assign(value=values, budget=math.nan, reached=~lost, setup="")
    for row in _compared(rows, unit):
        limits = sorted(sign * row[name] for name in ("low", "high"))
        yield {**row, "median": sign * row["median"], "low": limits[0], "high": limits[1]}


def _compared(
    rows: pd.DataFrame,
    unit: str,
    factors: Mapping[tuple[str, str], tuple[float, float]] | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of one task: series, setup, seed, value (lower is better, infinite if missed), budget,
    reached, digest."""
    names = ["series", "setup"]
    of_seeds = rows.groupby([*names, "seed"], sort=False)["value"].median().reset_index()
    values = {
        "\n".join(key): of.to_numpy() for key, of in of_seeds.groupby(names, sort=False)["value"]
    }
    known = None if factors is None else {"\n".join(key): of for key, of in factors.items()}
    found = leaders(values, known)
    ends = rows.groupby(names, sort=False).agg(
        budget=("budget", "max"), digest=("digest", " ".join)
    )
    for name in sorted(values, key=lambda name: _rank(values[name])):
        of, key = values[name], name.split("\n")
        budget, digests = ends.loc[tuple(key)]
        yield {
            **{"task": rows["task"].iloc[0], "unit": unit, "series": key[0], "setup": key[1]},
            **{"median": float(np.median(of)), "low": of.min(), "high": of.max()},
            **{"runs": len(of), "missed": int(np.isinf(of).sum()), "budget": float(budget)},
            **{"best": name in found.best, "leads": name in found.not_worse},
            **{"contenders": len(values), "decidable": found.decidable, "digests": digests},
        }


def _rank(values: np.ndarray) -> tuple[float, float, float]:
    """By the median, then by how many missed, then by the mean of the rest."""
    arrived = values[np.isfinite(values)]
    mean = float(arrived.mean()) if arrived.size else math.inf
    return float(np.median(values)), float(np.isinf(values).sum()), mean


def _factors(
    frames: Frames, suite: str, tried: pd.DataFrame
) -> dict[tuple[str, str], tuple[float, float]]:
    """(series, setup) -> limits of its mean step time over the time, the widest of its tasks; NaN
    if too few launches give none."""
    times = step_times(frames, suite)
    settings = frames.runs.drop_duplicates("digest").set_index("digest")["setting"]
    limits = times[["setting", "machine"]].assign(
        least=times["step_mean_s_low"] / times["step_mean_s"],
        most=times["step_mean_s_high"] / times["step_mean_s"],
    )
    timed = tried[tried["timed_on"] != ""]
    timed = timed.assign(setting=timed["digest"].map(settings))
    timed = timed.merge(limits, left_on=["setting", "timed_on"], right_on=["setting", "machine"])
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for (series, setup), of in timed.groupby(["series", "setup"], sort=False):
        # min and max of numpy keep a NaN: then nobody knows.
        least, most = np.min(of["least"].to_numpy()), np.max(of["most"].to_numpy())
        found[str(series), str(setup)] = (float(least), float(most))
    return found
