"""Figures of a study of `gradrace tune`."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .axes import logarithmic, width
from .bands import band
from .legend import legend
from .looks import Look, Looks, Style, dashed
from .svg import INK
from .touch import tag
from .values import score_ticks


def expected_best(curves: pd.DataFrame, styles: Looks, label: str, percent: bool) -> Figure:
    """Expected best score against the number of trials, a line and a band an optimizer; dashed and
    without a band if the band cannot be trusted. Columns: optimizer, trials, expected, low, high,
    reliable."""
    figure = Figure(figsize=(6.2, 3.1), layout="constrained")
    axis = figure.subplots()
    for name, curve in curves.groupby("optimizer", sort=False):
        look, sure = styles[str(name)], curve[curve["reliable"]]
        band(axis, sure["trials"], sure["low"], sure["high"], look, str(name))
        x, y = curve["trials"], curve["expected"]
        (line,) = axis.plot(x, y, color=look.color, linestyle=(0, (2, 1.6)), linewidth=1.1)
        tag(line, str(name), "line", x, y)
        style: Style = {"marker": look.marker, "markersize": 3.5, "markeredgewidth": 0}
        (marks,) = axis.plot(sure["trials"], sure["expected"], color=look.color, **style)
        tag(marks, str(name), "line")
    if curves["trials"].max() > 12:
        logarithmic(axis, "x", curves["trials"])
    axis.set(xlabel="trials", ylabel=label)
    score_ticks(axis, percent)
    legend(figure, dashed(styles), curves["optimizer"], "both")
    return figure


def slices(trials: pd.DataFrame, look: Look, label: str, percent: bool) -> Figure:
    """One panel a hyperparameter: the score of every trial against its value. Crosses at the edge
    diverged or failed; the ring is the winner. Columns: hyperparameter, value, log, below_one,
    score, state, best, trial, digests."""
    names = list(dict.fromkeys(trials["hyperparameter"]))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    size = (columns * width(columns, 4.2), rows * 2.3 + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis, name in zip(axes.flat, names, strict=False):
        _slice(axis, trials[trials["hyperparameter"] == name], look, name)
    for axis in list(axes.flat)[len(names) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel(label)
    score_ticks(axes[0, 0], percent)
    return figure


def _slice(axis: Axes, rows: pd.DataFrame, look: Look, name: str) -> None:
    """The axis shows 1 - value if that is searched evenly."""
    turned = bool(rows["below_one"].iloc[0])
    x = 1.0 - rows["value"] if turned else rows["value"]
    ended, best = rows["state"] == "ok", rows["best"].astype(bool)
    fine: Style = {"color": look.color, "markersize": 4.2, "markeredgewidth": 0, "alpha": 0.75}
    (marks,) = axis.plot(x[ended], rows["score"][ended], look.marker, **fine)
    said = [f"trial {number}" for number in rows["trial"][ended]]
    runs = list(rows["digests"][ended])
    tag(marks, "trials", "marks", x[ended], rows["score"][ended], labels=said, runs=runs)
    crosses(axis, x[~ended], 0.03, look, "trials", markersize=5, mew=1.3)
    ring: Style = {"markerfacecolor": "none", "markeredgecolor": INK, "markersize": 9, "mew": 1.0}
    axis.plot(x[best], rows["score"][best], "o", **ring)
    if rows["log"].iloc[0]:
        logarithmic(axis, "x", x)
    axis.set_xlabel(f"1 - {name}" if turned else name)


def crosses(axis: Axes, x: pd.Series, height: float, look: Look, name: str, **more: Any) -> None:
    """Crosses of a series at a share of the panel's height: runs without a value."""
    style: Style = {"color": look.color, "transform": axis.get_xaxis_transform(), **more}
    (drawn,) = axis.plot(x, [height] * len(x), "x", **style)
    tag(drawn, name, "marks")
