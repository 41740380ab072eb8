"""How runs end against the number of weights."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..notes import final
from . import lines
from .axes import Axis
from .dots import mark
from .lines import Lines
from .looks import Looks
from .touch import tag


def by_weights(table: pd.DataFrame, styles: Looks, metric: str) -> Figure:
    """Columns: setups. A line for each series and depth; hollow where runs did not end ok. The
    table is that of tables.architecture."""
    name = "final_validation_loss" if metric == "negative_loss" else "metric"
    points = table.assign(
        panel_row="",
        panel_column=table["setup"],
        hue=table["series"] + table["depth_text"],
        x=table["weights"].astype("float64"),
        y=table[f"{name}_mean"],
        low=table[f"{name}_min"],
        high=table[f"{name}_max"],
    )
    x, y = Axis("weights", log=True), Axis(final(metric), percent=metric == "accuracy")
    lost = partial(_lost, styles=styles)
    return lines.draw(Lines(points, styles, x, y, marked=True, decorate=lost))


def _lost(axis: Axes, panel: pd.DataFrame, styles: Looks) -> None:
    for point in panel[panel["ok"] < panel["runs"]].itertuples():
        name = str(point.hue)
        ring = mark(axis, point.x, point.y, styles[name].marker, styles[name], True, markersize=8)
        said = f"{name}: {point.ok} of {point.runs} ended ok"
        tag(ring, name, "marks", [point.x], [point.y], labels=[said], runs=[str(point.digests)])
