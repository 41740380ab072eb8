"""Pure functions from frames to the tables of the diagnosis section."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from .. import diagnosis
from ..diagnosis.course import course_of
from ..results.frame import Frames
from . import tables

CELL = ["task", "setup", "series", "learning_rate"]
_FRACTION = re.compile(r"(?:^|(?:, | · ))train_fraction=[^,·]*")


per_run = tables.once(diagnosis.of)


def findings(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a cell and rule, by task and then the gravest first: task, setup, series,
    learning_rate, rule, severity, runs (with this finding), judged (runs of the cell), step (the
    median of where it began), reason (of the first of them), digests."""
    rows = tables.runs(frames, suite, "convergence")
    found = per_run(frames, suite)
    if found.empty:
        return pd.DataFrame(
            columns=[*CELL, "rule", "severity", "runs", "judged", "step", "reason", "digests"]
        )
    # A rule may speak of several layers of one run.
    firsts = found.drop_duplicates(["digest", "rule"]).astype({"digest": "str"})
    merged = rows[["digest", *CELL]].astype({"digest": "str"}).merge(firsts, on="digest")
    judged = merged.groupby(CELL, sort=False)["digest"].nunique().rename("judged").reset_index()
    cells = merged.groupby([*CELL, "rule"], sort=False).agg(
        severity=("severity", _gravest),
        runs=("digest", "size"),
        step=("step", "median"),
        reason=("reason", "first"),
        digests=("digest", " ".join),
    )
    counted = cells.reset_index().merge(judged, on=CELL)
    ranks = pd.DataFrame(
        {
            "task": pd.factorize(counted["task"])[0],
            "severity": counted["severity"].map(diagnosis.SEVERITIES.index),
            "rule": counted["rule"].map(diagnosis.RULES.index),
        }
    )
    return counted.loc[ranks.sort_values(list(ranks), kind="stable").index].reset_index(drop=True)


def _gravest(severities: pd.Series) -> str:
    return min(severities, key=diagnosis.SEVERITIES.index)


def by_fraction(frames: Frames, suite: str) -> pd.DataFrame:
    """What training on shares of the training split came to, of runs that ended ok and where
    several shares were run: task, setup, optimizer, variant, series (without the share), metric
    (train_loss of the last epoch, validation_loss, validation_metric), fraction, mean, min, max,
    runs."""
    keys = ["task", "setup", "optimizer", "variant", "series", "metric", "fraction"]
    rows = tables.chosen(frames, suite)
    rows = rows[rows["status"] == "ok"]
    fractions = pd.Series(
        [frames.records[d].spec.task.train_fraction for d in rows["digest"]],
        rows.index,
        dtype="float64",
    )
    rows = rows.assign(
        fraction=fractions,
        series=rows["series"].map(_without_fraction),
        variant=rows["variant"].map(_without_fraction),
    )
    several = (
        rows.groupby(["task", "setup", "series"])["fraction"].transform("nunique") > 1
        if len(rows)
        else []
    )
    rows = rows[several]
    if rows.empty:
        return pd.DataFrame(columns=[*keys, "mean", "min", "max", "runs"])
    ends = {
        "validation_loss": rows["final_validation_loss"],
        "validation_metric": rows["final_validation_metric"],
    }
    ends["train_loss"] = _last_epochs(frames, rows["digest"])
    long = pd.concat([rows.assign(metric=name, value=values) for name, values in ends.items()])
    groups = long[np.isfinite(long["value"])].groupby(keys, sort=False)["value"]
    found = (
        groups.agg(["mean", "min", "max", "count"]).rename(columns={"count": "runs"}).reset_index()
    )
    return found.sort_values("fraction", kind="stable").reset_index(drop=True)


def _without_fraction(words: str) -> str:
    return _FRACTION.sub("", words).strip(", ·")


def _last_epochs(frames: Frames, digests: pd.Series) -> pd.Series:
    """The training loss averaged over the last epoch, or less of a short run (Course.windows)."""
    curves = dict(
        tuple(
            frames.curves[frames.curves["digest"].isin(set(digests))]
            .drop_duplicates()
            .groupby("digest")
        )
    )
    ends = [
        (
            course_of(
                frames.records[digest],
                {name: curves[digest][name].to_numpy() for name in ("step", "series", "value")},
            ).end
            if digest in curves
            else np.nan
        )
        for digest in digests
    ]
    return pd.Series(ends, digests.index, dtype="float64")


def gradient_norms(frames: Frames, suite: str) -> pd.DataFrame:
    """Norms of the gradient of every layer over the diagnosed runs at the learning rate that
    figures show: task, setup, optimizer, series, layer, step, mean, min, max, runs. Norms of 0 and
    those that are not finite have no place on a logarithmic scale and are left out."""
    keys = ["task", "setup", "optimizer", "series", "layer", "step"]
    norms = frames.norms.drop_duplicates(["digest", "step", "parameter"]).astype({"digest": "str"})
    picked = tables.chosen(frames, suite)
    picked = picked[["digest", *keys[:4]]].drop_duplicates("digest").astype({"digest": "str"})
    rows = picked.merge(norms, on="digest")
    if rows.empty:
        return pd.DataFrame(columns=[*keys, "mean", "min", "max", "runs"])
    rows = rows.assign(
        layer=rows["parameter"].str.rpartition(".")[0],
        value=rows["gradient"].astype("float64") ** 2,
    )
    of_layer = np.sqrt(
        rows.groupby([*keys, "digest"], sort=False)["value"].sum(min_count=1)
    ).reset_index()
    drawn = of_layer[np.isfinite(of_layer["value"]) & (of_layer["value"] > 0)]
    groups = drawn.groupby(keys, sort=False)["value"]
    return (
        groups.agg(["mean", "min", "max", "count"]).rename(columns={"count": "runs"}).reset_index()
    )
