"""Sensitivity to the learning rate: final loss against the rate, and how wide the range of good
rates is.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes

from .. import figures, tables, text
from ..cells import plain
from ..content import Cell, Column, Section, Table
from ..figures import Looks
from . import draw_lines
from .basins import FACTOR, basins
from .draw_lines import Axis, Lines
from .shared import groups, is_random_search, joined, number, seeds_text

if TYPE_CHECKING:
    from ..page import Writer

CAPTION = (
    "Line: mean final validation loss over the runs that ended ok; band: their lowest and highest"
    " (which may leave the picture), not a confidence interval; {seeds} a rate."
)
LOST = (
    "A cross at the top marks a rate at which some run diverged, a hollow mark a mean that such"
    " runs (or others that did not end ok) are missing from; the basin takes these rates for bad."
)
MEANING = (
    "A learning rate is good where the mean final validation loss is at most"
    f" {100 * FACTOR - 100:.0f}% above the best rate's, and every run at it ended ok. The basin is"
    " the connected range of good rates around the best one, in decades (factors of ten); between"
    " two rates the logarithm of the loss is taken as straight over that of the rate. A width with"
    " ≥ reaches an end of what was swept, and may be wider. The wider the basin, the less the"
    " optimizer needs tuning; it says nothing of how good the best loss is."
)


def section(writer: Writer) -> Section:
    """Final validation loss at every learning rate, of what was run at several; the basin where
    three rates or more were. Draws of a search, which vary in more than their rate, have a section
    of their own."""
    found = Section("learning-rates", "Learning rates")
    if is_random_search(writer.trained, writer.frames):
        return found
    rates = tables.learning_rates(writer.frames, writer.suite)
    for task, rows in rates.groupby("task", sort=False):
        what = "Final validation loss against learning rate."
        lost = bool((rows["ok"] < rows["runs"]).any())
        found.parts.append(
            writer.figure(
                f"{task}-learning-rates",
                partial(drawing, rows, writer.series),
                f"{task}: learning rates",
                figures.describe(what, rows["setup"], rows["series"]),
                rows,
                joined(
                    f"{task}: final validation loss.",
                    CAPTION.format(seeds=seeds_text(rows["runs"])),
                    LOST if lost else "",
                ),
            )
        )
    table = basins(rates)
    table = table[table["rates"] >= 3]
    if len(table):
        found.parts += [MEANING, _table(writer, table)]
    return found


def drawing(rates: pd.DataFrame, styles: Looks) -> Any:
    """Columns: setups. Rows: series, some to a panel."""
    rows = groups(rates["series"])
    place = {name: str(number) for number, names in enumerate(rows) for name in names}
    points = rates.assign(
        panel_row=rates["series"].map(place),
        panel_column=rates["setup"],
        hue=rates["series"],
        x=rates["learning_rate"],
        y=rates["mean"],
        low=rates["min"],
        high=rates["max"],
    ).sort_values(["panel_row", "x"], kind="stable")
    order = {name: number for names in rows for number, name in enumerate(names)}

    def lost(axis: Axes, row: str, column: str) -> None:
        here = points[(points["panel_row"] == row) & (points["panel_column"] == column)]
        for point in here[here["ok"] < here["runs"]].itertuples():
            look = styles[str(point.hue)]
            if point.diverged:
                # In a band at the top, a height for each series so that they do not cover each
                # other.
                axis.plot(
                    [point.x],
                    [0.98 - 0.03 * order[str(point.hue)]],
                    "x",
                    color=look.color,
                    markersize=4.5,
                    mew=1.3,
                    transform=axis.get_xaxis_transform(),
                )
            if point.ok:
                axis.plot(
                    [point.x],
                    [point.y],
                    look.marker,
                    color=look.color,
                    markerfacecolor="none",
                    markersize=7,
                )

    finite = points.dropna(subset=["y"])
    log = len(finite) > 0 and bool((finite["y"] > 0).all())
    top, bottom = (finite["high"].max(), finite["low"].min()) if len(finite) else (1.0, 0.0)
    # One seed that ends near 0 must not flatten all lines; its band then leaves the picture.
    bottom = max(bottom, finite["y"].min() / 10) if log else bottom
    # Room for the crosses above the highest line.
    limits = (bottom / 1.1, top * (top / bottom) ** 0.35 * 1.1) if log and bottom > 0 else None
    return draw_lines.draw(
        Lines(
            points,
            styles,
            Axis("learning rate", log=True),
            Axis("final validation loss", log=log, limits=limits),
            marked=True,
            decorate=lost,
        )
    )


def _table(writer: Writer, table: pd.DataFrame) -> Table:
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column("Best rate", "number", "with hindsight"),
        Column("Loss there", "number", "mean final validation loss"),
        Column("Basin, decades", "number", "≥: it reaches an end of the swept rates"),
        Column("From", "number"),
        Column("To", "number"),
        Column("Of the swept range", "number"),
        Column("Rates", "number"),
        Column("Bad rates", "number", "some run did not end ok"),
        Column("Runs a rate", "number"),
    ]
    cells = [_cells(row) for row in table.to_dict("records")]
    return writer.table(
        "basins", "Width of the range of good learning rates", columns, cells, table
    )


def _cells(row: dict[Any, Any]) -> list[Cell]:
    open_ = bool(row["open_low"] or row["open_high"]) and row["width"] == row["width"]
    width = number(row["width"], lambda value: f"{'≥ ' if open_ else ''}{value:.2f}")
    return [
        Cell(row["task"]),
        Cell(row["setup"]),
        Cell(row["series"]),
        plain(row, "best"),
        number(row["loss"]),
        width,
        number(row["low"]),
        number(row["high"]),
        number(row["share"], text.percent),
        number(row["rates"], "{:g}".format),
        number(row["bad_rates"], "{:g}".format, flag="diverged" if row["bad_rates"] else ""),
        number(row["seeds"], "{:g}".format),
    ]
