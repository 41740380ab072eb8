"""Schedules beside their curves: the learning rate above, the validation loss below."""

from __future__ import annotations

from functools import partial

from ..builder import Builder
from ..content import Section
from ..draw.lazy import Lazy
from ..draw.limits import loss_limits, outside
from ..draw.looks import BANDS, looks
from ..notes import described, hindsight, joined, listed
from ..tables.schedules import curves, picked

drawing = Lazy("schedules")
PLACE = 110


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
        losses = of[of["quantity"] == "validation loss"]
        within = loss_limits(losses, losses.iloc[:0])
        few = of["name"].nunique() <= BANDS and bool((losses["min"] < losses["max"]).any())
        banded = "" if few else None
        here = lost[(lost["task"] == task) & (lost["setup"] == setup)]
        missing = listed(here["series"] + " with " + here["name"])
        caption = joined(
            f"{task}, {setup}: the learning rate of every step (above) and the validation loss"
            " (below): mean over the runs that ended ok.",
            "" if banded is None else f"Bands{banded} are their range, not an interval.",
            outside("Validation loss", losses["min"], losses["max"], within),
            f"Not every run ended ok, and such runs are missing from the mean: {missing}."
            if missing
            else "",
            note,
        )
        shown = "Learning rates over steps, and validation losses below."
        figure = builder.figure(
            f"{task}-schedules-{number}",
            partial(drawing.schedules, of, styles),
            f"{task}, {setup}: schedules",
            described(shown, of["series"], of["name"]),
            of,
            caption,
        )
        found.add(figure)
    return found
