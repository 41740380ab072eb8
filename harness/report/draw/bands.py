"""Lines of means with their range as a band."""

from __future__ import annotations

from typing import Any

import pandas as pd
import seaborn
from matplotlib.axes import Axes

from .looks import Look, Looks


def band(axes: Axes, x: Any, low: Any, high: Any, look: Look, **more: Any) -> None:
    """The area between two lines, in the look's colour."""
    axes.fill_between(x, low, high, color=look.color, linewidth=0, **{"alpha": 0.16, **more})


def banded(
    axes: Axes, bands: pd.DataFrame, hue: str, styles: Looks, x: str = "step", marked: bool = False
) -> None:
    """A line each of `hue` with its band. Columns: x, mean, min, max, runs (of one run there is no
    band)."""
    for name, rows in bands.groupby(hue, sort=False):
        if (rows["runs"] > 1).any():
            band(axes, rows[x], rows["min"], rows["max"], styles[str(name)])
    if len(bands):
        lines(axes, bands, x, "mean", hue, styles, marked)
    axes.set(xlabel="", ylabel="")


def lines(
    axes: Axes, table: pd.DataFrame, x: str, y: str, hue: str, styles: Looks, marked: bool = False
) -> None:
    """A line each of `hue`, without a legend."""
    used = list(dict.fromkeys(table[hue]))
    marks: dict[str, Any] = {"markers": False}
    if marked:
        marks = {"markers": {name: styles[name].marker for name in used}}
        marks |= {"markeredgewidth": 0, "markersize": 5}
    seaborn.lineplot(
        table, x=x, y=y, hue=hue, style=hue, hue_order=used, style_order=used, ax=axes,
        palette={name: styles[name].color for name in used},
        dashes={name: styles[name].dash for name in used},
        legend=False, estimator=None, errorbar=None, **marks
    )  # fmt: skip
