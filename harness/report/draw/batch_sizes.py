"""Steps and samples to target against the batch size."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import lines
from .axes import Axis
from .dots import mark
from .lines import Lines
from .looks import Looks, Style
from .svg import INK
from .touch import tag


def batch_sizes(table: pd.DataFrame, styles: Looks) -> Figure:
    """Rows: steps and samples. Columns: setups."""
    points = pd.concat([_points(table, name) for name in ("steps", "samples")], ignore_index=True)
    sizes = tuple(float(size) for size in sorted(set(table["batch_size"])))
    axes = {
        str(name): Axis(f"{name} to target", log=True, limits=_limits(of))
        for name, of in points.groupby("panel_row")
    }
    drawn = Lines(
        points,
        styles,
        Axis("batch size", log=True, ticks=sizes),
        Axis("", log=True),
        marked=True,
        decorate=partial(_marks, styles=styles),
        size=(4.6, 2.2),
        row_axes=axes,
    )
    return lines.draw(drawn)


def _marks(axis: Axes, panel: pd.DataFrame, styles: Looks) -> None:
    for point in panel.itertuples():
        name, look = str(point.hue), styles[str(point.hue)]
        if np.isfinite(point.y):
            bar: Style = {"color": look.color, "linewidth": 2.4, "alpha": 0.35}
            (drawn,) = axis.plot([point.x, point.x], [point.least, point.most], **bar)
            tag(drawn, name, "bars")
        else:
            drawn = mark(axis, point.x, point.budget, "^", look, hollow=True, markersize=6)
            runs = (str(point.digests),)
            tag(drawn, name, "marks", [point.x], [point.budget], labels=["missed"], runs=runs)
    sizes = panel["x"].unique()
    for _, line in panel.dropna(subset=["y"]).groupby("hue", sort=False):
        perfect = line["y"].iloc[0] * (line["x"].iloc[0] / sizes) ** line["falls"].iloc[0]
        axis.plot(sizes, perfect, color=INK, linewidth=0.7, alpha=0.35, zorder=1)


def _points(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """y is NaN for a median run that missed; perfect scaling `falls` by this power of the size."""
    factor = table["batch_size"] if quantity == "samples" else 1
    return table.assign(
        panel_row=quantity,
        panel_column=table["setup"],
        hue=table["series"],
        x=table["batch_size"].astype("float64"),
        y=table["steps"].where(np.isfinite(table["steps"])) * factor,
        least=table["steps_low"] * factor,
        most=table["steps_high"] * factor,
        budget=table["budget"] * factor,
        falls=0 if quantity == "samples" else 1,
    )


def _limits(points: pd.DataFrame) -> tuple[float, float]:
    most = points["most"].where(points["y"].notna(), points["budget"])
    values = pd.concat([points["least"], most])
    return float(values.min()) / 1.6, float(values.max()) * 1.6
