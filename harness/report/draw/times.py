"""Step times, first calls, and samples a second."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from .axes import from_zero, label_lowest, logarithmic, width, wrapped
from .bands import banded
from .dots import bar, dot, dots
from .legend import legend
from .looks import Looks


def step_times(times: pd.DataFrame, styles: Looks) -> Figure:
    """Per series and setup: a mark at p25, a thick line to the median, a thin one to p99; hollow
    if contended."""
    figure, axis, places = dots(times)
    for row, y in zip(times.to_dict("records"), places, strict=True):
        look = styles[row["setup"]]
        p25, median, p99 = (1e6 * row[f"step_{name}_s"] for name in ("p25", "median", "p99"))
        bar(axis, y, p25, p99, row, color=look.color, linewidth=0.9, alpha=0.8)
        bar(axis, y, p25, median, row, color=look.color, linewidth=3.2, alpha=0.55)
        dot(axis, p25, y, look, row, hollow=bool(row["contended"]))
    from_zero(axis, 1e6 * pd.concat([times["step_p25_s"], times["step_p99_s"]]))
    axis.set_xlabel("microseconds a step")
    legend(figure, styles, times["setup"], "marker")
    return figure


def by_mode(times: pd.DataFrame, styles: Looks) -> Figure:
    """Per setup and series: a mark at p25, and its 95% interval over launches as a bar; hollow
    if contended."""
    cells = times.rename(columns={"series": "setup", "setup": "series"})
    figure, axis, places = dots(cells)
    for row, y in zip(cells.to_dict("records"), places, strict=True):
        look = styles[row["setup"]]
        low, high = 1e6 * row["step_p25_s_low"], 1e6 * row["step_p25_s_high"]
        if not math.isnan(low):
            bar(axis, y, low, high, row, color=look.color, linewidth=2.2, alpha=0.6)
        dot(axis, 1e6 * row["step_p25_s"], y, look, row, hollow=bool(row["contended"]))
    from_zero(axis, 1e6 * cells["step_p25_s"])
    axis.set_xlabel("microseconds a step")
    legend(figure, styles, cells["setup"], "marker")
    return figure


def first_calls(times: pd.DataFrame, styles: Looks) -> Figure:
    """Seconds of the first training step, by series and setup."""
    figure, axis, places = dots(times)
    for row, y in zip(times.to_dict("records"), places, strict=True):
        dot(axis, row["first_call_s"], y, styles[row["setup"]], row)
    from_zero(axis, times["first_call_s"])
    axis.set_xlabel("seconds of the first step")
    legend(figure, styles, times["setup"], "marker")
    return figure


def throughput(rates: pd.DataFrame, styles: Looks) -> Figure:
    """One panel an optimizer, one line a setup: samples a second against batch size, bands are 95%
    intervals over launches. Both axes are logarithmic: a straight line that rises by 1 is a step
    whose time does not grow at all."""
    names = {"samples_per_s": "mean", "samples_per_s_low": "min", "samples_per_s_high": "max"}
    bands = rates.rename(columns=names).assign(runs=rates["launches"])
    bands = bands.astype(dict.fromkeys(names.values(), "float64"))
    panels = list(dict.fromkeys(rates["panel"]))
    figure, axes = wrapped(len(panels), 3, (width(min(3, len(panels)), 6.2), 2.6))
    first = axes[0, 0]
    for axis, panel in zip(axes.flat, panels, strict=False):
        rows = bands[bands["panel"] == panel]
        banded(axis, rows, "setup", styles, x="batch_size", marked=True)
        axis.set_title(panel if len(panels) > 1 else "")
    logarithmic(first, "y", rates["samples_per_s"])
    sizes = sorted(set(rates["batch_size"]))
    first.set_xscale("log", base=2)
    first.set_xticks(sizes, [str(size) for size in sizes])
    first.xaxis.set_minor_locator(NullLocator())
    for axis in axes[:, 0]:
        axis.set_ylabel("samples a second")
    label_lowest(axes, "batch size")
    legend(figure, styles, rates["setup"], "both")
    return figure
