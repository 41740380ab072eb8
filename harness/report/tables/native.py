"""Native runs paired with canonical ones, and the spread between frameworks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...results.columns import words
from ...results.frame import Frames
from ...statistics import aggregates
from ...statistics.bootstrap import bootstrap_interval
from .grouping import groups

# What two runs share that differ in their rule alone, or in their framework alone.
PAIR = words(
    "task framework optimizer schedule schedule_params learning_rate batch_size steps"
    " seed variation"
)
# What a ratio is given for.
OF = ["task", "framework", "optimizer"]
_GROUP = [name for name in PAIR if name not in OF]


def paired(frames: Frames, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a pair: PAIR, status_native, status_canonical, log_ratio (of final validation losses)
    and curve (mean absolute log ratio over the evaluations that both have), NaN if a run did not
    end ok; digests of both."""
    names = [*PAIR, "digest", "status", "final_validation_loss"]
    native, canonical = (runs.loc[runs["rule"] == rule, names] for rule in ("native", "canonical"))
    canonical = canonical.drop_duplicates(PAIR)
    pairs = native.merge(canonical, on=PAIR, suffixes=("_native", "_canonical"))
    ended = (pairs["status_native"] == "ok") & (pairs["status_canonical"] == "ok")
    losses = [f"final_validation_loss_{rule}" for rule in ("native", "canonical")]
    both = pairs[losses].astype("float64")
    positive = ended & (both > 0).all(axis=1)
    logs = np.log(both.where(positive))
    curves = _curves(frames, {*pairs["digest_native"], *pairs["digest_canonical"]})
    found = zip(pairs["digest_native"], pairs["digest_canonical"], positive, strict=True)
    apart = [_apart(curves.get(a), curves.get(b)) if fine else np.nan for a, b, fine in found]
    return pairs.assign(log_ratio=logs.iloc[:, 0] - logs.iloc[:, 1], curve=apart)


def _curves(frames: Frames, digests: set[str]) -> dict[str, pd.Series]:
    points = frames.curves[frames.curves["series"] == "validation_loss"]
    points = points[points["digest"].isin(digests)]
    return {str(of): rows.set_index("step")["value"] for of, rows in points.groupby("digest")}


def _apart(a: pd.Series | None, b: pd.Series | None) -> float:
    if a is None or b is None:
        return float("nan")
    both = pd.concat([a, b], axis=1, join="inner").to_numpy(dtype=np.float64)
    both = both[(both > 0).all(axis=1) & np.isfinite(both).all(axis=1)]
    return float(np.abs(np.log(both[:, 0] / both[:, 1])).mean()) if len(both) else float("nan")


def ratios(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row a task, framework and optimizer: pairs, lost (without a ratio), ratio with limits,
    curve (mean, as a share)."""
    rows: list[dict[str, Any]] = []
    for key, group in groups(pairs, OF):
        logs = group["log_ratio"].dropna().to_numpy()
        limits = bootstrap_interval([logs], aggregates.mean)[:3] if len(logs) else (np.nan,) * 3
        named = zip(("ratio", "ratio_low", "ratio_high"), limits, strict=True)
        row = {**key, "pairs": len(group), "lost": len(group) - len(logs)}
        row |= {name: float(np.exp(value)) for name, value in named}
        rows.append({**row, "curve": float(np.expm1(group["curve"].mean()))})
    return pd.DataFrame(rows)


def spreads(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a task, optimizer and rule that several frameworks ran: frameworks, groups (of runs
    alike in all but the framework), lost (groups with a run that did not end ok), spread: the mean
    over groups of the greatest final validation loss over the least, less 1."""
    rows: list[dict[str, Any]] = []
    for key, of in groups(runs, ["task", "optimizer", "rule"]):
        frameworks = list(dict.fromkeys(of["framework"]))
        alike = [group for _, group in of.groupby(_GROUP, sort=False)]
        alike = [group for group in alike if group["framework"].nunique() == len(frameworks)]
        if len(frameworks) < 2 or not alike:
            continue
        ended = [g["final_validation_loss"] for g in alike if (g["status"] == "ok").all()]
        found = [losses.max() / losses.min() - 1 for losses in ended if (losses > 0).all()]
        row = {**key, "frameworks": ", ".join(frameworks), "groups": len(alike)}
        spread = float(np.mean(found)) if found else np.nan
        rows.append({**row, "lost": len(alike) - len(found), "spread": spread})
    columns = ["task", "optimizer", "rule", "frameworks", "groups", "lost", "spread"]
    return pd.DataFrame(rows, columns=columns)
