"""Tidy tables to figures. Everything is computed before it is drawn; nothing here touches pyplot's
global state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from ..data import points
from ..layers import Point
from ..statistics.arrivals import median_time
from .svg import INK

# At least 3:1 against white and against the page's dark ground. Until the eighth they also differ
# for people without red or green cones (CIE76 of 16 and more); dashes and markers tell the rest
# apart.
PALETTE = (
    "#2474c9",
    "#cc8400",
    "#1d8a66",
    "#d0589f",
    "#4699bd",
    "#b5482a",
    "#7a5cf0",
    "#7d858d",
    "#8d8a12",
    "#c46a5a",
)
DASHES: tuple[Any, ...] = (
    "",
    (4, 1.5),
    (1.6, 1.2),
    (5, 1.5, 1, 1.5),
    (8, 2),
    (3, 1, 1, 1, 1, 1),
    (2, 2),
    (6, 1, 2, 1),
)
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p", "h", "d")
METRICS = {
    "train_loss": "training loss",
    "validation_loss": "validation loss",
    "validation_metric": "validation accuracy",
}
# Of the tasks whose metric is not accuracy; that of negative_loss is the validation loss once more.
METRIC_TITLES = {"accuracy": "validation accuracy", "r2": "validation R²"}


@dataclass(frozen=True)
class Look:
    """How a series or a setup is drawn wherever it appears: colour, and dash and marker as the
    second cue.
    """

    color: str
    dash: Any
    marker: str


Looks = dict[str, Look]


def looks(names: Iterable[str]) -> Looks:
    """One look a name, by order."""
    return {name: _look(i, i, i) for i, name in enumerate(dict.fromkeys(names))}


def setup_looks(runs: pd.DataFrame, frameworks: Sequence[str]) -> Looks:
    """Looks of a suite's setups: the colour says the framework, equal over the page; dash and
    marker the rest.

    A suite of a single framework colours its setups instead.
    """
    pairs = runs[["setup", "framework"]].drop_duplicates()
    if pairs["framework"].nunique() == 1 and len(pairs) > 1:
        return looks(pairs["setup"])
    rank = pairs.groupby("framework").cumcount()
    places = [frameworks.index(name) for name in pairs["framework"]]
    cues = [place + 3 * int(n) for place, n in zip(places, rank, strict=True)]
    return {
        s: _look(place, cue, cue)
        for s, place, cue in zip(pairs["setup"], places, cues, strict=True)
    }


def series_looks(runs: pd.DataFrame, optimizers: Sequence[str]) -> Looks:
    """Looks of a suite's series: the colour says the optimizer, equal over the page; dash and
    marker the variant.

    A suite of a single optimizer colours its variants instead.
    """
    pairs = (
        runs[["series", "optimizer", "variant"]].drop_duplicates("series").itertuples(index=False)
    )
    variants = list(dict.fromkeys(runs["variant"]))
    if runs["optimizer"].nunique() == 1 and len(variants) > 1:
        return looks(runs["series"])
    places = {name: i for i, name in enumerate(optimizers)}
    found = {}
    for series, optimizer, variant in pairs:
        cue = variants.index(variant) if len(variants) > 1 else places[optimizer]
        found[series] = _look(places[optimizer], cue, cue)
    return found


def convergence(
    bands: pd.DataFrame, lost: pd.DataFrame, styles: Looks, target: float, kind: str = "accuracy"
) -> Figure:
    """Rows: training loss, validation loss, validation accuracy (or the metric of this `kind`).
    Columns: setups. Lines: the mean over runs that ended ok, with their range as a band; `lost` are
    the curves of diverged runs, dotted, each ended by a cross."""
    metrics = [m for m in METRICS if m in set(bands["metric"]) | set(lost["metric"])]
    metrics = [m for m in metrics if m != "validation_metric" or kind in METRIC_TITLES]
    setups = list(dict.fromkeys([*bands["setup"], *lost["setup"]]))
    width = min(4.6, max(2.5, 12.8 / len(setups)))
    figure, axes = _grid(len(metrics), len(setups), (width, 1.85), sharex=True, sharey="row")
    for row, metric in zip(axes, metrics, strict=True):
        scale = bands[bands["metric"] == metric]
        for axis, setup in zip(row, setups, strict=True):
            _lines(axis, scale[scale["setup"] == setup], "series", styles)
            _lost(axis, lost[(lost["metric"] == metric) & (lost["setup"] == setup)], styles)
        _value_axis(row, metric, scale, lost[lost["metric"] == metric], target, kind)
    for axis, setup in zip(axes[0], setups, strict=True):
        axis.set_title(setup)
    for axis in axes[-1]:
        axis.set_xlabel("step")
    _legend(figure, styles, [*bands["series"], *lost["series"]], "line")
    return figure


def over_time(bands: pd.DataFrame, styles: Looks, metric: str = "validation_loss") -> Figure:
    """One panel a series, one line a setup, against seconds of training: the table's column
    `seconds`.

    Logarithmic, and then without the evaluation before the first step, where setups differ by more
    than a factor of 4."""
    ends = bands.groupby("setup")["seconds"].max()
    logarithmic = bool(ends.max() > 4 * ends.min())
    bands = bands[bands["seconds"] > 0] if logarithmic else bands
    names = list(dict.fromkeys(bands["series"]))
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    figure, axes = _grid(rows, columns, (min(4.6, 12.8 / columns), 2.1), sharex=True, sharey=True)
    for axis, name in zip(axes.flat, names, strict=False):
        _lines(axis, bands[bands["series"] == name], "setup", styles, x="seconds")
        axis.set_title(name)
    if logarithmic:
        _log(axes[0, 0], "x", bands["seconds"])
    _value_axis(list(axes[:, 0]), metric, bands, bands.iloc[:0], math.nan)
    _close(axes, len(names), "seconds of training steps")
    _legend(figure, styles, bands["setup"], "line")
    return figure


def step_times(times: pd.DataFrame, styles: Looks) -> Figure:
    """Per series and setup: a mark at p25, a thick line to the median, a thin one to p99; hollow
    where contended.
    """
    figure, axis, places = _dots(times, styles, 6.2)
    for row, y in zip(times.itertuples(), places, strict=True):
        color = styles[row.setup].color
        micros = [1e6 * v for v in (row.step_p25_s, row.step_median_s, row.step_p99_s)]
        axis.hlines(y, micros[0], micros[2], color=color, linewidth=0.9, alpha=0.8)
        axis.hlines(y, micros[0], micros[1], color=color, linewidth=3.2, alpha=0.55)
        _dot(axis, micros[0], y, styles[row.setup], hollow=bool(row.contended))
    _range_axis(axis, 1e6 * pd.concat([times["step_p25_s"], times["step_p99_s"]]))
    axis.set_xlabel("microseconds a step")
    _legend(figure, styles, times["setup"], "marker")
    return figure


def by_mode(times: pd.DataFrame, styles: Looks) -> Figure:
    """Per setup and series: a mark at p25, and its 95% interval over launches as a bar; hollow
    where contended.
    """
    cells = times.rename(columns={"series": "setup", "setup": "series"})
    figure, axis, places = _dots(cells, styles, 6.2)
    for row, y in zip(cells.itertuples(), places, strict=True):
        look = styles[row.setup]
        limits = [1e6 * v for v in (row.step_p25_s_low, row.step_p25_s_high)]
        if not math.isnan(limits[0]):
            axis.hlines(y, *limits, color=look.color, linewidth=2.2, alpha=0.6)
        _dot(axis, 1e6 * row.step_p25_s, y, look, hollow=bool(row.contended))
    _range_axis(axis, 1e6 * cells["step_p25_s"])
    axis.set_xlabel("microseconds a step")
    _legend(figure, styles, cells["setup"], "marker")
    return figure


def throughput(rates: pd.DataFrame, styles: Looks) -> Figure:
    """One panel an optimizer, one line a setup: samples a second against batch size, bands are 95%
    intervals over launches. Both axes are logarithmic: a straight line that rises by 1 is a step
    whose time does not grow at all."""
    panels = list(dict.fromkeys(rates["panel"]))
    columns = min(3, len(panels))
    figure, axes = _grid(
        math.ceil(len(panels) / columns),
        columns,
        (min(6.2, 12.8 / columns), 2.6),
        sharex=True,
        sharey=True,
    )
    for axis, panel in zip(axes.flat, panels, strict=False):
        rows = rates[rates["panel"] == panel]
        for setup, line in rows.groupby("setup", sort=False):
            low, high = (
                line[f"samples_per_s_{limit}"].astype("float64") for limit in ("low", "high")
            )
            axis.fill_between(
                line["batch_size"],
                low,
                high,
                color=styles[str(setup)].color,
                alpha=0.16,
                linewidth=0,
            )
        _draw_lines(axis, rows, "batch_size", "samples_per_s", "setup", styles, marked=True)
        axis.set(title=panel if len(panels) > 1 else "", xlabel="", ylabel="")
    _log(axes[0, 0], "y", rates["samples_per_s"])
    sizes = sorted(set(rates["batch_size"]))
    axes[0, 0].set_xscale("log", base=2)
    axes[0, 0].set_xticks(sizes, [str(size) for size in sizes])
    axes[0, 0].xaxis.set_minor_locator(NullLocator())
    for row in axes:
        row[0].set_ylabel("samples a second")
    _close(axes, len(panels), "batch size")
    _legend(figure, styles, rates["setup"], "both")
    return figure


PARTS = {"forward_s": "forward", "backward_s": "backward", "optimizer_s": "optimizer"}
_REMAINDER: dict[str, Any] = {
    "facecolor": "none",
    "edgecolor": INK,
    "hatch": "////",
    "linewidth": 0.6,
}


def breakdown(times: pd.DataFrame) -> Figure:
    """Per cell two bars: above, forward, backward and optimizer in a row, each measured apart, and
    hatched, what is missing from the whole step or goes beyond it; below, the whole step, with the
    95% interval over launches of it."""
    names = [f"{row.setup} · {row.series}" for row in times.itertuples()]
    styles = looks([*PARTS.values(), "whole step"])
    figure = Figure(figsize=(8.2, 1.0 + 0.42 * len(names)), layout="constrained")
    axis, longest = figure.subplots(), 0.0
    for y, row in enumerate(times.to_dict("records")):
        left = 0.0
        for part, label in PARTS.items():
            width = 0.0 if math.isnan(row[part]) else max(0.0, 1e6 * row[part])
            axis.barh(y - 0.2, width, 0.36, left=left, color=styles[label].color)
            left += width
        whole = 1e6 * row["step_p25_s"]
        if not math.isnan(row["remainder_s"]):
            axis.barh(y - 0.2, abs(whole - left), 0.36, left=min(left, whole), **_REMAINDER)
        longest = max(longest, left, whole)
        axis.barh(y + 0.17, whole, 0.22, color=styles["whole step"].color)
        limits = [1e6 * row[f"step_p25_s_{limit}"] for limit in ("low", "high")]
        if not math.isnan(limits[0]):
            axis.hlines(y + 0.17, *limits, color=INK, linewidth=1.0)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    # A wide interval may leave the picture: the bars are what is to be seen.
    axis.set_xlim(0, 1.15 * longest)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel("microseconds a step")
    handles = [Patch(color=look.color, label=name) for name, look in styles.items()]
    if times["remainder_s"].notna().any():
        handles.append(Patch(label="remainder", **_REMAINDER))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), borderaxespad=0.2)
    return figure


def first_calls(times: pd.DataFrame, styles: Looks) -> Figure:
    """Seconds of the first training step, by series and setup."""
    figure, axis, places = _dots(times, styles, 6.2)
    for row, y in zip(times.itertuples(), places, strict=True):
        _dot(axis, row.first_call_s, y, styles[row.setup])
    _range_axis(axis, times["first_call_s"])
    axis.set_xlabel("seconds of the first step")
    _legend(figure, styles, times["setup"], "marker")
    return figure


def targets(attempts: pd.DataFrame, styles: Looks) -> Figure:
    """Per run a mark at the steps (left) and seconds (right, where timed) that reached the target;
    a run that missed it is an open triangle at its budget. The short bar is the median, drawn where
    the median run reached it."""
    panels = ["steps"] + (["seconds"] if attempts["seconds"].notna().any() else [])
    cells = attempts.drop_duplicates(["series", "setup"])
    figure, axes, places = _dot_panels(cells, styles, panels, 6.4 if len(panels) > 1 else 6.2)
    for axis, quantity in zip(axes, panels, strict=True):
        for row, y in zip(cells.itertuples(), places, strict=True):
            runs = attempts[(attempts["series"] == row.series) & (attempts["setup"] == row.setup)]
            _attempt_marks(axis, runs, quantity, y, styles[row.setup])
        _range_axis(axis, attempts[quantity].dropna())
        axis.set_xlabel(f"{quantity} to target")
    _legend(figure, styles, attempts["setup"], "marker")
    return figure


def schedules(curves: pd.DataFrame) -> Figure:
    """Learning rate over base rate against the progress of a run."""
    styles = looks(curves["schedule"])
    figure, axes = _grid(1, 1, (5.6, 2.3))
    _draw_lines(axes[0, 0], curves, "progress", "factor", "schedule", styles)
    axes[0, 0].set_xlabel("progress of the run")
    axes[0, 0].set_ylabel("learning rate / base rate")
    axes[0, 0].set_ylim(0, 1.05 * curves["factor"].max())
    _legend(figure, styles, curves["schedule"], "line")
    return figure


def paths(places: pd.DataFrame, layer: Point, styles: Looks) -> Figure:
    """One panel a setup: contours of the layer's function, evenly spaced in its logarithm above the
    minimum, with the way of each series from the start (a ring) and the minima (crosses). Diverged
    runs are dotted and may leave the picture."""
    setups = list(dict.fromkeys(places["setup"]))
    figure, axes = _grid(
        1, len(setups), (min(6.0, max(3.2, 12.8 / len(setups))), 4.2), sharex=True, sharey=True
    )
    (left, right), (bottom, top) = _frame(places, layer)
    x, y = np.meshgrid(np.linspace(left, right, 121), np.linspace(bottom, top, 121))
    above = points.surface(layer, x, y) - points.MINIMUM[layer.objective]
    height = np.log10(np.maximum(above, max(1e-3, 1e-6 * float(above.max()))))
    for axis, setup in zip(axes[0], setups, strict=True):
        axis.contour(
            x, y, height, levels=14, colors=INK, linewidths=0.5, linestyles="solid", alpha=0.3
        )
        for name, way in places[places["setup"] == setup].groupby("series", sort=False):
            look = styles[str(name)]
            dash = (
                ":" if way["status"].iloc[0] == "diverged" else (0, look.dash) if look.dash else "-"
            )
            axis.plot(way["x"], way["y"], color=look.color, linestyle=dash)
            axis.plot(
                way["x"].iloc[-1:], way["y"].iloc[-1:], look.marker, color=look.color, markersize=5
            )
        axis.plot(*layer.start, "o", color=INK, markerfacecolor="none", markersize=7)
        for minimum in points.MINIMA[layer.objective]:
            axis.plot(*minimum, "+", color=INK, markersize=9, mew=1.6)
        axis.set(xlim=(left, right), ylim=(bottom, top), title=setup, xlabel="first number")
        axis.grid(visible=False)
    axes[0, 0].set_ylabel("second number")
    _legend(figure, styles, places["series"], "both")
    return figure


def _frame(places: pd.DataFrame, layer: Point) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of x and y: around the start, the nearest minimum, and the ways of runs that did not
    diverge.
    """
    start, minima = np.array(layer.start), np.array(points.MINIMA[layer.objective])
    nearest = minima[np.argmin(np.linalg.norm(minima - start, axis=1))]
    ended = places.loc[places["status"] == "ok", ["x", "y"]].to_numpy(dtype=np.float64)
    shown = np.vstack([start, nearest, ended])
    low, high = shown.min(axis=0), shown.max(axis=0)
    margin = 0.12 * np.maximum(high - low, 0.2 * (high - low).max() + 1e-9)
    return (
        (float(low[0] - margin[0]), float(high[0] + margin[0])),
        (float(low[1] - margin[1]), float(high[1] + margin[1])),
    )


