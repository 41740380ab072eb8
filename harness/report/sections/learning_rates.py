"""Sensitivity to the learning rate: final loss against the rate, and how wide the range of good
rates is."""

from __future__ import annotations

from functools import partial

import pandas as pd

from .. import cells, tables, text
from ..builder import Builder
from ..columns import NAMES, exact, field, number, whole
from ..content import Figure, Row, Section, TableCell
from ..draw.lazy import Lazy
from ..draw.limits import outside, rate_limits
from ..draw.looks import BANDS
from ..notes import agreed, bands_of, described, joined, seeds_text
from ..series import ShownSeries
from ..tables.basins import FACTOR, basins
from ..tables.variations import are_draws

drawing = Lazy("learning_rates")
PLACE = 80
MEANING = (
    "A learning rate is good if its mean final validation loss is at most"
    f" {100 * FACTOR - 100:.0f}% above the best rate's, and every run at it ended ok. The basin is"
    " the connected range of good rates around the best one, in decades (factors of ten); between"
    " two rates the logarithm of the loss is taken as straight over that of the rate. A width with"
    " ≥ reaches an end of the swept range, and may be wider. The wider the basin, the less the"
    " optimizer needs tuning; it does not tell how good the best loss is."
)


def _width(row: Row) -> TableCell:
    bound = "≥ " if (row["open_low"] or row["open_high"]) and not pd.isna(row["width"]) else ""
    return cells.number(row["width"], lambda value: f"{bound}{value:.2f}")


def _bad(row: Row) -> TableCell:
    return cells.number(row["bad_rates"], cells.WHOLE, flag="diverged" if row["bad_rates"] else "")


COLUMNS = [
    *NAMES,
    exact("Best rate", "best", help="with hindsight"),
    number("Loss there", "loss", help="mean final validation loss"),
    field("Basin, decades", _width, help="≥: it reaches an end of the swept rates"),
    number("From", "low"),
    number("To", "high"),
    number("Of the swept range", "share", text.percent),
    whole("Rates", "rates"),
    field("Bad rates", _bad, help="some run did not end ok"),
    whole("Runs a rate", "seeds"),
]


def section(builder: Builder) -> Section:
    """Final validation loss at every learning rate, if several were run; the basin from three rates
    on. Draws of a search, which vary in more than their rate, have a section of their own."""
    found = Section("learning-rates", "Learning rates")
    if are_draws(builder.trained, builder.frames):
        return found
    merged = tables.merged(builder.frames, builder.suite, every_rate=True)
    rates = tables.learning_rates(builder.frames, builder.suite)
    pooled = rates
    if len(merged):
        pooled = tables.learning_rates(builder.frames, builder.suite, merged)
    drawn = ShownSeries(builder.trained, builder.series)
    for task, rows in pooled.groupby("task", sort=False):
        found.add(_figure(builder, str(task), rows, drawn, agreed(merged, str(task))))
    table = basins(rates)
    table = table[table["rates"] >= 3]
    if len(table):
        caption = "Width of the range of good learning rates"
        found.add(MEANING, builder.table("basins", caption, COLUMNS, table))
    return found


def _figure(
    builder: Builder, task: str, rows: pd.DataFrame, drawn: ShownSeries, agreeing: str
) -> Figure:
    shown, single = drawn.of(rows, task), int(rows["runs"].max()) == 1
    limits, banded = rate_limits(shown), None if single else bands_of(shown, BANDS)
    of = "" if single else " (mean over the runs that ended ok)"
    caption = joined(
        f"{task}: final validation loss{of}; {seeds_text(rows['runs'])} a rate.",
        ""
        if banded is None
        else f"Bands{banded} are their lowest and highest, not a confidence interval.",
        "A cross at the top marks a rate at which some run diverged."
        if (rows["diverged"] > 0).any()
        else "",
        "A hollow mark is a mean without runs that did not end ok; the basin takes these rates for"
        " bad."
        if ((rows["ok"] < rows["runs"]) & (rows["ok"] > 0)).any()
        else "",
        agreeing,
        outside("A loss", shown["mean"], shown["mean"], limits),
        outside("A band", shown["min"], shown["max"], limits) if banded is not None else "",
        drawn.note(task),
    )
    return builder.figure(
        f"{task}-learning-rates",
        partial(drawing.learning_rates, shown, drawn.styles),
        f"{task}: learning rates",
        described("Final validation loss against learning rate.", rows["setup"], rows["series"]),
        rows,
        caption,
        small=len(shown.drop_duplicates(["facet", "setup"])) == 1,
    )
