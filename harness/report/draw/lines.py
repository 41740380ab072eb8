"""Small multiples of lines with bands: a section says which lines stand in which panel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .axes import Axis, columns_of, label_lowest, scale, sorted_panels, titled, width
from .bands import band, line
from .legend import legend
from .looks import BANDS, Looks
from .names import short

# Lines that can still be told apart in one panel.
TOGETHER = 10


@dataclass(frozen=True)
class Lines:
    """Lines in panels.

    table: one row a point with panel_row, panel_column, title (else the column's name stands above
    it), hue, x, y, low and high if lines have bands, and digests if points lead to their runs; the
    points of a line in the order in which they are joined. steps: a point's height holds until the
    next point. marked: points have the marker of their line. bands: with more lines than these in a
    panel their bands would hide each other, and are left out. row_axes: y axes of rows that differ
    from `y`. own_x: whether each panel has an x axis of its own. own_y: rows whose panels do not
    share it. decorate: draws into one panel what is not a line; it gets the rows of the panel."""

    table: pd.DataFrame
    styles: Looks
    x: Axis
    y: Axis
    steps: bool = False
    marked: bool = False
    bands: int = BANDS
    size: tuple[float, float] = (4.6, 2.4)
    decorate: Callable[[Axes, pd.DataFrame], None] | None = None
    row_axes: dict[str, Axis] = field(default_factory=dict)
    own_y: frozenset[str] = frozenset()
    own_x: bool = False


def placed(table: pd.DataFrame, hue: str, columns: dict[str, str], by: str = "") -> pd.DataFrame:
    """The table of Lines: a panel for each setup and each facet; without a column `facet`, for each
    setup and every few lines of `hue`. A column `hue` names the lines instead. columns: x, y and
    the like -> the column that holds them. by: a column to sort the points of each panel by."""
    if "facet" not in table:
        table = table.assign(facet=table[hue].map(parts(table[hue])), hue=table[hue])
    pairs = list(dict.fromkeys(zip(table["facet"], table["setup"], strict=True)))
    across = columns_of(pairs)
    places = {pair: divmod(place, across) for place, pair in enumerate(sorted_panels(pairs))}
    here = [places[pair] for pair in zip(table["facet"], table["setup"], strict=True)]
    points = table.assign(
        panel_row=[f"{row:03d}" for row, _ in here],
        panel_column=[f"{column:03d}" for _, column in here],
        title=[titled(*pair) for pair in zip(table["facet"], table["setup"], strict=True)],
        **{to: table[of] for to, of in columns.items()},
    )
    return points.sort_values(["panel_row", "panel_column", *([by] if by else [])], kind="stable")


def parts(names: Iterable[str], most: int = TOGETHER) -> dict[str, str]:
    """Of each distinct name its part of them, "" if they are few enough for one panel."""
    found = list(dict.fromkeys(names))
    count = -(-len(found) // most)
    each = -(-len(found) // count) if found else 1
    named = [f"series {i * each + 1} to {min(len(found), (i + 1) * each)}" for i in range(count)]
    return {name: named[i // each] if count > 1 else "" for i, name in enumerate(found)}


def draw(lines: Lines) -> Figure:
    """Rows and columns by first appearance; a panel without lines is left out."""
    table = lines.table
    rows, columns = (list(dict.fromkeys(table[name])) for name in ("panel_row", "panel_column"))
    across = width(len(columns), lines.size[0], 2.6) * len(columns)
    size = (max(across, 5.2), lines.size[1] * len(rows) + 0.55)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False, sharex=not lines.own_x)
    for y, row in enumerate(rows):
        shown = table[table["panel_row"] == row]
        own = row in lines.own_y
        for axis in axes[y, 1:] if not own else ():
            axis.sharey(axes[y, 0])
            axis.tick_params(labelleft=False)
        for axis, column in zip(axes[y], columns, strict=True):
            panel = shown[shown["panel_column"] == column]
            _panel(axis, panel, lines)
            axis.set_title(_title(panel, column if y == 0 else ""))
        for axis in axes[y] if own else axes[y, :1]:
            scale(axis, "y", lines.row_axes.get(row, lines.y), shown["y"])
            axis.yaxis.label.set_visible(axis is axes[y, 0])
    for axis in axes.flat if lines.own_x else axes[-1]:
        scale(axis, "x", lines.x, table["x"])
    label_lowest(axes, lines.x.label, hide=not lines.own_x)
    legend(figure, lines.styles, table["hue"], "both" if lines.marked else "line")
    return figure


def _title(panel: pd.DataFrame, column: str) -> str:
    """The panel's own, or that of its column."""
    if "title" in panel:
        return short(str(panel["title"].iloc[0])) if len(panel) else ""
    return short(column)


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