def _look(color: int, dash: int, marker: int) -> Look:
    return Look(
        PALETTE[color % len(PALETTE)], DASHES[dash % len(DASHES)], MARKERS[marker % len(MARKERS)]
    )


def _grid(
    rows: int, columns: int, panel: tuple[float, float], **share: Any
) -> tuple[Figure, np.ndarray]:
    """Panels of width x height inches; room for labels and legend comes on top."""
    figure = Figure(figsize=(columns * panel[0], rows * panel[1] + 0.55), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **share)


def _lines(
    axis: Axes, bands: pd.DataFrame, hue: str, styles: Looks, x: str = "step", marked: bool = False
) -> None:
    for name, band in bands.groupby(hue, sort=False):
        if (band["runs"] > 1).any():
            axis.fill_between(
                band[x],
                band["min"],
                band["max"],
                color=styles[str(name)].color,
                alpha=0.16,
                linewidth=0,
            )
    if len(bands):
        _draw_lines(axis, bands, x, "mean", hue, styles, marked)
    axis.set(xlabel="", ylabel="")


def _draw_lines(
    axis: Axes, table: pd.DataFrame, x: str, y: str, hue: str, styles: Looks, marked: bool = False
) -> None:
    used = list(dict.fromkeys(table[hue]))
    seaborn.lineplot(
        data=table,
        x=x,
        y=y,
        hue=hue,
        style=hue,
        hue_order=used,
        style_order=used,
        ax=axis,
        legend=False,
        palette={name: styles[name].color for name in used},
        dashes={name: styles[name].dash for name in used},
        markers={name: styles[name].marker for name in used} if marked else False,
        estimator=None,
        errorbar=None,
        **({"markeredgewidth": 0, "markersize": 5} if marked else {}),
    )


