"""Losses and metrics by step and by time, and schedules over a run."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .axes import grid, label_lowest, logarithmic, width, wrapped
from .bands import banded, lines
from .legend import legend
from .looks import METRIC_TITLES, Looks, Style, looks
from .touch import tag
from .values import LOSSES, value_axis


def convergence(
    bands: pd.DataFrame, lost: pd.DataFrame, styles: Looks, target: float, kind: str = "accuracy"
) -> Figure:
    """Rows: training loss, validation loss, the metric of this `kind` if it is not a loss. Columns:
    setups. Lines: the mean over runs that ended ok, with their range as a band; `lost` are the
    curves of diverged runs, dotted, each ended by a cross."""
    known = set(bands["metric"]) | set(lost["metric"])
    shown = [*LOSSES, *(["validation_metric"] if kind in METRIC_TITLES else [])]
    metrics = [metric for metric in shown if metric in known]
    setups = list(dict.fromkeys([*bands["setup"], *lost["setup"]]))
    size = (width(len(setups), 4.6, 2.5), 1.85)
    figure, axes = grid(len(metrics), len(setups), size, sharex=True, sharey="row")
    for row, metric in zip(axes, metrics, strict=True):
        scale, gone = bands[bands["metric"] == metric], lost[lost["metric"] == metric]
        for axis, setup in zip(row, setups, strict=True):
            banded(axis, scale[scale["setup"] == setup], "series", styles)
            _lost(axis, gone[gone["setup"] == setup], styles)
        value_axis(row, metric, scale, gone, target, kind)
    for axis, setup in zip(axes[0], setups, strict=True):
        axis.set_title(setup)
    for axis in axes[-1]:
        axis.set_xlabel("step")
    legend(figure, styles, [*bands["series"], *lost["series"]], "line")
    return figure


def _lost(axis: Axes, lost: pd.DataFrame, styles: Looks) -> None:
    for (name, digest), curve in lost.groupby(["series", "digest"], sort=False):
        color, end, runs = styles[str(name)].color, curve.iloc[-1:], (str(digest),)
        dotted: Style = {"color": color, "linestyle": ":", "linewidth": 1, "alpha": 0.9}
        (way,) = axis.plot(curve["step"], curve["value"], **dotted)
        tag(way, str(name), "line", curve["step"], curve["value"], runs=runs)
        (cross,) = axis.plot(end["step"], end["value"], "x", color=color, markersize=5)
        tag(cross, str(name), "marks", end["step"], end["value"], labels=["diverged"], runs=runs)


def over_time(bands: pd.DataFrame, styles: Looks, metric: str = "validation_loss") -> Figure:
    """One panel a series, one line a setup, against seconds of training: the table's column
    `seconds`.

    Logarithmic, and then without the evaluation before the first step, if setups differ by more
    than a factor of 4."""
    ends = bands.groupby("setup")["seconds"].max()
    log = bool(ends.max() > 4 * ends.min())
    bands = bands[bands["seconds"] > 0] if log else bands
    names = list(dict.fromkeys(bands["series"]))
    figure, axes = wrapped(len(names), 4, (width(min(4, len(names)), 4.6), 2.1))
    for axis, name in zip(axes.flat, names, strict=False):
        banded(axis, bands[bands["series"] == name], "setup", styles, x="seconds")
        axis.set_title(name)
    if log:
        logarithmic(axes[0, 0], "x", bands["seconds"])
    value_axis(list(axes[:, 0]), metric, bands, bands.iloc[:0])
    label_lowest(axes, len(names), "seconds of training steps")
    legend(figure, styles, bands["setup"], "line")
    return figure


def schedules(curves: pd.DataFrame) -> Figure:
    """Learning rate over base rate against the progress of a run."""
    styles = looks(curves["schedule"])
    figure, axes = grid(1, 1, (5.6, 2.3))
    axis = axes[0, 0]
    lines(axis, curves, "progress", "factor", "schedule", styles)
    axis.set(xlabel="progress of the run", ylabel="learning rate / base rate")
    axis.set_ylim(0, 1.05 * curves["factor"].max())
    legend(figure, styles, curves["schedule"], "line")
    return figure
