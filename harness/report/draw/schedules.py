"""Schedules beside their curves."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from . import lines
from .axes import Axis, titled
from .limits import loss_limits
from .lines import Lines
from .looks import BANDS, Looks

# Schedules of one panel, and optimizers side by side.
WHOLE, _ACROSS = 12, 4
_QUANTITIES = ("learning rate", "validation loss")


def schedules(points: pd.DataFrame, styles: Looks) -> Figure:
    """Two rows, learning rate above loss, for every few schedules. Columns: series."""
    part = lines.parts(points["name"], WHOLE)
    parts, series = (list(dict.fromkeys(values)) for values in (part.values(), points["series"]))
    blocks = [(of, series[i : i + _ACROSS]) for of in parts for i in range(0, len(series), _ACROSS)]
    rows = [f"{n} {quantity}" for n in range(len(blocks)) for quantity in _QUANTITIES]
    block = {(of, name): n for n, (of, names) in enumerate(blocks) for name in names}
    columns = {name: f"{i % _ACROSS}" for i, name in enumerate(series)}
    of_points = points["name"].map(part)
    at = [block[pair] for pair in zip(of_points, points["series"], strict=True)]
    placed = points.assign(
        panel_row=pd.Series(at, points.index).astype("str") + " " + points["quantity"],
        panel_column=points["series"].map(columns),
        title=[titled(*pair) for pair in zip(points["series"], of_points, strict=True)],
        hue=points["name"],
        x=points["step"].astype("float64"),
        y=points["mean"],
        low=points["min"],
        high=points["max"],
    )
    order = placed["panel_row"].map(rows.index) * len(series) + placed["panel_column"].astype(int)
    losses = points[points["quantity"] == "validation loss"]
    limits = loss_limits(losses, losses.iloc[:0])
    rates = frozenset(row for row in rows if row.endswith("rate"))
    drawn = Lines(
        placed.iloc[order.argsort(kind="stable")],
        styles,
        Axis("step"),
        Axis("validation loss", log=limits is not None, limits=limits),
        size=(6.2, 1.9),
        bands=BANDS,
        row_axes=dict.fromkeys(rates, Axis("learning rate")),
        own_y=rates,
    )
    return lines.draw(drawn)
