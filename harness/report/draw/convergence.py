"""Losses and metrics by step and by time, and schedules over a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .axes import Panel, columns_of, grid, label_lowest, logarithmic, sorted_panels, titled, width
from .bands import banded, lines
from .legend import legend
from .lines import parts
from .looks import BANDS, METRIC_TITLES, Looks, Style, looks
from .names import short
from .touch import tag
from .values import LOSSES, value_axis


def convergence(
    bands: pd.DataFrame, lost: pd.DataFrame, styles: Looks, target: float, kind: str = "accuracy"
) -> Figure:
    """Training loss, validation loss, the metric of this `kind` if it is not a loss: below each
    other for each setup (and `facet`, if the tables have one), side by side if there is one panel.
    Lines, by `hue` or series: the mean over runs that ended ok, with their range as a band; `lost`
    are the curves of diverged runs, dotted, each ended by a cross."""
    bands, lost = _with_panels(bands), _with_panels(lost)
    known = set(bands["metric"]) | set(lost["metric"])
    shown = [*LOSSES, *(["validation_metric"] if kind in METRIC_TITLES else [])]
    metrics = [metric for metric in shown if metric in known]
    panels = _panels(bands, lost)
    figure, axes = _metric_grid(metrics, panels)
    for metric in metrics:
        row = [axes[metric, panel] for panel in panels]
        of_metric, gone = (table[table["metric"] == metric] for table in (bands, lost))
        for axis, panel in zip(row, panels, strict=True):
            banded(axis, _at(of_metric, panel), "hue", styles, most=BANDS)
            _lost(axis, _at(gone, panel), styles)
        value_axis(row, metric, of_metric, gone, target, kind)
        _label_left(row)
    legend(figure, styles, [*bands["hue"], *lost["hue"]], "line")
    return figure


def _with_panels(table: pd.DataFrame) -> pd.DataFrame:
    """With the columns `facet` and `hue`."""
    return table if "facet" in table else table.assign(facet="", hue=table["series"])


def _panels(*tables: pd.DataFrame) -> list[Panel]:
    pairs = [zip(table["facet"], table["setup"], strict=True) for table in tables]
    return sorted_panels(pair for of in pairs for pair in of)


def _at(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    return table[(table["facet"] == panel[0]) & (table["setup"] == panel[1])]


def _metric_grid(
    metrics: Sequence[str], panels: Sequence[Panel]
) -> tuple[Figure, dict[tuple[str, Panel], Axes]]:
    """Axes by metric and panel, with titles and shared scales."""
    across = columns_of(panels) if len(panels) > 1 else len(metrics)
    count = -(-len(panels) // across) * len(metrics) if len(panels) > 1 else 1
    high = 1.85 if len(panels) > 1 else 2.6
    figure, axes = grid(count, across, (width(across, 6.4, 2.5), high), sharex=True)
    found: dict[tuple[str, Panel], Axes] = {}
    for place, panel in enumerate(panels):
        block, column = divmod(place, across)
        for i, metric in enumerate(metrics):
            alone = len(panels) == 1
            axis = axes[0, i] if alone else axes[block * len(metrics) + i, column]
            found[metric, panel] = axis
            axis.set_title(short(titled(*panel)) if i == 0 or alone else "")
            if place:
                axis.sharey(found[metric, panels[0]])
    for axis in set(axes.flat) - set(found.values()):
        axis.set_visible(False)
    label_lowest(axes, "step")
    return figure, found


def _label_left(axes: Iterable[Axes]) -> None:
    """The label of the first y axis at each that stands at the left, ticks at these alone."""
    label = ""
    for axis in axes:
        label = label or axis.get_ylabel()
        place = axis.get_subplotspec()
        leftmost = place is None or place.colspan.start == 0
        axis.set_ylabel(label if leftmost or axis.get_ylabel() else "")
        axis.tick_params(labelleft=leftmost or bool(axis.get_ylabel()))


def _lost(axis: Axes, lost: pd.DataFrame, styles: Looks) -> None:
    for (name, digest), curve in lost.groupby(["hue", "digest"], sort=False):
        color, end, runs = styles[str(name)].color, curve.iloc[-1:], (str(digest),)
        dotted: Style = {"color": color, "linestyle": ":", "linewidth": 1, "alpha": 0.9}
        (way,) = axis.plot(curve["step"], curve["value"], **dotted)
        tag(way, str(name), "line", curve["step"], curve["value"], runs=runs)
        (cross,) = axis.plot(end["step"], end["value"], "x", color=color, markersize=5)
        tag(cross, str(name), "marks", end["step"], end["value"], labels=["diverged"], runs=runs)


def over_time(
    bands: pd.DataFrame, series: Looks, setups: Looks, metric: str = "validation_loss"
) -> Figure:
    """Against seconds of training: the table's column `seconds`. One panel a series, one line a
    setup; of a single setup one line a series, in panels by `facet` if the table has it.

    Logarithmic, and then without the evaluation before the first step, if lines differ by more
    than a factor of 4."""
    alone = bands["setup"].nunique() == 1
    ends = bands.groupby(["setup", "series"])["seconds"].max()
    log = bool(ends.max() > 4 * ends.min())
    bands = bands[bands["seconds"] > 0] if log else bands
    bands = _with_panels(bands)
    styles = series if alone else setups
    if not alone:
        bands = bands.assign(facet=bands["series"], hue=bands["setup"], setup="")
    panels = _panels(bands)
    across = columns_of(panels)
    size = (width(across, 6.2), 2.1 if across > 2 else 2.6)
    figure, axes = grid(-(-len(panels) // across), across, size, sharex=True, sharey=True)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        banded(axis, _at(bands, panel), "hue", styles, x="seconds", most=BANDS)
        axis.set_title(short(titled(*panel)))
    if log:
        logarithmic(axes[0, 0], "x", bands["seconds"])
    row = list(axes.flat)[: len(panels)]
    value_axis(row, metric, bands, bands.iloc[:0])
    _label_left(row)
    label_lowest(axes, "seconds of training steps")
    legend(figure, styles, bands["hue"], "line")
    return figure


def schedules(curves: pd.DataFrame) -> Figure:
    """Learning rate over base rate against the progress of a run."""
    styles, part = looks(curves["schedule"]), parts(curves["schedule"])
    panels = list(dict.fromkeys(part.values()))
    across = min(len(panels), 2)
    size, shape = (6.2, 2.6), (-(-len(panels) // across), across)
    figure, axes = grid(*shape, size, sharex=True, sharey=True)
    for axis, panel in zip(axes.flat, panels, strict=False):
        of_panel = curves[curves["schedule"].map(part) == panel]
        lines(axis, of_panel, "progress", "factor", "schedule", styles)
        axis.set_title(panel)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("learning rate / base rate")
    axes[0, 0].set_ylim(0, 1.05 * curves["factor"].max())
    label_lowest(axes, "progress of the run")
    legend(figure, styles, curves["schedule"], "line")
    return figure
