"""Validation loss against training loss, a mark for each setting."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..content import Row
from .axes import logarithmic, width, wrapped
from .legend import legend
from .looks import Look, Looks, Style
from .svg import INK
from .touch import tag


def gaps(table: pd.DataFrame, name: str, styles: Looks) -> Figure:
    """A panel for each setup and series, a mark for each setting of `name` with the ranges of both
    losses. Columns: setup, series, `name`, train_loss and final_validation_loss as _mean, _min,
    _max."""
    panels = list(dict.fromkeys(zip(table["setup"], table["series"], strict=True)))
    size = (width(min(4, len(panels)), 4.2), 2.7)
    figure, axes = wrapped(len(panels), 4, size, room=0.5, least=4.6)
    for axis, (setup, series) in zip(axes.flat, panels, strict=False):
        here = table[(table["setup"] == setup) & (table["series"] == series)]
        for row in here.to_dict("records"):
            _mark(axis, row, row[name], styles[row[name]])
        axis.set_title(f"{setup} · {series}")
    losses = table[["train_loss_mean", "final_validation_loss_mean"]].to_numpy(dtype=np.float64)
    losses = losses[np.isfinite(losses)]
    if losses.size and losses.min() > 0:
        logarithmic(axes[0, 0], "x", pd.Series(losses))
        logarithmic(axes[0, 0], "y", pd.Series(losses))
    for axis in axes.flat:
        axis.axline((1, 1), (2, 2), color=INK, linewidth=0.7, alpha=0.4)
    for axis in axes[-1]:
        axis.set_xlabel("training loss")
    for axis in axes[:, 0]:
        axis.set_ylabel("validation loss")
    legend(figure, styles, table[name], "marker")
    return figure


def _mark(axis: Axes, row: Row, name: str, look: Look) -> None:
    (x, left, right), (y, bottom, top) = (
        [row[f"{loss}_{of}"] for of in ("mean", "min", "max")]
        for loss in ("train_loss", "final_validation_loss")
    )
    bar: Style = {"color": look.color, "linewidth": 1.2, "alpha": 0.6}
    for drawn in (axis.hlines(y, left, right, **bar), axis.vlines(x, bottom, top, **bar)):
        tag(drawn, name, "bars")
    (mark,) = axis.plot([x], [y], look.marker, color=look.color, markersize=5.5)
    tag(mark, name, "marks", [x], [y], runs=[row["digests"]])
