"""What the curves and norms of the runs say: findings, learning curves against the training set's
size, gradient norms.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from .. import diagnosed, diagnosed_figures, figures, text
from ..cells import plain
from ..content import Cell, Column, Figure, Row, Section, Table

if TYPE_CHECKING:
    from ..page import Writer

# Beyond this many variants of an optimizer a figure of norms becomes too tall to be read.
MOST_PANEL_ROWS = 6
_FLAGS = {"error": "failed", "warning": "skipped", "note": "", "none": ""}


def diagnosis(writer: Writer) -> Section:
    """Empty where nothing was trained."""
    section = Section("diagnosis", "Diagnosis")
    found = diagnosed.findings(writer.frames, writer.suite)
    if len(found):
        section.parts.append(
            "Rules read every curve by itself, against its own start: what they see are symptoms,"
            " and the cause that a reason names is the likeliest, not a proven one. Rules on"
            " gradients and units speak of runs with recorded norms (--diagnose). Thresholds and"
            " their sources: docs/diagnosis.md."
        )
        section.parts.append(_table(writer, found))
    fractions = diagnosed.by_fraction(writer.frames, writer.suite)
    section.parts += [
        _by_fraction(writer, str(task), rows)
        for task, rows in fractions.groupby("task", sort=False)
    ]
    norms = diagnosed.gradient_norms(writer.frames, writer.suite)
    for (task, optimizer), rows in norms.groupby(["task", "optimizer"], sort=False):
        section.parts.append(_norms(writer, str(task), str(optimizer), rows))
    return section


def _table(writer: Writer, found: pd.DataFrame) -> Table:
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column("Learning rate", "number"),
        Column("Finding"),
        Column("Runs", help="those with this finding, of those that could be judged"),
        Column("Since step", "number", "median over these runs"),
        Column("Reason, of the first of them"),
    ]
    return writer.table(
        "findings",
        "What the curves say",
        columns,
        [_cells(row) for row in found.to_dict("records")],
        found,
    )


def _cells(row: Row) -> list[Cell]:
    quiet = row["severity"] == "none"
    return [
        Cell(row["task"]),
        Cell(row["setup"]),
        Cell(row["series"]),
        plain(row, "learning_rate"),
        Cell(row["rule"], flag=_FLAGS[row["severity"]]),
        Cell(f"{row['runs']} of {row['judged']}", row["runs"], runs=row["digests"]),
        Cell(text.MISSING) if quiet else Cell(f"{row['step']:g}", float(row["step"])),
        Cell(row["reason"]),
    ]


def _by_fraction(writer: Writer, task: str, rows: pd.DataFrame) -> Figure:
    styles = figures.series_looks(rows, list(dict.fromkeys(writer.frames.runs["optimizer"])))
    kind = writer.metrics[task]
    more = f", below {figures.METRIC_TITLES[kind]}" if kind in figures.METRIC_TITLES else ""
    what = (
        f"Line charts of final validation and training loss{more}, against the share of the"
        " training split."
    )
    return writer.figure(
        f"{task}-fractions",
        partial(diagnosed_figures.by_fraction, rows, styles, kind),
        f"{task}: how much data it takes",
        figures.describe(what, rows["setup"], rows["series"]),
        rows,
        f"{task}: loss{more} at the end of training, against the share of the training split that"
        " was trained on. Training loss is the mean of the last epoch's batches. Lines are means"
        " over the runs that ended ok, bands their range. A gap that narrows with more data is one"
        " of generalisation; two high lines that have met are one of the model.",
    )


def _norms(writer: Writer, task: str, optimizer: str, rows: pd.DataFrame) -> Figure:
    names = list(dict.fromkeys(rows["series"]))
    drawn = rows[rows["series"].isin(names[:MOST_PANEL_ROWS])]
    left = len(names) - MOST_PANEL_ROWS
    return writer.figure(
        f"{task}-{optimizer}-norms",
        partial(diagnosed_figures.gradient_norms, drawn),
        f"{task}: gradients under {optimizer}",
        figures.describe(
            "Line charts of the norm of each layer's gradient over steps.",
            drawn["setup"],
            diagnosed_figures.layer_looks(drawn),
        ),
        rows,
        f"{task}, {optimizer}: norm of the gradient of each layer's parameters at evaluated steps,"
        " penalties included, before clipping. Lines are means over the diagnosed runs, bands"
        " their range; norms of exactly 0 are left out."
        + (f" {text.plural(left, 'variant')} more in the data." if left > 0 else ""),
    )
