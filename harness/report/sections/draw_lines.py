"""Small multiples of lines with bands: every section that draws a curve says what stands where, and
this draws it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from .. import figures
from ..figures import Looks
from ..svg import INK


@dataclass(frozen=True)
class Axis:
    """A label and a scale; `limits` where they do not follow from the data, `ticks` where they are
    the data's own.
    """

    label: str
    log: bool = False
    percent: bool = False
    limits: tuple[float, float] | None = None
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Lines:
    """Lines in panels.

    table: one row a point with panel_row, panel_column, hue, x, y, and low and high where lines
    have bands. Points of a
        line stand in the order in which they are joined.
    steps: a point's height holds until the next point. marked: points have the marker of their
    line.
    bands: with more lines than these in a panel their bands would hide each other, and are left
    away.
    row_axes: y axes of rows that differ from `y`. own_y: rows whose panels do not share it.
    decorate: draws into one panel what is not a line: (axes, panel_row, panel_column).
    """

    table: pd.DataFrame
    styles: Looks
    x: Axis
    y: Axis
    steps: bool = False
    marked: bool = False
    bands: int = 5
    size: tuple[float, float] = (4.6, 2.4)
    decorate: Callable[[Axes, str, str], None] | None = None
    row_axes: dict[str, Axis] = field(default_factory=dict)
    own_y: frozenset[str] = frozenset()


def draw(lines: Lines) -> Figure:
    """Rows and columns by first appearance; a panel without lines is left away."""
    table = lines.table
    rows, columns = (list(dict.fromkeys(table[name])) for name in ("panel_row", "panel_column"))
    width = min(lines.size[0], max(2.6, 12.8 / len(columns)))
    figure = Figure(
        figsize=(max(width * len(columns), 5.2), lines.size[1] * len(rows) + 0.55),
        layout="constrained",
    )
    axes = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True)
    for y, row in enumerate(rows):
        for axis in axes[y, 1:] if row not in lines.own_y else ():
            axis.sharey(axes[y, 0])
            axis.tick_params(labelleft=False)
        for x, column in enumerate(columns):
            panel = table[(table["panel_row"] == row) & (table["panel_column"] == column)]
            axes[y, x].set_visible(len(panel) > 0)
            _panel(axes[y, x], panel, lines)
            if lines.decorate:
                lines.decorate(axes[y, x], row, column)
            axes[y, x].set_title(column if y == 0 else "")
        for axis in axes[y] if row in lines.own_y else axes[y, :1]:
            scale(
                axis,
                "y",
                lines.row_axes.get(row, lines.y),
                table.loc[table["panel_row"] == row, "y"],
            )
            axis.yaxis.label.set_visible(axis is axes[y, 0])
    for axis in axes[-1]:
        scale(axis, "x", lines.x, table["x"])
    figures._legend(figure, lines.styles, table["hue"], "both" if lines.marked else "line")
    return figure


def _panel(axis: Axes, panel: pd.DataFrame, lines: Lines) -> None:
    grouped = list(panel.groupby("hue", sort=False))
    banded = "low" in panel and len(grouped) <= lines.bands
    for name, line in grouped:
        look = lines.styles[str(name)]
        x, y = line["x"].to_numpy(dtype=np.float64), line["y"].to_numpy(dtype=np.float64)
        if banded:
            axis.fill_between(
                x,
                line["low"].to_numpy(dtype=np.float64),
                line["high"].to_numpy(dtype=np.float64),
                color=look.color,
                alpha=0.15,
                linewidth=0,
                step="post" if lines.steps else None,
            )
        axis.plot(
            x,
            y,
            color=look.color,
            linestyle=(0, look.dash) if look.dash else "-",
            marker=look.marker if lines.marked else "",
            markersize=4.5,
            markeredgewidth=0,
            drawstyle="steps-post" if lines.steps else "default",
        )


def scale(axes: Axes, which: str, how: Axis, values: pd.Series) -> None:
    """Label, scale, limits and ticks of an axis."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_label_text(how.label)
    if how.log:
        logarithmic(axes, which, pd.Series(how.limits) if how.limits else values)
    if how.percent:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    if how.limits:
        axes.set(**{f"{which}lim": how.limits})
    if how.ticks:
        axis.set_ticks(how.ticks, [f"{tick:g}" for tick in how.ticks])


def logarithmic(axes: Axes, which: str, values: pd.Series) -> None:
    """Logarithmic with labels that can be read: 1, 2, 5 in every decade where there are few, 1 in
    every one or few else.
    """
    shown = values[(values > 0) & np.isfinite(values.astype("float64"))]
    decades = float(np.log10(shown.max() / shown.min())) if len(shown) else 1.0
    subs = (1.0, 2.0, 5.0) if decades < 1.6 else (1.0, 3.0) if decades < 2.6 else (1.0,)
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=subs, numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def level(axis: Axes, value: float, vertical: bool = False) -> None:
    """A thin dashed line of the page's own colour."""
    line = axis.axvline if vertical else axis.axhline
    line(value, color=INK, linewidth=0.8, linestyle=(0, (2, 2)), alpha=0.6)
