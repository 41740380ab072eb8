"""Ratios with their intervals, logarithmic."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .axes import level, logarithmic
from .dots import dots, estimate
from .legend import legend
from .looks import Looks


def ratios(table: pd.DataFrame, styles: Looks, label: str) -> Figure:
    """One line a setup and series. Columns: setup, series, ratio, ratio_low, ratio_high."""
    figure, axis, places = dots(table, 6.4)
    reach = max(1.25, *np.exp(2 * np.abs(np.log(table["ratio"].to_numpy(dtype=np.float64)))))
    shown = (1 / reach, reach)
    for row, y in zip(table.to_dict("records"), places, strict=True):
        estimate(axis, y, row, "ratio", styles[row["setup"]], shown)
    level(axis, 1.0, vertical=True)
    axis.set_xlim(shown)
    logarithmic(axis, "x", pd.Series(shown))
    axis.set_xlabel(label)
    legend(figure, styles, table["setup"], "marker")
    return figure
