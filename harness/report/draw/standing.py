"""Where contenders stand: a panel a task, a row an optimizer, a mark a setup with its range."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import touch
from .axes import logarithmic
from .legend import legend
from .looks import Looks

_ROW, _WIDTH = 0.27, 6.6
# Letters of a row's name.
_NAME = 26
_ALONE = 40
# Values that span more are drawn on a logarithmic axis.
_WIDE = 6.0


def standing(rows: pd.DataFrame, styles: Looks, small: bool = False) -> Figure:
    """Columns: panel (its title), label (of its axis), series, setup, median, low, high, budget,
    missed, runs, leads, digests. A median that is infinite stands at the budget, an open triangle;
    a contender shown to be worse is hollow. small: without words."""
    panels = [of for _, of in rows.groupby("panel", sort=False)]
    series = list(dict.fromkeys(rows["series"]))
    height = 1.66 if small else 0.85 + _ROW * max(3, len(series))
    size = (2.9, height) if small else (_WIDTH, height)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, of in zip(axes, panels, strict=True):
        _panel(axis, of, series, styles)
        _named(axis, of, series, _NAME if len(panels) > 1 else _ALONE, small)
    setups = list(dict.fromkeys(rows["setup"]))
    if not small and len(setups) > 1:
        legend(figure, styles, filter(None, setups), "marker")
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, series: Sequence[str], styles: Looks) -> None:
    """Marks of one task, the setups of a row a little apart."""
    setups = list(dict.fromkeys(rows["setup"]))
    gap = 0.62 / max(1, len(setups))
    values = _at(rows)
    for number, setup in enumerate(setups):
        of = rows[rows["setup"] == setup]
        offset = gap * (number - (len(setups) - 1) / 2)
        places = np.array([series.index(name) + offset for name in of["series"]])
        name = setup if len(setups) > 1 else ""
        _ranges(axis, of, places, styles[setup].color, name)
        missed = np.isinf(of["median"].to_numpy(dtype=np.float64))
        leads = of["leads"].to_numpy(dtype=bool)
        for marked, marker, filled in (
            (leads & ~missed, styles[setup].marker, True),
            (~leads & ~missed, styles[setup].marker, False),
            (missed, ">", False),
        ):
            if marked.any():
                _marks(
                    axis, of[marked], places[marked], styles[setup].color, (marker, filled), name
                )
    if values.min() > 0 and values.max() > _WIDE * values.min():
        logarithmic(axis, "x", pd.Series(values))
    axis.set_ylim(len(series) - 0.5, -0.5)


def _at(rows: pd.DataFrame) -> np.ndarray:
    """Where medians stand: those that are infinite at the budget."""
    median = rows["median"].to_numpy(dtype=np.float64)
    return np.where(np.isinf(median), rows["budget"].to_numpy(dtype=np.float64), median)


def _ranges(axis: Axes, rows: pd.DataFrame, places: np.ndarray, color: str, name: str) -> None:
    """From the least to the largest run; one that missed ends at the budget."""
    budget = rows["budget"].to_numpy(dtype=np.float64)
    ends = [rows[limit].to_numpy(dtype=np.float64) for limit in ("low", "high")]
    low, high = (np.where(np.isinf(end), budget, end) for end in ends)
    known = np.isfinite(low) & np.isfinite(high)
    if known.any():
        lines = axis.hlines(places[known], low[known], high[known], color=color, alpha=0.45)
        touch.tag(lines, name, "line")


def _marks(
    axis: Axes,
    rows: pd.DataFrame,
    places: np.ndarray,
    color: str,
    form: tuple[str, bool],
    name: str,
) -> None:
    """form: the marker, and whether it is filled."""
    x, (marker, filled) = _at(rows), form
    face = color if filled else "none"
    (marks,) = axis.plot(x, places, marker, color=color, markerfacecolor=face, markersize=5.5)
    labels = [
        f"{series}{', missed' if math.isinf(median) else ''}"
        for series, median in zip(rows["series"], rows["median"], strict=True)
    ]
    touch.tag(marks, name, "marks", x, places, labels=labels, runs=list(rows["digests"]))


def _named(axis: Axes, rows: pd.DataFrame, series: Sequence[str], most: int, small: bool) -> None:
    """Title, label and rows, their names of at most so many letters; small panels have none."""
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    if small:
        axis.tick_params(labelleft=False, labelbottom=False, length=0)
        axis.xaxis.set_ticklabels([])
        return
    axis.set_yticks(range(len(series)), [_short(name, most) for name in series])
    axis.set_title(_short(rows["panel"].iloc[0], _NAME))
    axis.set_xlabel(rows["label"].iloc[0])


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"
