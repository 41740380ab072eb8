"""Figures of a study of `gradrace tune`. Everything is computed before it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from .figures import Look, Looks
from .svg import INK


def expected_best(curves: pd.DataFrame, styles: Looks, label: str, percent: bool) -> Figure:
    """Expected best score against the number of trials, a line and a band an optimizer; dashed and
    without a band where the band is not to be relied on. Columns: optimizer, trials, expected, low,
    high, reliable."""
    figure = Figure(figsize=(6.2, 3.1), layout="constrained")
    axis = figure.subplots()
    for name, curve in curves.groupby("optimizer", sort=False):
        look = styles[str(name)]
        sure = curve[curve["reliable"]]
        axis.fill_between(
            sure["trials"], sure["low"], sure["high"], color=look.color, alpha=0.16, linewidth=0
        )
        axis.plot(
            curve["trials"],
            curve["expected"],
            color=look.color,
            linestyle=(0, (2, 1.6)),
            linewidth=1.1,
        )
        axis.plot(
            sure["trials"],
            sure["expected"],
            color=look.color,
            marker=look.marker,
            markersize=3.5,
            markeredgewidth=0,
        )
    if curves["trials"].max() > 12:
        _log(axis, curves["trials"])
    axis.set(xlabel="trials", ylabel=label)
    _scores(axis, percent)
    _legend(figure, styles, curves["optimizer"])
    return figure


def slices(trials: pd.DataFrame, look: Look, label: str, percent: bool) -> Figure:
    """One panel a hyperparameter: the score of every trial against its value. Crosses at the edge
    diverged or failed; the ring is the winner. Columns: hyperparameter, value, log, below_one,
    score, state, best."""
    names = list(dict.fromkeys(trials["hyperparameter"]))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(
        figsize=(columns * min(4.2, 12.8 / columns), rows * 2.3 + 0.3), layout="constrained"
    )
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis, name in zip(axes.flat, names, strict=False):
        _slice(axis, trials[trials["hyperparameter"] == name], look, name)
    for axis in list(axes.flat)[len(names) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel(label)
    _scores(axes[0, 0], percent)
    return figure


def _slice(axis: Axes, rows: pd.DataFrame, look: Look, name: str) -> None:
    """Where 1 - value is what is searched evenly, that is what the axis shows."""
    turned = bool(rows["below_one"].iloc[0])
    x = 1.0 - rows["value"] if turned else rows["value"]
    ended = rows["state"] == "ok"
    axis.plot(
        x[ended],
        rows["score"][ended],
        look.marker,
        color=look.color,
        markersize=4.2,
        markeredgewidth=0,
        alpha=0.75,
    )
    lost = x[~ended]
    axis.plot(
        lost,
        [0.03] * len(lost),
        "x",
        color=look.color,
        markersize=5,
        mew=1.3,
        transform=axis.get_xaxis_transform(),
    )
    best = rows["best"].astype(bool)
    axis.plot(
        x[best],
        rows["score"][best],
        "o",
        markerfacecolor="none",
        markeredgecolor=INK,
        markersize=9,
        mew=1.0,
    )
    if rows["log"].iloc[0]:
        _log(axis, x)
    axis.set_xlabel(f"1 - {name}" if turned else name)


def _log(axis: Axes, values: pd.Series) -> None:
    """Logarithmic with plain labels: 1, 2, 5 in every decade where there are few decades."""
    axis.set_xscale("log")
    values = values[values > 0]
    decades = math.log10(values.max() / values.min()) if len(values) else 1.0
    axis.xaxis.set_major_locator(
        LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.2 else (1.0,), numticks=8)
    )
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())


def _scores(axis: Axes, percent: bool) -> None:
    axis.yaxis.set_major_locator(MaxNLocator(5))
    if percent:
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))


def _legend(figure: Figure, styles: Looks, used: Iterable[str]) -> None:
    names = list(dict.fromkeys(used))
    handles = [
        Line2D([], [], color=styles[n].color, marker=styles[n].marker, markersize=5, label=n)
        for n in names
    ]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=min(6, len(names)), borderaxespad=0.2
    )
