"""Batch size: steps and samples to target, the learning rate chosen anew for each size."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ...spec import number_text
from ...statistics.comparisons import seeds_warning
from .. import cells, text
from ..builder import Builder
from ..cells import THOUSANDS, WHOLE
from ..columns import NAMES, field, share, whole
from ..content import Figure, Row, Section, TableCell
from ..draw import lines
from ..draw.axes import Axis
from ..draw.dots import mark
from ..draw.lines import Lines
from ..draw.looks import Looks, Style, looks
from ..draw.svg import INK
from ..notes import described, goal, joined
from ..tables.batch_sizes import scaling
from ..tables.variations import are_draws

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
        partial(drawing, rows, styles),
        f"{task}: batch size",
        described(shown, rows["setup"], rows["series"]),
        rows,
        f"{task}: steps (above) and samples (below) until {reached}, against the batch size."
        f" {CAPTION}",
    )


def drawing(table: pd.DataFrame, styles: Looks) -> Drawing:
    """Rows: steps and samples. Columns: setups."""
    points = pd.concat([_points(table, name) for name in ("steps", "samples")], ignore_index=True)

    def marks(axis: Axes, panel: pd.DataFrame) -> None:
        for point in panel.itertuples():
            look = styles[str(point.hue)]
            if np.isfinite(point.y):
                bar: Style = {"color": look.color, "linewidth": 2.4, "alpha": 0.35}
                axis.plot([point.x, point.x], [point.least, point.most], **bar)
            else:
                mark(axis, point.x, point.budget, "^", look, hollow=True, markersize=6)
        sizes = panel["x"].unique()
        for _, line in panel.dropna(subset=["y"]).groupby("hue", sort=False):
            perfect = line["y"].iloc[0] * (line["x"].iloc[0] / sizes) ** line["falls"].iloc[0]
            axis.plot(sizes, perfect, color=INK, linewidth=0.7, alpha=0.35, zorder=1)

    sizes = tuple(float(size) for size in sorted(set(table["batch_size"])))
    axes = {
        str(name): Axis(f"{name} to target", log=True, limits=_limits(of))
        for name, of in points.groupby("panel_row")
    }
    drawn = Lines(
        points,
        styles,
        Axis("batch size", log=True, ticks=sizes),
        Axis("", log=True),
        marked=True,
        decorate=marks,
        size=(4.6, 2.2),
        row_axes=axes,
    )
    return lines.draw(drawn)


def _points(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """y is NaN for a median run that missed; perfect scaling `falls` by this power of the size."""
    factor = table["batch_size"] if quantity == "samples" else 1
    return table.assign(
        panel_row=quantity,
        panel_column=table["setup"],
        hue=table["series"],
        x=table["batch_size"].astype("float64"),
        y=table["steps"].where(np.isfinite(table["steps"])) * factor,
        least=table["steps_low"] * factor,
        most=table["steps_high"] * factor,
        budget=table["budget"] * factor,
        falls=0 if quantity == "samples" else 1,
    )


def _limits(points: pd.DataFrame) -> tuple[float, float]:
    most = points["most"].where(points["y"].notna(), points["budget"])
    values = pd.concat([points["least"], most])
    return float(values.min()) / 1.6, float(values.max()) * 1.6
