"""Panels and their axes: sizes, labels, scales, ticks, levels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis as DrawnAxis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from .svg import INK

# Inches across that the page has for panels side by side.
PAGE = 12.8
# Panels side by side at which their text can be read on a page.
_ACROSS = 4


@dataclass(frozen=True)
class Axis:
    """A label and a scale; `limits` if they do not follow from the data, `ticks` if they are the
    data's own."""

    label: str
    log: bool = False
    percent: bool = False
    limits: tuple[float, float] | None = None
    ticks: tuple[float, ...] = ()


def width(panels: int, most: float, least: float = 0.0) -> float:
    """Inches of each of so many panels side by side."""
    return min(most, max(least, PAGE / panels))


def grid(
    rows: int, columns: int, panel: tuple[float, float], **share: Any
) -> tuple[Figure, np.ndarray]:
    """Panels of width x height inches; room for labels and legend comes on top."""
    figure = Figure(figsize=(columns * panel[0], rows * panel[1] + 0.55), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **share)


def wrapped(
    count: int, across: int, panel: tuple[float, float], room: float = 0.55, least: float = 0.0
) -> tuple[Figure, np.ndarray]:
    """So many panels with shared axes, at most `across` side by side; the rest of the last row is
    hidden. room: inches for labels and legend; least: inches of the whole figure's width."""
    columns = min(across, count)
    rows = -(-count // columns)
    size = (max(columns * panel[0], least), rows * panel[1] + room)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in list(axes.flat)[count:]:
        axis.set_visible(False)
    return figure, axes


def label_lowest(axes: np.ndarray, label: str, hide: bool = True) -> None:
    """Labels the x axis of the lowest visible panel of each column. hide: the ticks of others."""
    for column in axes.T:
        shown = [axis for axis in column if axis.get_visible()]
        for axis in column:
            lowest = axis in shown[-1:]
            axis.tick_params(labelbottom=lowest or not hide)
            axis.set_xlabel(label if lowest else "")


# A facet and a setup.
Panel = tuple[str, str]


def sorted_panels(pairs: Iterable[Panel]) -> list[Panel]:
    """Panels (facet, setup) by facet, then by setup, both by first appearance."""
    pairs = list(dict.fromkeys(pairs))
    facets, setups = (list(dict.fromkeys(pair[i] for pair in pairs)) for i in (0, 1))
    return sorted(pairs, key=lambda pair: (facets.index(pair[0]), setups.index(pair[1])))


def columns_of(pairs: Sequence[Panel]) -> int:
    """How many of these panels stand side by side: those of a facet if it has few and all facets
    have as many, else up to _ACROSS in rows of about one length."""
    facets, setups = ({pair[i] for pair in pairs} for i in (0, 1))
    if 1 < len(setups) <= _ACROSS and len(pairs) == len(facets) * len(setups) and len(facets) > 1:
        return len(setups)
    rows = -(-len(pairs) // _ACROSS)
    return -(-len(pairs) // rows) if rows else 1


def titled(facet: str, setup: str) -> str:
    """The title of a panel."""
    return ", ".join(filter(None, (facet, setup)))


def scale(axes: Axes, which: Literal["x", "y"], how: Axis, values: pd.Series) -> None:
    """Label, scale, limits and ticks of an axis."""
    axis = _axis(axes, which)
    axis.set_label_text(how.label)
    if how.log:
        logarithmic(axes, which, pd.Series(how.limits) if how.limits else values)
    if how.percent:
        percent(axis)
    if how.limits:
        axes.set(**{f"{which}lim": how.limits})
    if how.ticks:
        axis.set_ticks(how.ticks, [f"{tick:g}" for tick in how.ticks])


def logarithmic(axes: Axes, which: Literal["x", "y"], values: pd.Series) -> None:
    """Logarithmic with few labels: 1, 2, 5 in every decade of few decades; 1, 3 in those of more;
    else powers of ten."""
    shown = values[(values > 0) & np.isfinite(values.astype("float64"))]
    decades = float(np.log10(shown.max() / shown.min())) if len(shown) else 1.0
    subs = (1.0, 2.0, 5.0) if decades < 1.6 else (1.0, 3.0) if decades < 2.6 else (1.0,)
    axes.set(**{f"{which}scale": "log"})
    axis = _axis(axes, which)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def from_zero(axes: Axes, values: pd.Series) -> None:
    """The x axis from zero, or logarithmic if values span more than a factor of 8."""
    values = values[values > 0]
    if len(values) and values.max() > 8 * values.min():
        axes.set_xlim(values.min() / 1.25, values.max() * 1.25)
        logarithmic(axes, "x", values)
    elif len(values):
        axes.set_xlim(0, 1.06 * values.max())


def percent(axis: DrawnAxis) -> None:
    """Labels fractions as percentages."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))


def level(axes: Axes, value: float, vertical: bool = False) -> None:
    """A thin dashed line of the page's own colour."""
    line = axes.axvline if vertical else axes.axhline
    line(value, color=INK, linewidth=0.8, linestyle=(0, (2, 2)), alpha=0.6)


def _axis(axes: Axes, which: Literal["x", "y"]) -> DrawnAxis:
    return axes.xaxis if which == "x" else axes.yaxis