def _lost(axis: Axes, lost: pd.DataFrame, styles: Looks) -> None:
    for (name, _), curve in lost.groupby(["series", "digest"], sort=False):
        color = styles[str(name)].color
        axis.plot(curve["step"], curve["value"], color=color, linestyle=":", linewidth=1, alpha=0.9)
        axis.plot(curve["step"].iloc[-1:], curve["value"].iloc[-1:], "x", color=color, markersize=5)


def _value_axis(
    axes: Sequence[Axes],
    metric: str,
    bands: pd.DataFrame,
    lost: pd.DataFrame,
    target: float,
    kind: str = "accuracy",
) -> None:
    """Label, scale and limits of a shared y axis; by runs that ended ok, so that a diverged one
    cannot flatten them.
    """
    axes[0].set_ylabel(METRIC_TITLES[kind] if metric == "validation_metric" else METRICS[metric])
    low, high = (bands["min"], bands["max"]) if len(bands) else (lost["value"], lost["value"])
    if low.empty:
        return
    if metric == "validation_metric":
        late = (
            bands[bands["step"] >= bands["step"].max() / 4]
            if len(bands)
            else lost.rename(columns={"value": "min"})
        )
        _metric_axis(axes, float(late["min"].min()), target, percent=kind == "accuracy")
    elif low.min() > 0:
        bottom, top = max(float(low.min()), 1e-7), min(float(high.max()), 1e7)
        if len(lost):
            top = max(top, min(4 * top, float(lost["value"].max())))
        axes[0].set_ylim(bottom / 1.15, max(top, bottom * 1.5) * 1.15)
        _log(axes[0], "y", pd.Series([bottom / 1.15, max(top, bottom * 1.5) * 1.15]))
    for axis in axes:
        axis.yaxis.label.set_visible(axis is axes[0] or len(axes) == 1)


