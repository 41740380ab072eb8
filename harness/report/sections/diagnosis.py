"""Findings on the curves and norms of the runs, learning curves against the size of the training
set, gradient norms."""

from __future__ import annotations

from functools import partial

import pandas as pd

from .. import text
from ..builder import Builder
from ..columns import NAMES, exact, field, word
from ..content import Figure, Row, Section, TableCell
from ..draw.lazy import Lazy
from ..draw.looks import METRIC_TITLES, layer_looks, series_looks
from ..notes import described, joined
from ..tables import diagnosed

PLACE = 170
diagnosis = Lazy("diagnosis")
# Beyond this many variants of an optimizer a figure of norms becomes too tall to be read.
MOST_PANEL_ROWS = 6
MEANING = (
    "Rules read every curve by itself, against its own start: they see symptoms, and the cause that"
    " a reason names is the likeliest, not a proven one. Rules on gradients and units need recorded"
    " norms (--diagnose). Thresholds and their sources: docs/diagnosis.md."
)
_FLAGS = {"error": "failed", "warning": "skipped", "note": "", "none": ""}


def _step(row: Row) -> TableCell:
    if row["severity"] == "none":
        return TableCell(text.MISSING)
    return TableCell(f"{row['step']:g}", float(row["step"]))


def _runs(row: Row) -> TableCell:
    return TableCell(f"{row['runs']} of {row['judged']}", row["runs"], runs=row["digests"])


COLUMNS = [
    *NAMES,
    exact("Learning rate", "learning_rate"),
    field("Finding", lambda row: TableCell(row["rule"], flag=_FLAGS[row["severity"]]), ""),
    field("Runs", _runs, "", "those with this finding, of those that could be judged"),
    field("Since step", _step, help="median over these runs"),
    word("Reason, of the first of them", "reason"),
]


def section(builder: Builder) -> Section:
    """Empty if nothing was trained."""
    found = Section("diagnosis", "Diagnosis")
    findings = diagnosed.findings(builder.frames, builder.suite)
    if len(findings):
        caption = "Findings on the curves"
        found.add(MEANING, builder.table("findings", caption, COLUMNS, findings))
    fractions = diagnosed.by_fraction(builder.frames, builder.suite)
    for task, rows in fractions.groupby("task", sort=False):
        found.add(_by_fraction(builder, str(task), rows))
    norms = diagnosed.gradient_norms(builder.frames, builder.suite)
    for (task, optimizer), rows in norms.groupby(["task", "optimizer"], sort=False):
        found.add(_norms(builder, str(task), str(optimizer), rows))
    return found


def _by_fraction(builder: Builder, task: str, rows: pd.DataFrame) -> Figure:
    styles, kind = series_looks(rows, builder.optimizers), builder.metrics[task]
    more = f", below {METRIC_TITLES[kind]}" if kind in METRIC_TITLES else ""
    shown = (
        f"Line charts of final validation and training loss{more}, against the share of the"
        " training split."
    )
    return builder.figure(
        f"{task}-fractions",
        partial(diagnosis.by_fraction, rows, styles, kind),
        f"{task}: how much data it takes",
        described(shown, rows["setup"], rows["series"]),
        rows,
        f"{task}: loss{more} at the end of training, against the share of the training split that"
        " was trained on. Training loss is the mean of the last epoch's batches. Lines are means"
        " over the runs that ended ok, bands their range. A gap that narrows with more data is one"
        " of generalisation; two high lines that have met are one of the model.",
    )


def _norms(builder: Builder, task: str, optimizer: str, rows: pd.DataFrame) -> Figure:
    names = list(dict.fromkeys(rows["series"]))
    drawn = rows[rows["series"].isin(names[:MOST_PANEL_ROWS])]
    left = len(names) - MOST_PANEL_ROWS
    shown = "Line charts of the norm of each layer's gradient over steps."
    caption = joined(
        f"{task}, {optimizer}: norm of the gradient of each layer's parameters at evaluated steps,"
        " penalties included, before clipping. Lines are means over the diagnosed runs, bands"
        " their range; norms of exactly 0 are left out.",
        f"{text.plural(left, 'variant')} more in the data." if left > 0 else "",
    )
    return builder.figure(
        f"{task}-{optimizer}-norms",
        partial(diagnosis.gradient_norms, drawn),
        f"{task}: gradients under {optimizer}",
        described(shown, drawn["setup"], layer_looks(drawn)),
        rows,
        caption,
    )
