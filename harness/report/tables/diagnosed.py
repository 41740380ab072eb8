"""Findings of the diagnosis, results by share of the training split, and norms of gradients."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from ... import diagnosis
from ...diagnosis.course import course_of
from ...results.frame import Frames
from .grouping import SERIES, bands, numbers, once, with_several
from .planned import runs
from .rates import chosen

CELL = [*SERIES, "learning_rate"]
_FRACTION = re.compile(r"(?:^|(?:, | · ))train_fraction=[^,·]*")
_BAND = ["mean", "min", "max", "runs"]

per_run = once(diagnosis.of)


def findings(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a cell and rule, by task and then the gravest first: task, setup, series,
    learning_rate, rule, severity, runs (with this finding), judged (runs of the cell), step (the
    median of the steps at which it began), reason (of the first of them), digests."""
    rows, found = runs(frames, suite, "convergence"), per_run(frames, suite)
    if found.empty:
        columns = [*CELL, "rule", "severity", "runs", "judged", "step", "reason", "digests"]
        return pd.DataFrame(columns=columns)
    # A rule may name several layers of one run.
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
    ranks = {
        "task": pd.factorize(counted["task"])[0],
        "severity": counted["severity"].map(diagnosis.SEVERITIES.index),
        "rule": counted["rule"].map(diagnosis.RULES.index),
    }
    order = pd.DataFrame(ranks).sort_values(list(ranks), kind="stable").index
    return counted.loc[order].reset_index(drop=True)


def _gravest(severities: pd.Series) -> str:
    return min(severities, key=diagnosis.SEVERITIES.index)


def by_fraction(frames: Frames, suite: str) -> pd.DataFrame:
    """How runs ended on shares of the training split, of runs that ended ok, if several shares were
    run: task, setup, optimizer, variant, series (without the share), metric (train_loss of the last
    epoch, validation_loss, validation_metric), fraction, mean, min, max, runs."""
    keys = ["task", "setup", "optimizer", "variant", "series", "metric", "fraction"]
    rows = chosen(frames, suite)
    rows = rows[rows["status"] == "ok"]
    fractions = [frames.records[d].spec.task.train_fraction for d in rows["digest"]]
    rows = rows.assign(
        fraction=numbers(rows, fractions),
        series=rows["series"].map(_without_fraction),
        variant=rows["variant"].map(_without_fraction),
    )
    rows = with_several(rows, "fraction", SERIES)
    if rows.empty:
        return pd.DataFrame(columns=[*keys, *_BAND])
    ends = {
        "validation_loss": rows["final_validation_loss"],
        "validation_metric": rows["final_validation_metric"],
        "train_loss": _last_epochs(frames, rows),
    }
    long = pd.concat([rows.assign(metric=name, value=values) for name, values in ends.items()])
    found = bands(long[np.isfinite(long["value"])], keys)
    return found.sort_values("fraction", kind="stable").reset_index(drop=True)


def _without_fraction(words: str) -> str:
    return _FRACTION.sub("", words).strip(", ·")


def _last_epochs(frames: Frames, rows: pd.DataFrame) -> pd.Series:
    """The training loss averaged over the last epoch, or less of a short run (Course.windows)."""
    points = frames.curves[frames.curves["digest"].isin(set(rows["digest"]))].drop_duplicates()
    curves = {str(digest): curve for digest, curve in points.groupby("digest")}

    def end(digest: str) -> float:
        if digest not in curves:
            return float("nan")
        columns = {name: curves[digest][name].to_numpy() for name in ("step", "series", "value")}
        return course_of(frames.records[digest], columns).end

    return numbers(rows, [end(digest) for digest in rows["digest"]])


def gradient_norms(frames: Frames, suite: str) -> pd.DataFrame:
    """Norms of the gradient of every layer over the diagnosed runs at the learning rate that
    figures show: task, setup, optimizer, series, layer, step, mean, min, max, runs. Norms of 0 and
    those that are not finite are left out: a logarithmic scale has no place for them."""
    keys = ["task", "setup", "optimizer", "series", "layer", "step"]
    norms = frames.norms.drop_duplicates(["digest", "step", "parameter"]).astype({"digest": "str"})
    picked = chosen(frames, suite)[["digest", *keys[:4]]].drop_duplicates("digest")
    rows = picked.astype({"digest": "str"}).merge(norms, on="digest")
    if rows.empty:
        return pd.DataFrame(columns=[*keys, *_BAND])
    layers = rows["parameter"].str.rpartition(".")[0]
    rows = rows.assign(layer=layers, value=rows["gradient"].astype("float64") ** 2)
    squares = rows.groupby([*keys, "digest"], sort=False)["value"].sum(min_count=1)
    of_layer = np.sqrt(squares).reset_index()
    return bands(of_layer[np.isfinite(of_layer["value"]) & (of_layer["value"] > 0)], keys)
