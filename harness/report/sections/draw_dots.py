"""Estimates with their intervals, one line a series."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .. import figures
from ..figures import Looks
from .draw_lines import level


def intervals(
    table: pd.DataFrame, styles: Looks, panels: Mapping[str, str], lines: Mapping[str, float]
) -> Figure:
    """table: setup, series, and of each of `panels` (column -> label of its axis) the estimate with
    `_low` and `_high`.
    lines: where a panel has a thin line. An interval that reaches beyond what is shown, or is
    infinite, ends there."""
    cells = table.drop_duplicates(["setup", "series"])
    figure, axes, places = figures._dot_panels(cells, styles, list(panels), 9.6 / len(panels))
    for axis, (name, label) in zip(axes, panels.items(), strict=True):
        low, high = _shown(table, name, lines.get(name))
        for row, y in zip(cells.to_dict("records"), places, strict=True):
            look = styles[row["setup"]]
            axis.hlines(
                y,
                max(row[f"{name}_low"], low),
                min(row[f"{name}_high"], high),
                color=look.color,
                linewidth=2,
                alpha=0.5,
            )
            axis.plot([row[name]], [y], look.marker, color=look.color, markersize=5)
        axis.set(xlim=(low, high), xlabel=label)
        if name in lines:
            level(axis, lines[name], vertical=True)
    figures._legend(figure, styles, table["setup"], "marker")
    return figure


def _shown(table: pd.DataFrame, name: str, line: float | None) -> tuple[float, float]:
    """Room for the estimates and for intervals up to as wide again as all of them."""
    values = table[name].to_numpy(dtype=np.float64)
    values = values if line is None else np.append(values, line)
    low, high = float(values.min()), float(values.max())
    room = max(high - low, 0.05 * max(abs(high), abs(low), 1e-12))
    limits = table[[f"{name}_low", f"{name}_high"]].to_numpy(dtype=np.float64)
    limits = limits[np.isfinite(limits)]
    least, most = (float(limits.min()), float(limits.max())) if limits.size else (low, high)
    return max(least, low - room) - 0.04 * room, min(most, high + room) + 0.04 * room
