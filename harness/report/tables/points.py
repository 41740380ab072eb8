"""Points of learning curves, and the ways of runs over a function of two numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...results.frame import Frames
from . import grouping
from .grouping import SERIES

TRAIN_BINS = 60
# Points that are averaged at once: a sweep has millions, and each step over them is a copy.
_AT_ONCE = 50_000
_METRICS = ("train_loss", "validation_loss", "validation_metric")
_NAMES = [*SERIES, "digest", "status"]


def curves(frames: Frames, picked: pd.DataFrame) -> pd.DataFrame:
    """Points of the runs' curves: task, setup, series, digest, status, metric, step, value; finite
    values only. Training loss is averaged over bins of `train_bin(steps)` steps, and a bin stands
    at its middle."""
    picked = picked.drop_duplicates("digest").reset_index(drop=True)
    run = pd.Index(picked["digest"]).get_indexer(frames.curves["digest"].astype("str"))
    order = np.argsort(run, kind="stable")[np.count_nonzero(run < 0) :]
    widths = picked["steps"].map(train_bin).to_numpy()
    found = [
        _averaged(frames.curves.iloc[rows], run[rows], widths) for rows in _whole_runs(order, run)
    ]
    if not found:
        return pd.DataFrame(columns=[*_NAMES, "metric", "step", "value"])
    means = pd.concat(found, ignore_index=True)
    of_runs = picked[_NAMES].iloc[means.pop("run").to_numpy()].reset_index(drop=True)
    return pd.concat([of_runs, means], axis=1)


def _whole_runs(order: np.ndarray, run: np.ndarray) -> list[np.ndarray]:
    """The rows int[n], ordered by run, in parts of about _AT_ONCE that hold whole runs."""
    begins = np.flatnonzero(np.diff(run[order], prepend=-1))
    parts = begins // _AT_ONCE
    return np.split(order, begins[1:][np.diff(parts) > 0]) if len(order) else []


def _averaged(curves: pd.DataFrame, run: np.ndarray, widths: np.ndarray) -> pd.DataFrame:
    """run, metric, step, value of the points of whole runs, training losses as means of their
    bins."""
    taken = {
        "run": run,
        "metric": curves["series"].to_numpy(),
        "step": curves["step"].to_numpy(dtype="float64"),
        "value": curves["value"].to_numpy(dtype="float64"),
    }
    points = pd.DataFrame(taken).astype({"metric": "str"})
    points = points[points["metric"].isin(_METRICS)].drop_duplicates(["run", "metric", "step"])
    points = points[np.isfinite(points["value"])]
    width = widths[points["run"].to_numpy()]
    middle = (points["step"] // width) * width + width / 2
    points = points.assign(step=points["step"].where(points["metric"] != "train_loss", middle))
    return points.groupby(["run", "metric", "step"], sort=False, as_index=False)["value"].mean()


def train_bin(steps: int) -> int:
    """Steps averaged into one point of a training loss."""
    return max(1, -(-int(steps) // TRAIN_BINS))


def bands(points: pd.DataFrame) -> pd.DataFrame:
    """Mean, min and max over the runs that ended ok: task, setup, series, metric, step, mean, min,
    max, runs."""
    return grouping.bands(points[points["status"] == "ok"], [*SERIES, "metric", "step"])


def with_runs(bands: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """The bands with a column `digests`: those of the runs behind each series."""
    ended = points[points["status"] == "ok"].drop_duplicates([*SERIES, "digest"])
    runs = ended.groupby(SERIES, sort=False)["digest"].agg(" ".join).rename("digests")
    return bands.merge(runs.reset_index(), on=SERIES, how="left")


def paths(frames: Frames, picked: pd.DataFrame) -> pd.DataFrame:
    """The way of runs whose task is a function of two numbers: task, setup, series, digest, status,
    step, x, y; one run of every task, setup and series, since its seeds start at the same point."""
    places = frames.curves[frames.curves["series"].isin(("point_0", "point_1"))]
    places = places.drop_duplicates(["digest", "step", "series"])
    if places.empty:
        return pd.DataFrame(columns=[*_NAMES, "step", "x", "y"])
    wide = places.pivot(index=["digest", "step"], columns="series", values="value").reset_index()
    wide = wide.rename(columns={"point_0": "x", "point_1": "y"}).astype({"digest": "str"})
    first = picked.sort_values("seed", kind="stable").drop_duplicates(SERIES)
    found = first[_NAMES].merge(wide, on="digest").sort_values("step", kind="stable")
    return found[np.isfinite(found["x"]) & np.isfinite(found["y"])].reset_index(drop=True)
