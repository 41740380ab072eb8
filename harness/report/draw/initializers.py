"""How runs ended by initialiser and activation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .. import text
from ..notes import final
from . import cells
from .cells import Heat


def initializers(table: pd.DataFrame, keys: tuple[str, ...], metric: str) -> Figure:
    """Panels: setups, and series if two settings vary. keys: the columns of the settings."""
    return cells.draw(heat(table, keys, metric))


def heat(table: pd.DataFrame, keys: tuple[str, ...], metric: str) -> Heat:
    """The cells of `initializers`: the mean over the runs that ended ok, and how many did."""
    loss, both = metric == "negative_loss", len(keys) == 2
    quantity = table["final_validation_loss_mean"] if loss else table["metric_mean"]
    form = text.percent if metric == "accuracy" else text.significant
    written = [
        f"{form(value) if np.isfinite(value) else ''}\n{_lost(ok, runs)}".strip()
        for value, ok, runs in zip(quantity, table["ok"], table["runs"], strict=True)
    ]
    placed = table.assign(
        panel=table["setup"] + " · " + table["series"] if both else table["setup"],
        row=table[keys[0]],
        column=table[keys[1]] if both else table["series"],
        value=quantity,
        hatched=table["ok"] < table["runs"],
        text=written,
    )
    known = quantity[np.isfinite(quantity)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    log = loss and low > 0 and high > 10 * low
    limits = (low, high if high > low else low + max(abs(low), 1.0) * 0.01)
    key = final(metric).removeprefix("final ")
    return Heat(placed, key, limits, "viridis_r" if loss else "viridis", log, form)


def _lost(ok: int, runs: int) -> str:
    return f"{ok} of {runs}" if ok < runs else ""
