"""The ways of optimizers over the contours of a function of two numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...data import points
from ...layers import Point
from .axes import grid, width
from .legend import legend
from .looks import Looks
from .svg import INK
from .touch import tag

_CONTOURS = {"levels": 14, "colors": INK, "linewidths": 0.5, "linestyles": "solid", "alpha": 0.3}


def paths(places: pd.DataFrame, layer: Point, styles: Looks) -> Figure:
    """One panel a setup: contours of the layer's function, evenly spaced in its logarithm above the
    minimum, with the way of each series from the start (a ring) and the minima (crosses). Diverged
    runs are dotted and may leave the picture."""
    setups = list(dict.fromkeys(places["setup"]))
    size = (width(len(setups), 6.0, 3.2), 4.2)
    figure, axes = grid(1, len(setups), size, sharex=True, sharey=True)
    low, high = _frame(places, layer)
    x, y = np.meshgrid(*(np.linspace(low[i], high[i], 121) for i in (0, 1)))
    above = points.surface(layer, x, y) - points.MINIMUM[layer.objective]
    height = np.log10(np.maximum(above, max(1e-3, 1e-6 * float(above.max()))))
    for axis, setup in zip(axes[0], setups, strict=True):
        axis.contour(x, y, height, **_CONTOURS)
        _ways(axis, places[places["setup"] == setup], styles)
        axis.plot(*layer.start, "o", color=INK, markerfacecolor="none", markersize=7)
        for minimum in points.MINIMA[layer.objective]:
            axis.plot(*minimum, "+", color=INK, markersize=9, mew=1.6)
        axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axis.set(title=setup, xlabel="first number")
        axis.grid(visible=False)
    axes[0, 0].set_ylabel("second number")
    legend(figure, styles, places["series"], "both")
    return figure


def _ways(axis: Axes, places: pd.DataFrame, styles: Looks) -> None:
    for name, way in places.groupby("series", sort=False):
        look, end = styles[str(name)], way.iloc[-1:]
        dash = ":" if way["status"].iloc[0] == "diverged" else look.linestyle
        steps = [f"step {step:g}" for step in way["step"]]
        runs = (str(way["digest"].iloc[0]),)
        (drawn,) = axis.plot(way["x"], way["y"], color=look.color, linestyle=dash)
        tag(drawn, str(name), "line", way["x"], way["y"], labels=steps, runs=runs)
        (last,) = axis.plot(end["x"], end["y"], look.marker, color=look.color, markersize=5)
        tag(last, str(name), "marks", end["x"], end["y"], labels=steps[-1:], runs=runs)


def _frame(places: pd.DataFrame, layer: Point) -> tuple[np.ndarray, np.ndarray]:
    """The lower left and the upper right corner, float[2] each: around the start, the nearest
    minimum, and the ways of runs that did not diverge."""
    start, minima = np.array(layer.start), np.array(points.MINIMA[layer.objective])
    nearest = minima[np.argmin(np.linalg.norm(minima - start, axis=1))]
    ended = places.loc[places["status"] == "ok", ["x", "y"]].to_numpy(dtype=np.float64)
    shown = np.vstack([start, nearest, ended])
    low, high = shown.min(axis=0), shown.max(axis=0)
    margin = 0.12 * np.maximum(high - low, 0.2 * (high - low).max() + 1e-9)
    return low - margin, high + margin