def _metric_axis(axes: Sequence[Axes], low: float, target: float, percent: bool) -> None:
    """From `low` and the target up to 1, the best there is; the rise of the first steps may start
    below.
    """
    axes[0].set_ylim(min(low, target if math.isfinite(target) else low) - 0.02, 1.005)
    axes[0].yaxis.set_major_locator(MaxNLocator(5))
    if percent:
        axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    for axis in axes if math.isfinite(target) else ():
        axis.axhline(target, color=INK, linewidth=0.8, linestyle=(0, (2, 2)), alpha=0.6)


def _log(axes: Axes, which: Literal["x", "y"], values: pd.Series) -> None:
    """Logarithmic with labels that can be read: 1, 2, 5 in every decade where there are few
    decades.
    """
    decades = math.log10(values.max() / values.min()) if len(values) else 1.0
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    subs = (1.0, 2.0, 5.0) if decades < 1.6 else (1.0, 3.0) if decades < 2.6 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _range_axis(axis: Axes, values: pd.Series) -> None:
    """From zero, or logarithmic where values span more than a factor of 8."""
    values = values[values > 0]
    if len(values) and values.max() > 8 * values.min():
        axis.set_xlim(values.min() / 1.25, values.max() * 1.25)
        _log(axis, "x", values)
    elif len(values):
        axis.set_xlim(0, 1.06 * values.max())


