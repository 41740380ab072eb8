"""Kaplan-Meier curves: the share of runs that have not reached their target."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import lines
from .axes import Axis
from .lines import Lines
from .looks import STEPPED_BANDS, Looks, Style
from .touch import tag


def arrivals(curves: pd.DataFrame, styles: Looks) -> Figure:
    """A panel for each setup, and facet."""
    points = lines.placed(curves, "series", {"x": "steps", "y": "remaining"})
    y = Axis("not yet at the target", percent=True, limits=(0, 1.02))
    missed = partial(_missed, styles=styles)
    return lines.draw(
        Lines(
            points,
            styles,
            Axis("steps"),
            y,
            steps=True,
            bands=STEPPED_BANDS,
            decorate=missed,
            size=(6.2, 2.6),
        )
    )


def _missed(axis: Axes, panel: pd.DataFrame, styles: Looks) -> None:
    missed = panel[panel["missed"] > 0].groupby("hue", sort=False).tail(1)
    for end in missed.itertuples():
        cross: Style = {"markersize": 8, "mew": 1.4, "clip_on": False}
        (mark,) = axis.plot([end.x], [end.y], "+", color=styles[str(end.hue)].color, **cross)
        tag(mark, str(end.hue), "marks")
