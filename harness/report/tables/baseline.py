"""The best draw of every optimizer of a search against that of AdamW, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...plugins.space import published
from ...registry import load_registry
from ...results.frame import Frames
from ...statistics.holm import holm
from ...statistics.intervals import t_interval
from ...tune.inclusion import claims
from .grouping import groups
from .planned import metrics
from .rates import chosen
from .variations import are_draws

BASELINE, ALPHA = "adamw", 0.05
# Paired differences of fewer seeds say nothing of their spread.
FEWEST_SEEDS = 3
WORSE = "worse"


def against(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a task, setup and optimizer of a random search that has AdamW, at the draw of least
    mean validation loss: task, setup, series, metric, learning_rate, hyper, score and gain with
    limits, seeds, verdict, digests.

    score: the mean over seeds of the test metric (of the test loss if a task has no other metric).
    gain: the mean over seeds of its distance from AdamW's, higher being better, with Student's 95%
    interval; AdamW's own is NaN. verdict: "better", "worse" or "not shown to differ" by the paired
    t test, corrected for all optimizers of the task (Holm); "" if seeds are too few."""
    picked = chosen(frames, suite)
    if picked.empty or not are_draws(picked, frames):
        return pd.DataFrame()
    kinds = metrics(frames, suite)
    found = [
        row
        for key, rows in groups(picked, ["task", "setup"])
        if BASELINE in set(rows["series"])
        for row in _compared(key, rows, kinds[key["task"]])
    ]
    return pd.DataFrame(found)


def _compared(key: Mapping[str, Any], rows: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    column, sign = ("test_loss", -1.0) if metric == "negative_loss" else ("test_metric", 1.0)
    ended = rows.assign(score=rows[column].where(rows["status"] == "ok"))
    by_seed = {name: of.set_index("seed")["score"] for name, of in ended.groupby("series")}
    base, found = by_seed[BASELINE], []
    for series, of in ended.groupby("series", sort=False):
        gains = (sign * (by_seed[series] - base)).dropna().to_numpy()
        found.append(
            {
                **key,
                "series": series,
                "metric": metric,
                "learning_rate": of["learning_rate"].iloc[0],
                "hyper": of["hyper"].iloc[0],
                **_limits("score", of["score"].dropna().to_numpy()),
                **_limits("gain", gains if series != BASELINE else gains[:0]),
                "p": _p(gains) if series != BASELINE else np.nan,
                "seeds": len(gains),
                "digests": " ".join(of["digest"]),
            }
        )
    return _judged(sorted(found, key=lambda row: -sign * np.nan_to_num(row["score"], nan=-np.inf)))


def _limits(name: str, values: np.ndarray) -> dict[str, float]:
    if len(values) < FEWEST_SEEDS:
        mean = float(values.mean()) if len(values) else np.nan
        return {name: mean, f"{name}_low": np.nan, f"{name}_high": np.nan}
    found = t_interval(values)
    return {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def _p(gains: np.ndarray) -> float:
    """Of the paired t test; 1 if all are 0, NaN if they are too few."""
    from scipy import stats

    if len(gains) < FEWEST_SEEDS:
        return float("nan")
    if not gains.any():
        return 1.0
    return float(stats.ttest_1samp(gains, 0.0).pvalue)


def _judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the verdicts, for p values corrected together."""
    tested = [row for row in rows if np.isfinite(row["p"])]
    corrected = holm(np.array([row["p"] for row in tested]))
    verdicts = {id(row): _verdict(row, p) for row, p in zip(tested, corrected, strict=True)}
    return [{**row, "verdict": verdicts.get(id(row), "")} for row in rows]


def _verdict(row: Mapping[str, Any], p: float) -> str:
    if p >= ALPHA:
        return "not shown to differ"
    return "better" if row["gain"] > 0 else WORSE


def under_tuned(frames: Frames, suite: str) -> Iterator[tuple[str, str, str]]:
    """(task, general, special) of optimizers whose search ended worse than that of a special case
    of theirs, which their space holds or approximates: the inclusion check on validation data."""
    picked = chosen(frames, suite)
    registry = load_registry()
    names = [name for name in dict.fromkeys(picked["optimizer"]) if name in registry.optimizers]
    spaces = {name: published(registry.optimizers[name]) for name in names}
    held = [(a, b) for a, b, claim in claims(spaces) if claim != "not contained"]
    for key, rows in groups(picked[picked["status"] == "ok"], ["task", "setup"]):
        losses = {n: of.set_index("seed") for n, of in rows.groupby("series")}
        for general, special in held:
            if general in losses and special in losses:
                ours, theirs = (losses[n]["final_validation_loss"] for n in (general, special))
                lost = (ours - theirs).dropna().to_numpy()
                if len(lost) >= FEWEST_SEEDS and t_interval(lost).low > 0:
                    yield key["task"], general, special
