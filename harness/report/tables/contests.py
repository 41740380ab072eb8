"""Contenders against each other: aggregated scores, probabilities of improvement, tasks won."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pandas as pd

from ...statistics import aggregates, comparisons
from ...statistics.bootstrap import bootstrap_interval
from ...statistics.intervals import Interval
from .contenders import Pool

STATISTICS = {
    "interquartile_mean": ("Interquartile mean", aggregates.interquartile_mean),
    "median_of_medians": ("Median of medians", aggregates.median_of_medians),
    "optimality_gap": ("Optimality gap", aggregates.optimality_gap),
}
# (ours, theirs) -> probability
Improvements = dict[tuple[str, str], Interval]


def aggregated(pool: Pool) -> pd.DataFrame:
    """One row a contender: setup, series, tasks, seeds (the fewest of any task), each of STATISTICS
    and diverged_share with limits, runs, diverged."""
    return pd.DataFrame([_aggregated(pool, name) for name in pool.scores])


def _aggregated(pool: Pool, name: str) -> dict[str, Any]:
    scores, runs, diverged = pool.scores[name], pool.attempts[name], pool.diverged[name]
    seeds = min(task.size for task in scores)
    row = {"setup": pool.setup, "series": name, "tasks": len(pool.tasks), "seeds": seeds}
    for key, (_, statistic) in STATISTICS.items():
        row |= _limits(key, bootstrap_interval(scores, statistic))
    row |= {"runs": runs, "diverged": diverged}
    return row | _limits("diverged_share", aggregates.share_of_runs(diverged, runs))


def _limits(name: str, found: Interval) -> dict[str, float]:
    return {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def improvements(pools: Sequence[Pool], found: dict[str, Improvements]) -> pd.DataFrame:
    """One row a pair: setup, ours, theirs, probability (that ours scores higher), low, high, level,
    shown (whether the interval excludes one half)."""
    columns = ["setup", "ours", "theirs", "probability", "low", "high", "level", "shown"]
    rows = [
        (pool.setup, *pair, *of[:4], of.excludes(0.5))
        for pool in pools
        for pair, of in found[pool.setup].items()
    ]
    return pd.DataFrame(rows, columns=columns)


def wins(pools: Sequence[Pool]) -> pd.DataFrame:
    """One row a pair: setup, ours, theirs, win, loss, tie (shares of the tasks)."""
    rows = []
    for pool in pools:
        found = comparisons.win_matrix(pool.scores, True)
        for i, j in permutations(range(len(found.optimizers)), 2):
            shares = (found.win[i, j], found.loss[i, j], found.tie[i, j])
            rows.append((pool.setup, found.optimizers[i], found.optimizers[j], *shares))
    return pd.DataFrame(rows, columns=["setup", "ours", "theirs", "win", "loss", "tie"])
