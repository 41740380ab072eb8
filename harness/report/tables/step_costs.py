"""The cost of a step in each setup, over the cheapest that was timed on the same cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...results.columns import words
from ...results.frame import Frames
from ...statistics.cost_ratios import CostRatio, cost_ratio
from .grouping import SERIES, groups, once
from .planned import runs
from .timed import pace, step_times

# What two timed cells must share to be compared, besides their machine.
_SAME = ["task", "series", "batch_size", "input"]
_COLUMNS = words(
    "machine rule setup reference ratio ratio_low ratio_high least most cells launches contended"
    " seconds_least seconds_most digests"
)
_Launches = Mapping[Any, np.ndarray]


@once
def step_costs(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a machine, rule and setup, the cheapest first: machine, rule, setup, reference (the
    cheapest setup, which has ratio 1), ratio with limits, least, most (of single cells), cells,
    launches (the fewest of a cell), contended, seconds_least, seconds_most (p25 of its cells),
    digests.

    The ratio is of p25, see statistics.cost_ratios. Cells are the same if task, series, batch size
    and input are. A setup that shares no cell with the reference has NaN."""
    times = step_times(frames, suite)
    timed = times[times["launches"] > 0]
    ended = runs(frames, suite, "timing")
    ended = ended[ended["status"] == "ok"]
    known = dict(zip(ended["digest"], ended["step_p25_s"], strict=True))
    found: list[dict[str, Any]] = []
    for key, rows in groups(timed, ["machine", "rule"]):
        of_setups = {str(s): _launches(of, known) for s, of in rows.groupby("setup", sort=False)}
        reference = _reference(of_setups)
        found += [
            {**key, "setup": setup, "reference": reference}
            | _row(rows[rows["setup"] == setup], _over(of_setups[setup], of_setups[reference]))
            for setup in of_setups
        ]
    table = pd.DataFrame(found, columns=_COLUMNS)
    order = table.assign(n=pd.factorize(table["machine"] + "\n" + table["rule"])[0])
    return table.loc[order.sort_values(["n", "ratio"], kind="stable").index].reset_index(drop=True)


def _launches(rows: pd.DataFrame, known: Mapping[str, float]) -> dict[Any, np.ndarray]:
    """Cell -> p25 of its launches that ended ok, float[launches]. known: digest -> p25."""
    digests = [digests.split() for digests in rows["digests"]]
    cells = rows[_SAME].itertuples(index=False, name=None)
    return {
        cell: np.array([known[digest] for digest in of if digest in known])
        for cell, of in zip(cells, digests, strict=True)
    }


def _over(ours: _Launches, theirs: _Launches) -> CostRatio | None:
    shared = [(of, theirs[cell]) for cell, of in ours.items() if cell in theirs]
    return cost_ratio(shared) if shared else None


def _reference(of_setups: Mapping[str, _Launches]) -> str:
    """The setup that shares cells with most others, and of these the cheapest."""

    logs = {
        setup: {cell: float(np.log(of).mean()) for cell, of in cells.items()}
        for setup, cells in of_setups.items()
    }

    def rank(setup: str) -> tuple[int, float]:
        shared = [
            [of[cell] - logs[setup][cell] for cell in of if cell in logs[setup]]
            for of in logs.values()
        ]
        means = [sum(of) / len(of) for of in shared if of]
        return len(means), min(means)

    return max(of_setups, key=rank)


def _row(rows: pd.DataFrame, found: CostRatio | None) -> dict[str, Any]:
    costs = {
        "launches": int(rows["launches"].min()),
        "contended": int((rows["contended"] > 0).sum()),
        "seconds_least": rows["step_p25_s"].min(),
        "seconds_most": rows["step_p25_s"].max(),
        "digests": " ".join(rows["digests"]),
    }
    if found is None:
        unknown = words("ratio ratio_low ratio_high least most")
        return {**dict.fromkeys(unknown, math.nan), "cells": 0, **costs}
    limits = dict(zip(words("ratio ratio_low ratio_high"), found.ratio[:3], strict=True))
    return {**limits, "least": found.least, "most": found.most, "cells": found.cells, **costs}


def by_series(frames: Frames, suite: str) -> pd.DataFrame:
    """Of each trained series and setup that was timed in its very setting on the task's machine:
    series, setup, ratio: p25 over that of the series' cheapest setup, geometric mean over the tasks
    that both have. Rows of series with several setups only."""
    timed = pace(frames, suite)
    settings = runs(frames, suite, "convergence").drop_duplicates(SERIES)[[*SERIES, "setting"]]
    times = step_times(frames, suite)[["setting", "machine", "step_p25_s"]]
    rows = timed.merge(settings, on=SERIES).merge(
        times, left_on=["setting", "timed_on"], right_on=["setting", "machine"]
    )
    seconds: dict[str, dict[str, dict[str, float]]] = {}
    for series, setup, task, p25 in rows[["series", "setup", "task", "step_p25_s"]].to_numpy():
        seconds.setdefault(series, {}).setdefault(setup, {})[task] = p25
    found = [(series, *ratio) for series, of in seconds.items() for ratio in _of_series(of)]
    return pd.DataFrame(found, columns=["series", "setup", "ratio"])


def _of_series(seconds: Mapping[str, Mapping[str, float]]) -> list[tuple[str, float]]:
    """Setup -> task -> p25 to setups and their ratios over the tasks that all have."""
    tasks = set.intersection(*(set(of) for of in seconds.values()))
    if len(seconds) < 2 or not tasks:
        return []
    means = {s: float(np.mean([np.log(of[task]) for task in tasks])) for s, of in seconds.items()}
    return [(s, float(np.exp(mean - min(means.values())))) for s, mean in means.items()]


def by_rule(costs: pd.DataFrame, trained: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each machine and rule of `step_costs`, those of rules that were trained first."""
    used = set(trained["rule"])
    found = [rows for _, rows in groups(costs, ["machine", "rule"])]
    return sorted(found, key=lambda rows: rows["rule"].iloc[0] not in used)
