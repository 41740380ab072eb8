"""Batch size: steps and samples to target, the learning rate chosen anew for each size."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from ...spec import number_text
from ...statistics.comparisons import seeds_warning
from .. import cells, text
from ..builder import Builder
from ..cells import THOUSANDS, WHOLE
from ..columns import NAMES, field, share, whole
from ..content import Figure, Row, Section, TableCell
from ..draw.lazy import Lazy
from ..draw.looks import Looks, looks
from ..notes import described, goal, joined
from ..tables.batch_sizes import scaling
from ..tables.variations import are_draws

drawing = Lazy("batch_sizes")
PLACE = 100
CAPTION = (
    "Mark: median over the runs; bar: their range, not a confidence interval. An open triangle is a"
    " median run that missed the target, at its budget: censored, not dropped. Each size's learning"
    " rate is the one of those run at which the most runs arrived, and then at the least expected"
    " running time: chosen with hindsight. Grey: perfect scaling from the smallest size whose"
    " median run arrived, at which twice the batch takes half the steps and as many samples. Every"
    " size had the same number of steps."
)


def _rate(row: Row) -> TableCell:
    said = joined(number_text(row["learning_rate"]), "(edge)" if row["edge"] else "")
    return TableCell(said, row["learning_rate"])


def _steps(row: Row) -> TableCell:
    spread = text.limits(row["steps_low"], row["steps_high"], WHOLE, alike=False)
    if not np.isfinite(row["steps"]):
        return TableCell(f"> {row['budget']:g}", 1e300, spread)
    return cells.number(row["steps"], WHOLE, spread)


def _samples(row: Row) -> TableCell:
    if not np.isfinite(row["steps"]):
        return TableCell(text.MISSING, 1e300)
    return cells.number(row["samples"], THOUSANDS)


def _efficiency(row: Row) -> TableCell:
    known = row["efficiency"] if np.isfinite(row["steps"]) else np.nan
    return cells.number(known, text.percent)


COLUMNS = [
    *NAMES,
    whole("Batch", "batch_size"),
    field(
        "Learning rate",
        _rate,
        help="chosen with hindsight; at an edge of those run a better one may lie beyond",
    ),
    share("Reached", "reached", "runs"),
    field("Steps to target", _steps, help="median; below, the range"),
    field("Samples to target", _samples),
    field(
        "Of perfect scaling",
        _efficiency,
        help="steps that perfect scaling would take over those it took",
    ),
    whole("Rates", "rates"),
]


def section(builder: Builder) -> Section:
    """Of runs at several batch sizes, other than draws of a search."""
    found = Section("batch-sizes", "Batch size")
    if are_draws(builder.trained, builder.frames):
        return found
    table = scaling(builder.frames, builder.suite)
    if table.empty:
        return found
    found.warn(seeds_warning(int(table["runs"].min())))
    styles = looks(table["series"])
    for task, rows in table.groupby("task", sort=False):
        found.add(_figure(builder, str(task), rows, styles))
    found.add(builder.table("scaling", "Steps to target by batch size", COLUMNS, table))
    return found


def _figure(builder: Builder, task: str, rows: pd.DataFrame, styles: Looks) -> Figure:
    reached = goal(builder.task(rows["digests"].iloc[0].split()[0]))
    shown = "Steps and samples to target against batch size."
    return builder.figure(
        f"{task}-batch-sizes",
        partial(drawing.batch_sizes, rows, styles),
        f"{task}: batch size",
        described(shown, rows["setup"], rows["series"]),
        rows,
        f"{task}: steps (above) and samples (below) until {reached}, against the batch size."
        f" {CAPTION}",
    )
