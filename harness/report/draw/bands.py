"""Lines of means with their range as a band; both can be touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .looks import Look, Looks
from .touch import tag


def band(axes: Axes, x: Any, low: Any, high: Any, look: Look, name: str = "", **more: Any) -> None:
    """The area between two lines, in the look's colour. name: of its series."""
    style: Any = {"color": look.color, "linewidth": 0, "alpha": 0.16, **more}
    area = axes.fill_between(x, low, high, **style)
    if name:
        tag(area, name, "band", x, limits=(low, high))


def line(
    axes: Axes,
    points: pd.DataFrame,
    name: str,
    look: Look,
    x: str = "x",
    y: str = "y",
    marked: bool = False,
    **more: Any,
) -> None:
    """A line of a series through points in their order, with the runs behind them if the table has
    their `digests`."""
    at = {axis: points[column].to_numpy(dtype=np.float64) for axis, column in (("x", x), ("y", y))}
    style: Any = {"color": look.color, "linestyle": look.linestyle, **more}
    if marked:
        style = {"marker": look.marker, "markersize": 4.5, "markeredgewidth": 0, **style}
    (drawn,) = axes.plot(at["x"], at["y"], **style)
    tag(drawn, name, "line", at["x"], at["y"], runs=runs_of(points))


def runs_of(points: pd.DataFrame) -> tuple[str, ...]:
    """The column `digests` of a table for a tag: one text if all points have the same."""
    if "digests" not in points:
        return ()
    found = tuple(points["digests"].astype("str"))
    return found[:1] if len(set(found)) == 1 else found


def banded(
    axes: Axes,
    bands: pd.DataFrame,
    hue: str,
    styles: Looks,
    x: str = "step",
    marked: bool = False,
    most: int = 100,
) -> None:
    """A line each of `hue` with its band; with more lines than `most` bands are left out. Columns:
    x, mean, min, max, runs (of one run there is no band), and digests if lines lead to their
    runs."""
    for name, rows in bands.sort_values(x, kind="stable").groupby(hue, sort=False):
        if len(bands[hue].unique()) <= most and (rows["runs"] > 1).any():
            low, high = (rows[limit].to_numpy(dtype=np.float64) for limit in ("min", "max"))
            band(axes, rows[x].to_numpy(), low, high, styles[str(name)], str(name))
    lines(axes, bands, x, "mean", hue, styles, marked)


def lines(
    axes: Axes, table: pd.DataFrame, x: str, y: str, hue: str, styles: Looks, marked: bool = False
) -> None:
    """A line each of `hue` along x, without a legend."""
    for name, rows in table.sort_values(x, kind="stable").groupby(hue, sort=False):
        line(axes, rows, str(name), styles[str(name)], x, y, marked)
