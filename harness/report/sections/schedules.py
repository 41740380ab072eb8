"""Schedules beside their curves: the learning rate above, the validation loss below."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.figure import Figure as Drawing

from ..builder import Builder
from ..content import Section
from ..draw import lines
from ..draw.axes import Axis
from ..draw.lines import Lines
from ..draw.looks import Looks, looks
from ..notes import described, hindsight, joined, listed
from ..tables.schedules import curves, picked

PLACE = 110
_QUANTITIES = ("learning rate", "validation loss")


def section(builder: Builder) -> Section:
    """A figure for each task and setup with several schedules, a column for each optimizer."""
    found = Section("schedules", "Schedules beside their curves")
    rows = picked(builder.frames, builder.suite)
    if rows.empty:
        return found
    points = curves(builder.frames, rows)
    styles, note = looks(rows["name"]), hindsight(rows, builder.trained)
    lost = rows[rows["status"] != "ok"]
    for number, ((task, setup), of) in enumerate(points.groupby(["task", "setup"], sort=False)):
        here = lost[(lost["task"] == task) & (lost["setup"] == setup)]
        missing = listed(here["series"] + " with " + here["name"])
        caption = joined(
            f"{task}, {setup}: the learning rate of every step (above) and the validation loss"
            " (below): mean over the runs that ended ok; bands, in panels of few lines: their"
            " range, not an interval.",
            f"Not every run ended ok, and such runs are missing from the mean: {missing}."
            if missing
            else "",
            note,
        )
        shown = "Learning rates over steps, and validation losses below."
        figure = builder.figure(
            f"{task}-schedules-{number}",
            partial(drawing, of, styles),
            f"{task}, {setup}: schedules",
            described(shown, of["series"], of["name"]),
            of,
            caption,
        )
        found.add(figure)
    return found


def drawing(points: pd.DataFrame, styles: Looks) -> Drawing:
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
