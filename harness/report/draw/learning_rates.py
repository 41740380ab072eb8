"""Final loss against the learning rate."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import lines
from .axes import Axis
from .dots import mark
from .limits import rate_limits
from .lines import Lines
from .looks import Looks, Style
from .touch import tag


def learning_rates(rates: pd.DataFrame, styles: Looks) -> Figure:
    """A panel for each setup, and facet."""
    columns = {"x": "learning_rate", "y": "mean"}
    if rates["runs"].max() > 1:
        columns |= {"low": "min", "high": "max"}
    points = lines.placed(rates, "series", columns, by="x")
    y, x = _loss_axis(rates), Axis("learning rate", log=True)
    facets = points["facet"].nunique() > 1
    lost = partial(_lost, styles=styles)
    return lines.draw(
        Lines(points, styles, x, y, marked=True, decorate=lost, size=(6.2, 2.6), own_x=facets)
    )


def _lost(axis: Axes, panel: pd.DataFrame, styles: Looks) -> None:
    """A cross at the top where runs diverged, in a band with a height for each series so that none
    covers another; a hollow mark where others ended ok."""
    series = list(dict.fromkeys(panel["hue"]))
    for point in panel[panel["ok"] < panel["runs"]].itertuples():
        name = str(point.hue)
        look, runs = styles[name], (str(point.digests),)
        if point.diverged:
            height = 0.98 - 0.03 * series.index(name)
            cross: Style = {"transform": axis.get_xaxis_transform(), "markersize": 4.5, "mew": 1.3}
            (drawn,) = axis.plot([point.x], [height], "x", color=look.color, **cross)
            tag(drawn, name, "marks")
        if point.ok:
            drawn = mark(axis, point.x, point.y, look.marker, look, hollow=True, markersize=7)
            tag(drawn, name, "marks", [point.x], [point.y], runs=runs)


def _loss_axis(rates: pd.DataFrame) -> Axis:
    label, limits = "final validation loss", rate_limits(rates)
    return Axis(label) if limits is None else Axis(label, log=True, limits=limits)
