"""Small multiples of lines with bands: a section says which lines stand in which panel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .axes import Axis, scale, width
from .bands import band, line
from .legend import legend
from .looks import Looks

# Lines that can still be told apart in one panel.
_TOGETHER = 8


@dataclass(frozen=True)
class Lines:
    """Lines in panels.

    table: one row a point with panel_row, panel_column, hue, x, y, low and high if lines have
    bands, and digests if points lead to their runs; the points of a line in the order in which they
    are joined. steps: a point's height holds until the next point. marked: points have the marker
    of their line. bands: with more lines than these in a panel their bands would hide each other,
    and are left out. row_axes: y axes of rows that differ from `y`. own_y: rows whose panels do not
    share it. decorate: draws into one panel what is not a line; it gets the rows of the panel."""

    table: pd.DataFrame
    styles: Looks
    x: Axis
    y: Axis
    steps: bool = False
    marked: bool = False
    bands: int = 5
    size: tuple[float, float] = (4.6, 2.4)
    decorate: Callable[[Axes, pd.DataFrame], None] | None = None
    row_axes: dict[str, Axis] = field(default_factory=dict)
    own_y: frozenset[str] = frozenset()


def placed(table: pd.DataFrame, hue: str, columns: dict[str, str], by: str = "") -> pd.DataFrame:
    """The table of Lines: a column of panels a setup, a row for every few lines. columns: x, y and
    the like -> the column that holds them. by: a column to sort the points of each row by."""
    place = places(table[hue])
    points = table.assign(
        panel_row=table[hue].map(place).astype("str"),
        panel_column=table["setup"],
        hue=table[hue],
        **{to: table[of] for to, of in columns.items()},
    )
    return points.sort_values(["panel_row", *([by] if by else [])], kind="stable")


def places(names: Iterable[str]) -> dict[str, int]:
    """Of each distinct name its row of panels, in rows of about the same size."""
    found = list(dict.fromkeys(names))
    rows = -(-len(found) // _TOGETHER)
    each = -(-len(found) // rows) if rows else 1
    return {name: i // each for i, name in enumerate(found)}


def draw(lines: Lines) -> Figure:
    """Rows and columns by first appearance; a panel without lines is left out."""
    table = lines.table
    rows, columns = (list(dict.fromkeys(table[name])) for name in ("panel_row", "panel_column"))
    across = width(len(columns), lines.size[0], 2.6) * len(columns)
    size = (max(across, 5.2), lines.size[1] * len(rows) + 0.55)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True)
    for y, row in enumerate(rows):
        shown = table[table["panel_row"] == row]
        own = row in lines.own_y
        for axis in axes[y, 1:] if not own else ():
            axis.sharey(axes[y, 0])
            axis.tick_params(labelleft=False)
        for axis, column in zip(axes[y], columns, strict=True):
            _panel(axis, shown[shown["panel_column"] == column], lines)
            axis.set_title(column if y == 0 else "")
        for axis in axes[y] if own else axes[y, :1]:
            scale(axis, "y", lines.row_axes.get(row, lines.y), shown["y"])
            axis.yaxis.label.set_visible(axis is axes[y, 0])
    for axis in axes[-1]:
        scale(axis, "x", lines.x, table["x"])
    legend(figure, lines.styles, table["hue"], "both" if lines.marked else "line")
    return figure


def _panel(axis: Axes, panel: pd.DataFrame, lines: Lines) -> None:
    axis.set_visible(len(panel) > 0)
    grouped = list(panel.groupby("hue", sort=False))
    banded = "low" in panel and len(grouped) <= lines.bands
    step, drawstyle = ("post", "steps-post") if lines.steps else (None, "default")
    for name, points in grouped:
        look = lines.styles[str(name)]
        if banded:
            x, low, high = (points[of].to_numpy(dtype=np.float64) for of in ("x", "low", "high"))
            band(axis, x, low, high, look, str(name), alpha=0.15, step=step)
        line(axis, points, str(name), look, marked=lines.marked, drawstyle=drawstyle)
    if lines.decorate:
        lines.decorate(axis, panel)
