"""Heat maps: a colour and a text for each cell, hatched if it needs care."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from ..content import Row
from .axes import PAGE
from .looks import Style
from .svg import INK
from .touch import tag

# With more rows or columns than these a cell is too small for a text.
WRITTEN = 16
_SQUARE = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5]])
_TURNS = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]


@dataclass(frozen=True)
class Heat:
    """Panels of cells.

    table: one row a cell with panel, row, column, value (NaN: no colour), text and hatched.
    limits: the values at the ends of the colour map. key: what the colours mean. log: a logarithmic
    colour map. form: how the key's numbers read."""

    table: pd.DataFrame
    key: str
    limits: tuple[float, float]
    colors: str = "viridis"
    log: bool = False
    form: Callable[[float], str] = "{:g}".format
    columns_a_row: int = 3


def contests(table: pd.DataFrame, key: str, colors: str) -> Figure:
    """A panel a setup: what each contender does against each other, from 0 to 1. Columns: setup,
    ours, theirs, value, text, hatched."""
    placed = table.assign(panel=table["setup"], row=table["ours"], column=table["theirs"])
    names = list(dict.fromkeys(table["ours"]))
    across = 3 if _size(names, names, 3, 1)[0] <= PAGE else 2
    return draw(Heat(placed, key, (0.0, 1.0), colors, columns_a_row=across))


def draw(heat: Heat) -> Figure:
    """Panels side by side, with one key for all."""
    table = heat.table
    panels, rows, columns = (list(dict.fromkeys(table[n])) for n in ("panel", "row", "column"))
    columns = rows if set(rows) == set(columns) else columns
    across = min(len(panels), heat.columns_a_row if len(columns) <= WRITTEN else 1)
    down = -(-len(panels) // across)
    figure = Figure(figsize=_size(rows, columns, across, down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    norm = (LogNorm if heat.log else Normalize)(*heat.limits)
    colors = matplotlib.colormaps[heat.colors]
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        of = table[table["panel"] == panel]
        mesh = _cells(axis, of, rows, columns, norm, colors)
        _tag(mesh, of, rows, columns, heat)
        axis.set_title(panel if len(panels) > 1 else "")
    # Few colours, since matplotlib makes a bitmap of many.
    few = matplotlib.cm.ScalarMappable(norm, colors.resampled(32))
    bar = figure.colorbar(few, ax=axes, label=heat.key, shrink=0.9, pad=0.02)
    bar.ax.yaxis.set_major_formatter(lambda value, _: heat.form(value))
    bar.ax.yaxis.set_minor_formatter(lambda value, _: "")
    bar.outline.set_linewidth(0)
    return figure


def _size(
    rows: Sequence[str], columns: Sequence[str], across: int, down: int
) -> tuple[float, float]:
    """Inches: the cells, and room for the names of rows and columns."""
    cell = 0.62 if len(columns) <= 8 else 0.46 if len(columns) <= WRITTEN else 0.26
    names, heads = (max(map(len, words)) for words in (rows, columns))
    width = across * (0.075 * names + 0.5 + cell * len(columns)) + 0.9
    height = down * (0.9 + 0.05 * heads + cell * 0.62 * len(rows))
    return max(width, 3.6), max(height, 1.8)


def _cells(
    axis: Axes,
    table: pd.DataFrame,
    rows: Sequence[str],
    columns: Sequence[str],
    norm: Normalize,
    colors: Colormap,
) -> QuadMesh:
    values = np.full((len(rows), len(columns)), np.nan)
    hatched: dict[str, list[tuple[int, int]]] = {}
    for cell in table.to_dict("records"):
        x, y, value = columns.index(cell["column"]), rows.index(cell["row"]), cell["value"]
        known = value is not None and np.isfinite(value)
        values[y, x] = value if known else np.nan
        ink = _ink(colors(norm(value))) if known else INK
        if cell["hatched"]:
            hatched.setdefault(ink, []).append((x, y))
        if max(len(rows), len(columns)) <= WRITTEN:
            axis.text(x, y, cell["text"], ha="center", va="center", fontsize=7.5, color=ink)
    edges = (np.arange(len(names) + 1) - 0.5 for names in (columns, rows))
    mesh = axis.pcolormesh(
        *edges, np.ma.masked_invalid(values), norm=norm, cmap=colors, edgecolor=INK, linewidth=0.3
    )
    for ink, cells in hatched.items():
        _hatch(axis, cells, ink)
    turned = max(map(len, columns)) > 5
    look: Style = {"rotation": 40, "ha": "right"} if turned else {"rotation": 0, "ha": "center"}
    axis.set_xticks(range(len(columns)), columns, rotation_mode="anchor", **look)
    axis.set_yticks(range(len(rows)), rows)
    axis.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axis.grid(visible=False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return mesh


def _tag(
    mesh: QuadMesh, table: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], heat: Heat
) -> None:
    """A cell is called by its row, column and value, and leads to its runs if the table has their
    `digests`."""
    found = table.to_dict("records")
    tag(
        mesh,
        heat.key,
        "marks",
        [columns.index(cell["column"]) for cell in found],
        [rows.index(cell["row"]) for cell in found],
        labels=[f"{cell['row']} · {cell['column']}: {_value(cell, heat)}" for cell in found],
        runs=list(table["digests"]) if "digests" in table else (),
    )


def _value(cell: Row, heat: Heat) -> str:
    known = cell["value"] is not None and np.isfinite(cell["value"])
    return heat.form(cell["value"]) if known else "none"


def _hatch(axis: Axes, cells: Sequence[tuple[int, int]], ink: str) -> None:
    """One patch for all of them, which keeps the file small."""
    path = Path(np.concatenate([_SQUARE + cell for cell in cells]), _TURNS * len(cells))
    look: Style = {"hatch": "////", "edgecolor": ink, "linewidth": 0, "alpha": 0.55}
    axis.add_patch(PathPatch(path, fill=False, **look))


def _ink(face: Sequence[float]) -> str:
    """Black on light cells, white on dark ones, whatever the page's ground."""
    red, green, blue = face[:3]
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"
