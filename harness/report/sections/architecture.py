"""Hidden sizes and depth: how runs end against the number of weights."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ...statistics.comparisons import seeds_warning
from ..builder import Builder
from ..cells import THOUSANDS
from ..columns import NAMES, exact, field, number, share, spread
from ..content import Figure, Section, TableCell
from ..draw.lazy import Lazy
from ..draw.looks import Looks, looks
from ..notes import described, final, hindsight, joined, seeds_text
from ..tables.architecture import sizes
from ..tables.variations import settings

PLACE = 140
drawn = Lazy("architecture")
COLUMNS = [
    *NAMES,
    field("Hidden", lambda row: TableCell(row["hidden"], row["weights"]), ""),
    number("Weights", "weights", THOUSANDS),
    exact("Learning rate", "learning_rate"),
    spread("Training loss", "train_loss", help="below, the range"),
    spread("Validation loss", "final_validation_loss", help="final; below, the range"),
    spread("Validation metric", "metric"),
    share("Ended ok", "ok", "runs"),
]


def section(builder: Builder) -> Section:
    """Of runs with several entries of `hidden`."""
    found = Section("architecture", "Hidden size and depth")
    rows = settings(builder.frames, builder.suite, "hidden")
    if rows.empty:
        return found
    table = sizes(builder.frames, rows)
    found.warn(seeds_warning(int(table["runs"].min())))
    styles = looks(table["series"] + table["depth_text"])
    note = hindsight(rows, builder.trained)
    for task, of_task in table.groupby("task", sort=False):
        found.add(_figure(builder, str(task), of_task, styles, note))
    table = table.drop(columns="depth_text")
    found.add(builder.table("hidden-sizes", "Hidden sizes", COLUMNS, table))
    return found


def _figure(builder: Builder, task: str, table: pd.DataFrame, styles: Looks, note: str) -> Figure:
    metric = builder.metrics[task]
    label = final(metric)
    caption = joined(
        f"{task}: {label} against the number of weights, one line for each depth (hidden layers"
        " that vary). Mean over the runs that ended ok; band: their range, not an interval;"
        f" {seeds_text(table['runs'])} a setting.",
        "Settings with runs that did not end ok are hollow; those runs are missing from the mean."
        if (table["ok"] < table["runs"]).any()
        else "",
        note,
    )
    return builder.figure(
        f"{task}-architecture",
        partial(drawn.by_weights, table, styles, metric),
        f"{task}: hidden size and depth",
        described(f"{label.capitalize()} by number of weights.", table["setup"], table["series"]),
        table,
        caption,
    )
