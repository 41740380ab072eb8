"""The runs of a suite in its plan's order, and those that did not end ok."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from ...results.frame import Frames
from ...spec import Metric
from .. import text
from . import naming
from .grouping import groups, once, texts


@once
def runs(
    frames: Frames, suite: str, *measures: str, trials: bool = False, without: Collection[str] = ()
) -> pd.DataFrame:
    """Rows of one suite (of these measures, or of all) in the plan's order, with columns that name
    them in figures. The trials of a search are left out unless `trials` is set.

    setup: framework (mode), with device, dtype or threads if the suite varies them. variant:
    whatever else is varied, except the learning rate, the number of a random draw, and `without`.
    series: optimizer and variant."""
    rows = frames.runs[frames.runs["suite"] == suite].drop_duplicates("digest")
    rows = rows.reset_index(drop=True)
    tried = np.array(
        ["trial" in frames.records[digest].spec.variations for digest in rows["digest"]], dtype=bool
    )
    # If a search has come no further, its trials are all there is to show.
    rows = rows if trials or tried.all() else rows[~tried].reset_index(drop=True)
    drawn = any("draw" in frames.records[digest].spec.variations for digest in rows["digest"])
    # A draw's hyperparameters name no series, as its number does not.
    without = (*without, "hyper") if drawn else without
    variations = [naming.variation(frames, digest, without) for digest in rows["digest"]]
    rows = rows.assign(variation=texts(rows, variations))
    if measures:
        rows = rows[rows["measure"].isin(measures)].reset_index(drop=True)
    rows = rows.assign(
        setup=texts(rows, naming.setups(rows)), variant=texts(rows, naming.variants(rows, without))
    )
    names = zip(rows["optimizer"], rows["variant"], strict=True)
    return rows.assign(series=texts(rows, [" · ".join(filter(None, pair)) for pair in names]))


def metrics(frames: Frames, suite: str) -> dict[str, Metric]:
    """The metric of each task of the suite, by the task's name."""
    specs = [frames.records[digest].spec for digest in runs(frames, suite)["digest"]]
    return {spec.task.name: spec.task.metric for spec in specs}


def not_ok(frames: Frames, suite: str) -> pd.DataFrame:
    """Cells with runs that did not end ok, one row a cell, status and reason: status, measure,
    task, setup, series, learning_rate, runs, seeds (or launches, as text), reason, digests."""
    rows = runs(frames, suite)
    keys = ["status", "measure", "task", "setup", "series", "learning_rate", "reason"]
    found = [
        {**key, "runs": len(group), "seeds": _numbers(group), "digests": " ".join(group["digest"])}
        for key, group in groups(rows[rows["status"] != "ok"], keys)
    ]
    table = pd.DataFrame(found, columns=[*keys[:-1], "runs", "seeds", "reason", "digests"])
    rank = table["status"].map({status: i for i, status in enumerate(text.STATUSES)})
    return table.iloc[rank.argsort(kind="stable")].reset_index(drop=True)


def all_runs(frames: Frames, suite: str) -> pd.DataFrame:
    """Every run with a record, in the plan's order, without the columns that only label figures."""
    return runs(frames, suite, trials=True).drop(columns=["suite", "setup", "variant", "series"])


def missing(frames: Frames, suite: str) -> int:
    """How many runs of the plan have no record yet."""
    return len(set(frames.plans[suite].digests) - set(runs(frames, suite, trials=True)["digest"]))


def _numbers(group: pd.DataFrame) -> str:
    """Seeds of convergence runs, launches of timing runs: '0, 2'."""
    column = "seed" if group["measure"].iloc[0] == "convergence" else "launch"
    return ", ".join(str(n) for n in sorted(set(group[column])))
