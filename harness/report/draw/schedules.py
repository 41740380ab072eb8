"""Schedules beside their curves."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from . import lines
from .axes import Axis
from .lines import Lines
from .looks import Looks

_QUANTITIES = ("learning rate", "validation loss")


def schedules(points: pd.DataFrame, styles: Looks) -> Figure:
    """Two rows, learning rate above loss, for every few schedules. Columns: series."""
    place = lines.places(points["name"])
    rows = [f"{n} {quantity}" for n in sorted(set(place.values())) for quantity in _QUANTITIES]
    names = points["name"].map(place).astype("str") + " " + points["quantity"]
    order = names.map(rows.index).argsort(kind="stable")
    placed = points.assign(
        panel_row=names,
        panel_column=points["series"],
        hue=points["name"],
        x=points["step"].astype("float64"),
        y=points["mean"],
        low=points["min"],
        high=points["max"],
    ).iloc[order]
    losses = points.loc[points["quantity"] == "validation loss", "min"]
    rates = frozenset(row for row in rows if row.endswith("rate"))
    drawn = Lines(
        placed,
        styles,
        Axis("step"),
        Axis("validation loss", log=bool((losses > 0).all())),
        size=(4.6, 1.7),
        bands=3,
        row_axes=dict.fromkeys(rates, Axis("learning rate")),
        own_y=rates,
    )
    return lines.draw(drawn)
