"""Time to target: a mark for each run."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...statistics.arrivals import median_time
from .axes import from_zero
from .dots import dot_panels
from .legend import legend
from .looks import Look, Looks, Style


def targets(attempts: pd.DataFrame, styles: Looks) -> Figure:
    """A mark for each run at the steps (left) and seconds (right, if timed) that reached the
    target; a run that missed it is an open triangle at its budget. The short bar is the median,
    drawn if the median run reached it."""
    panels = ["steps"] + (["seconds"] if attempts["seconds"].notna().any() else [])
    cells = attempts.drop_duplicates(["series", "setup"])
    figure, axes, places = dot_panels(cells, len(panels), 6.4 if len(panels) > 1 else 6.2)
    for axis, quantity in zip(axes, panels, strict=True):
        for row, y in zip(cells.itertuples(), places, strict=True):
            runs = attempts[(attempts["series"] == row.series) & (attempts["setup"] == row.setup)]
            _marks(axis, runs, quantity, y, styles[row.setup])
        from_zero(axis, attempts[quantity].dropna())
        axis.set_xlabel(f"{quantity} to target")
    legend(figure, styles, attempts["setup"], "marker")
    return figure


def _marks(axis: Axes, runs: pd.DataFrame, quantity: str, y: float, look: Look) -> None:
    color = look.color
    reached, missed = (runs.loc[runs["reached"] == on, quantity] for on in (True, False))
    at = [y] * len(reached)
    axis.plot(reached, at, look.marker, color=color, markersize=4.4, alpha=0.75, mew=0)
    # Not drawn when there are none: an empty line that is not clipped upsets the layout.
    if len(missed):
        at = [y] * len(missed)
        open_: Style = {"markerfacecolor": "none", "markersize": 5, "clip_on": False}
        axis.plot(missed, at, ">", color=color, **open_)
    median = median_time(runs[quantity], runs["reached"])
    if np.isfinite(median):
        axis.plot([median], [y], "|", color=color, markersize=9, mew=1.8)