def _dots(cells: pd.DataFrame, styles: Looks, width: float) -> tuple[Figure, Axes, list[float]]:
    figure, axes, places = _dot_panels(cells, styles, ["one"], width)
    return figure, axes[0], places


def _dot_panels(
    cells: pd.DataFrame, styles: Looks, panels: list[str], width: float
) -> tuple[Figure, np.ndarray, list[float]]:
    """Panels of which the y axis lists series, each with one line a setup; and the y of every cell."""
    series, setups = list(dict.fromkeys(cells["series"])), list(dict.fromkeys(cells["setup"]))
    height = 0.95 + len(series) * (0.13 + 0.14 * len(setups))
    figure = Figure(figsize=(width * len(panels), height), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis in axes:
        axis.set_yticks(range(len(series)), series)
        axis.set_ylim(len(series) - 0.5, -0.5)
        axis.grid(visible=False, axis="y")
        for i in range(1, len(series)):
            axis.axhline(i - 0.5, color=INK, linewidth=0.4, alpha=0.2)
        axis.tick_params(axis="y", length=0)
    offset = 0.76 / max(1, len(setups))
    places = [
        series.index(row.series) + offset * (setups.index(row.setup) - (len(setups) - 1) / 2)
        for row in cells.itertuples()
    ]
    return figure, axes, places


def _dot(axis: Axes, x: float, y: float, look: Look, hollow: bool = False) -> None:
    face = "none" if hollow else look.color
    axis.plot(
        [x], [y], look.marker, color=look.color, markerfacecolor=face, markersize=5.2, clip_on=False
    )


def _attempt_marks(axis: Axes, runs: pd.DataFrame, quantity: str, y: float, look: Look) -> None:
    reached = runs[runs["reached"]]
    axis.plot(
        reached[quantity],
        [y] * len(reached),
        look.marker,
        color=look.color,
        markersize=4.4,
        alpha=0.75,
        mew=0,
    )
    missed = runs.loc[~runs["reached"], quantity]
    # Not drawn when there are none: an empty line that is not clipped upsets the layout.
    if len(missed):
        axis.plot(
            missed,
            [y] * len(missed),
            ">",
            color=look.color,
            markerfacecolor="none",
            markersize=5,
            clip_on=False,
        )
    median = median_time(runs[quantity], runs["reached"])
    if np.isfinite(median):
        axis.plot([median], [y], "|", color=look.color, markersize=9, mew=1.8)


# Inches of a line of a legend.
_LEGEND_LINE = 0.19


def _legend(figure: Figure, styles: Looks, used: Iterable[str], kind: str) -> None:
    names = [name for name in styles if name in set(used)]
    handles = [
        Line2D(
            [],
            [],
            color=styles[name].color,
            label=name,
            markersize=5,
            linestyle=(
                "none" if kind == "marker" else (0, styles[name].dash) if styles[name].dash else "-"
            ),
            marker="" if kind == "line" else styles[name].marker,
        )
        for name in names
    ]
    longest = max((len(name) for name in names), default=1)
    across = max(1, int(figure.get_figwidth() * 15 // (longest + 7)))
    # Room for one line of it is there; more lines must not be taken from the panels.
    figure.set_figheight(
        figure.get_figheight() + _LEGEND_LINE * (math.ceil(len(names) / across) - 1)
    )
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(across, len(names) or 1),
        borderaxespad=0.2,
    )


def _close(axes: np.ndarray, used: int, label: str) -> None:
    """Hides panels past the last, and labels the x axis of the lowest panel of each column."""
    columns = axes.shape[1]
    for i, axis in enumerate(axes.flat):
        axis.set_visible(i < used)
        lowest = used - columns <= i < used
        axis.tick_params(labelbottom=lowest)
        axis.set_xlabel(label if lowest else "")


def describe(what: str, panels: Iterable[str], lines: Iterable[str]) -> str:
    """The sentences for those who cannot see a figure."""
    listed = ", ".join(dict.fromkeys(panels))
    return (
        f"{what}{f' Panels: {listed}.' if listed else ''} Series:"
        f" {', '.join(dict.fromkeys(lines))}."
    )
