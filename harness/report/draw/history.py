"""Ratios over nights: a line each machine and anchor, with steps, drift and versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from ..history.chart import Array, Chart, Flag, Moved, Track
from .axes import level
from .bands import band
from .legend import legend
from .looks import Look, looks
from .names import short
from .svg import INK
from .touch import tag

# With more nights marks would hide the line.
_MARKED = 150
# Texts of versions that have room; the list below the figure has all.
_NAMED = 6
# The share of a panel that the label of a change takes, with one on its other side.
_LABEL = 0.16


def over_nights(chart: Chart) -> Figure:
    """One panel."""
    figure = Figure(figsize=(12.0, 3.3), layout="constrained")
    axes = figure.subplots()
    styles = looks(track.name for track in chart.tracks)
    for track in chart.tracks:
        _track(axes, track, styles[track.name])
    axes.margins(x=0.02)
    axes.set_xlim(*axes.get_xlim())
    _ratios(axes, chart)
    _flags(axes, chart.flags, {name: look.color for name, look in styles.items()})
    _versions(axes, chart.moved)
    _dates(axes, chart.dates)
    axes.set_xlabel("night")
    legend(figure, styles, list(styles), "both")
    return figure


def _track(axes: Axes, track: Track, look: Look) -> None:
    known = np.isfinite(track.low) & np.isfinite(track.high)
    if known.any():
        x, low, high = track.x[known], track.low[known], track.high[known]
        band(axes, x, low, high, look, track.name, alpha=0.15)
    style: Any = {"color": look.color, "linestyle": look.linestyle, "linewidth": 0.9}
    if len(track.x) <= _MARKED:
        style |= {"marker": look.marker, "markersize": 3.2, "markeredgewidth": 0}
    (drawn,) = axes.plot(track.x, track.ratio, **style)
    tag(drawn, track.name, "line", track.x, track.ratio, labels=track.labels)
    (fitted,) = axes.plot(track.x, track.fitted, color=INK, linewidth=1.1, alpha=0.7)
    tag(fitted, track.name, "bars")


def _ratios(axes: Axes, chart: Chart) -> None:
    """The y axis: logarithmic, from the ratios and the middle half of their limits, with 1."""
    ratios = np.concatenate([track.ratio for track in chart.tracks])
    ends = np.concatenate([np.concatenate([track.low, track.high]) for track in chart.tracks])
    ends = ends[np.isfinite(ends)]
    inner = np.quantile(ends, [0.05, 0.95]) if len(ends) else []
    shown = np.log(np.concatenate([ratios, inner, [0.99, 1.01]]))
    room = 0.08 * (shown.max() - shown.min())
    low, high = np.exp([shown.min() - room, shown.max() + 2.5 * room])
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = _ticks(float(low), float(high))
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(chart.y)
    level(axes, 1.0)


def _ticks(low: float, high: float) -> list[float]:
    """A few round ratios between the limits; powers of ten if they lie far apart."""
    if high > 8 * low:
        powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        found: Array = np.ravel(10.0 ** powers[:, None] * [1.0, 3.0])
    else:
        found = np.asarray(MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high))
    return [float(f"{tick:.6g}") for tick in found if low <= tick <= high]


def _flags(axes: Axes, flags: Sequence[Flag], colors: dict[str, str]) -> None:
    rows: list[float] = []
    for flag in sorted(flags, key=lambda each: each.first + each.last):
        color = colors[flag.track]
        axes.axvspan(flag.first, flag.last, color=color, alpha=0.13, linewidth=0)
        place = (flag.first + flag.last) / 2
        if flag.last - flag.first == 1:
            axes.axvline(place, color=color, linewidth=1.2)
        low, high = axes.get_xlim()
        near_end = place > (low + high) / 2
        row = _row(rows, place, _LABEL * (high - low))
        axes.annotate(
            flag.text,
            (place, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if near_end else 3, -2 - 10 * row),
            textcoords="offset points",
            ha="right" if near_end else "left",
            va="top",
            color=INK,
            weight="bold",
            fontsize=8,
        )


def _row(rows: list[float], place: float, width: float) -> int:
    """The first row of labels with room here; notes that it is taken. rows: of each the place of
    its last label, places growing."""
    row = next((n for n, last in enumerate(rows) if place - last > width), len(rows))
    rows[row : row + 1] = [place]
    return row


def _versions(axes: Axes, moved: Sequence[Moved]) -> None:
    texts_at: dict[int, list[str]] = {}
    for each in moved:
        texts_at.setdefault(each.at, []).append(each.text)
    for at, texts in texts_at.items():
        axes.axvline(at - 0.5, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), alpha=0.8)
        if len(texts_at) <= _NAMED:
            axes.annotate(
                short("; ".join(dict.fromkeys(texts)), 40),
                (at - 0.5, 0.03),
                xycoords=("data", "axes fraction"),
                xytext=(2, 0),
                textcoords="offset points",
                rotation=90,
                ha="left",
                va="bottom",
                color=INK,
                fontsize=7.5,
            )


def _dates(axes: Axes, dates: Sequence[str]) -> None:
    low, high = axes.get_xlim()
    first, last = max(0, int(np.ceil(low))), min(len(dates) - 1, int(high))
    places = np.unique(np.linspace(first, last, min(9, last - first + 1)).round().astype(int))
    axes.set_xticks(places, [dates[place] for place in places])
