"""Staircases of shares: performance profiles and distributions of runtimes."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import lines
from .axes import Axis, level
from .lines import Lines
from .looks import Looks


def profile(table: pd.DataFrame, styles: Looks) -> Figure:
    """Columns: setups. The table is that of tables.profiles.staircase with a column setup."""
    names = ("τ, steps over the fastest's", "share of tasks within τ")
    return _stairs(table, styles, {"x": "tau", "y": "rho"}, names)


def runtimes(table: pd.DataFrame, styles: Looks, complete: float) -> Figure:
    """Columns: setups. The table is that of tables.profiles.runtimes; a dashed line at `complete`
    steps, if there is such a number."""
    names = ("steps", "share of targets reached")
    return _stairs(table, styles, {"x": "steps", "y": "share"}, names, complete)


def _stairs(
    table: pd.DataFrame,
    styles: Looks,
    columns: dict[str, str],
    names: tuple[str, str],
    complete: float = math.nan,
) -> Figure:
    points = lines.placed(table, "series", columns)
    x, y = Axis(names[0], log=True), Axis(names[1], percent=True, limits=(0, 1.02))
    end = partial(_end, complete=complete)
    return lines.draw(Lines(points, styles, x, y, steps=True, decorate=end))


def _end(axis: Axes, _: pd.DataFrame, complete: float) -> None:
    if math.isfinite(complete):
        level(axis, complete, vertical=True)
