"""Time to target: a mark for each run."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...statistics.arrivals import median_time
from .axes import from_zero
from .dots import cell_places, series_panels
from .legend import legend
from .looks import Look, Looks, Style
from .touch import tag


def targets(steps: pd.DataFrame, attempts: pd.DataFrame, styles: Looks) -> Figure:
    """A mark for each run at the steps (left) and seconds (right, if timed) that reached the
    target; a run that missed it is an open triangle at its budget. The short bar is the median,
    drawn if the median run reached it. steps: runs of setups that agree as one; attempts: every
    run; series, setup, reached, steps, seconds, seed, digest of both."""
    panels = {"steps": steps}
    if attempts["seconds"].notna().any():
        panels["seconds"] = attempts[attempts["seconds"].notna()]
    series = list(dict.fromkeys([*steps["series"], *attempts["series"]]))
    room = 6.4 if len(panels) > 1 else 6.2
    rows = max(table["setup"].nunique() for table in panels.values())
    figure, axes = series_panels(series, rows, len(panels), room)
    for axis, (quantity, table) in zip(axes, panels.items(), strict=True):
        cells = table.drop_duplicates(["series", "setup"])
        for row, y in zip(cells.itertuples(), cell_places(cells, series), strict=True):
            runs = table[(table["series"] == row.series) & (table["setup"] == row.setup)]
            _marks(axis, runs, quantity, y, styles[str(row.setup)])
        from_zero(axis, table[quantity].dropna())
        axis.set(xlabel=f"{quantity} to target", title=quantity if len(panels) > 1 else "")
    used = [name for table in panels.values() for name in table["setup"]]
    legend(figure, styles, used, "marker")
    return figure


def _marks(axis: Axes, runs: pd.DataFrame, quantity: str, y: float, look: Look) -> None:
    closed: Style = {"markersize": 4.4, "alpha": 0.75, "mew": 0}
    open_: Style = {"markerfacecolor": "none", "markersize": 5, "clip_on": False}
    name, known = str(runs["setup"].iloc[0]), runs[runs[quantity].notna()]
    for arrived, marker, style in ((True, look.marker, closed), (False, ">", open_)):
        of = known[known["reached"] == arrived]
        # Not drawn when there are none: an empty line that is not clipped upsets the layout.
        if len(of):
            at = [y] * len(of)
            (marks,) = axis.plot(of[quantity], at, marker, color=look.color, **style)
            labels = [f"{row.series}, seed {row.seed}" for row in of.itertuples()]
            tag(marks, name, "marks", of[quantity], at, labels=labels, runs=list(of["digest"]))
    median = median_time(runs[quantity], runs["reached"])
    if np.isfinite(median):
        (bar,) = axis.plot([median], [y], "|", color=look.color, markersize=9, mew=1.8)
        tag(bar, name, "marks")
