"""Marks with intervals: a panel lists series, each with one line a setup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..content import Row
from .axes import level
from .legend import legend
from .looks import Look, Looks
from .names import shortened
from .svg import INK
from .touch import tag


def dots(cells: pd.DataFrame, width: float = 6.2) -> tuple[Figure, Axes, list[float]]:
    """One panel; see dot_panels."""
    figure, axes, places = dot_panels(cells, 1, width)
    return figure, axes[0], places


def dot_panels(
    cells: pd.DataFrame, panels: int, width: float
) -> tuple[Figure, np.ndarray, list[float]]:
    """Panels of `width` inches whose y axis lists series, each with one line a setup; and the y of
    every cell."""
    series = list(dict.fromkeys(cells["series"]))
    most = int(cells.groupby("series")["setup"].nunique().max())
    figure, axes = series_panels(series, most, panels, width)
    return figure, axes, cell_places(cells, series)


def series_panels(
    series: Sequence[str], setups: int, panels: int, width: float
) -> tuple[Figure, np.ndarray]:
    """Panels of `width` inches whose y axis lists series, with room for so many setups in each."""
    height = 0.95 + len(series) * (0.13 + 0.14 * setups)
    figure = Figure(figsize=(width * panels, height), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False, sharey=True)[0]
    names = shortened(series)
    for axis in axes:
        axis.set_yticks(range(len(series)), [names[name] for name in series])
        axis.set_ylim(len(series) - 0.5, -0.5)
        axis.grid(visible=False, axis="y")
        for i in range(1, len(series)):
            axis.axhline(i - 0.5, color=INK, linewidth=0.4, alpha=0.2)
        axis.tick_params(axis="y", length=0)
    return figure, axes


def cell_places(cells: pd.DataFrame, series: Sequence[str]) -> list[float]:
    """The y of each cell (series, setup): a series has room for its own setups."""
    grouped = cells.groupby("series", sort=False)["setup"]
    own = {name: list(dict.fromkeys(setups)) for name, setups in grouped}
    offset = 0.76 / max(map(len, own.values()), default=1)
    return [
        series.index(row.series)
        + offset * (own[row.series].index(row.setup) - (len(own[row.series]) - 1) / 2)
        for row in cells.itertuples()
    ]


def dot(axis: Axes, x: float, y: float, look: Look, row: Row, hollow: bool = False) -> None:
    """The mark of a row (setup, series, and digests if it leads to its runs), which may lie on the
    edge of the panel."""
    drawn = mark(axis, x, y, look.marker, look, hollow, markersize=5.2, clip_on=False)
    _tag(drawn, x, y, row)


def bar(axis: Axes, y: float, low: float, high: float, row: Row, **style: Any) -> None:
    """A line from low to high that is switched with the marks of the row's setup."""
    tag(axis.hlines(y, low, high, **style), row["setup"], "bars")


def _tag(drawn: Line2D, x: float, y: float, row: Row) -> None:
    runs = [str(row["digests"])] if "digests" in row else ()
    tag(drawn, row["setup"], "marks", [x], [y], labels=[row["series"]], runs=runs)


def mark(
    axis: Axes, x: float, y: float, shape: str, look: Look, hollow: bool = False, **more: Any
) -> Line2D:
    """One mark of this shape in the look's colour."""
    face = "none" if hollow else look.color
    (drawn,) = axis.plot([x], [y], shape, color=look.color, markerfacecolor=face, **more)
    return drawn


def estimate(
    axis: Axes, y: float, row: Row, name: str, look: Look, shown: tuple[float, float]
) -> None:
    """The mark of a row at its value `name`, on its interval (`name`_low to `name`_high), cut at
    the limits of the panel."""
    low, high = max(row[f"{name}_low"], shown[0]), min(row[f"{name}_high"], shown[1])
    bar(axis, y, low, high, row, color=look.color, linewidth=2, alpha=0.5)
    _tag(mark(axis, row[name], y, look.marker, look, markersize=5), row[name], y, row)


def intervals(
    table: pd.DataFrame, styles: Looks, panels: Mapping[str, str], lines: Mapping[str, float]
) -> Figure:
    """table: setup, series, and for each of `panels` (column -> label of its axis) the estimate
    with `_low` and `_high`. lines: the panels that have a thin line, and its place. An interval
    that reaches beyond what is shown, or is infinite, ends there."""
    cells = table.drop_duplicates(["setup", "series"])
    figure, axes, places = dot_panels(cells, len(panels), 9.6 / len(panels))
    for axis, (name, label) in zip(axes, panels.items(), strict=True):
        shown = _shown(table, name, [lines[name]] if name in lines else [])
        for row, y in zip(cells.to_dict("records"), places, strict=True):
            estimate(axis, y, row, name, styles[row["setup"]], shown)
        axis.set(xlim=shown, xlabel=label)
        if name in lines:
            level(axis, lines[name], vertical=True)
    legend(figure, styles, table["setup"], "marker")
    return figure


def _shown(table: pd.DataFrame, name: str, lines: Sequence[float]) -> tuple[float, float]:
    """Room for the estimates and for intervals up to as wide again as all of them."""
    values = np.append(table[name].to_numpy(dtype=np.float64), lines)
    low, high = float(values.min()), float(values.max())
    room = max(high - low, 0.05 * max(abs(high), abs(low), 1e-12))
    limits = table[[f"{name}_low", f"{name}_high"]].to_numpy(dtype=np.float64)
    limits = limits[np.isfinite(limits)]
    least, most = (float(limits.min()), float(limits.max())) if limits.size else (low, high)
    return max(least, low - room) - 0.04 * room, min(most, high + room) + 0.04 * room
