"""Performance profiles and runtime distributions of the contenders of each setup."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from ...results.frame import Frames
from ...statistics import targets
from ...statistics.profiles import Profile, performance_profile
from . import contenders

# Levels of the runtime distribution: shares of the way from a task's zero to its declared target.
LEVELS = (0.5, 0.75, 0.9, 1.0)
# How far the profile is drawn; the score ends at 4.
DRAWN_TO = 8.0


def profile(attempts: pd.DataFrame) -> Profile | None:
    """The profile of one setup, over the contenders that tried all of its tasks."""
    names = list(dict.fromkeys(attempts["task"]))
    times: dict[str, dict[str, np.ndarray]] = {}
    for (series, task), runs in attempts.groupby(["series", "task"], sort=False):
        steps = runs["steps"].where(runs["reached"], np.inf)
        times.setdefault(str(series), {})[str(task)] = steps.to_numpy(dtype=np.float64)
    whole = {name: [of[t] for t in names] for name, of in times.items() if len(of) == len(names)}
    return performance_profile(whole, names) if whole else None


def staircase(profile: Profile, to: float = DRAWN_TO) -> pd.DataFrame:
    """Corners of rho: series, tau, rho; from 1 to `to`."""
    inside = profile.ratios[np.isfinite(profile.ratios) & (profile.ratios <= to)]
    taus = np.unique(np.concatenate([[1.0], inside, [to]]))
    columns = {
        "series": np.repeat(profile.pool, len(taus)),
        "tau": np.tile(taus, len(profile.pool)),
        "rho": profile.rho(taus).ravel(),
    }
    return pd.DataFrame(columns)


def levels(frames: Frames, attempts: pd.DataFrame) -> dict[str, tuple[float, ...]]:
    """The metric's values at LEVELS between zero and target, of each task that can be scored."""
    ends = contenders.ends(frames, attempts)
    return {
        str(row.task): tuple(float(row.zero + share * (row.one - row.zero)) for share in LEVELS)
        for row in ends.itertuples()
    }


def runtimes(frames: Frames, attempts: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """The runtime distribution of each setup and series: setup, series, steps, share; and the least
    budget of any run, beyond which it is a lower bound."""
    of_task = levels(frames, attempts)
    metrics = _metrics(frames, set(attempts["digest"]))
    scored = attempts[attempts["task"].isin(of_task)]
    found, complete = [], np.inf
    for (setup, series), runs in scored.groupby(["setup", "series"], sort=False):
        digests = {str(task): rows["digest"] for task, rows in runs.groupby("task", sort=False)}
        times = {task: _times(of, metrics, of_task[task]) for task, of in digests.items()}
        budgets = {task: _budgets(frames, of) for task, of in digests.items()}
        ecdf = targets.runtime_ecdf(times, {task: of_task[task] for task in digests}, budgets)
        complete = min(complete, ecdf.complete_up_to)
        longest = max(budget.max() for budget in budgets.values())
        steps = np.concatenate([[1.0], ecdf.budgets, [longest]])
        share = np.concatenate([[0.0], ecdf.share, ecdf.share[-1:]])
        columns = {"steps": steps, "share": np.resize(share, steps.size)}
        found.append(pd.DataFrame({"setup": setup, "series": series, **columns}))
    return (pd.concat(found, ignore_index=True) if found else pd.DataFrame()), complete


def _metrics(frames: Frames, digests: set[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Evaluated steps and metrics by digest."""
    points = frames.curves[frames.curves["series"] == "validation_metric"]
    points = points[points["digest"].isin(digests)].sort_values("step", kind="stable")
    return {
        str(digest): (rows["step"].to_numpy(), rows["value"].to_numpy())
        for digest, rows in points.groupby("digest")
    }


def _times(
    digests: pd.Series, metrics: dict[str, tuple[np.ndarray, np.ndarray]], values: tuple[float, ...]
) -> np.ndarray:
    """float[levels, runs]; a level that holds before the first step is reached with it."""
    never = np.full(len(values), np.inf)
    reach = partial(targets.times_to_targets, targets=values, higher_is_better=True)
    columns = [reach(*metrics[digest]) if digest in metrics else never for digest in digests]
    return np.maximum(np.stack(columns, axis=1), 1.0)


def _budgets(frames: Frames, digests: pd.Series) -> np.ndarray:
    return np.array([frames.records[digest].spec.steps for digest in digests], dtype=np.float64)
