"""Schedules beside their curves: the learning rate of every step above, the validation loss below."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ... import schedules
from ...results.frame import Frames
from .. import figures, tables
from ..content import Section
from ..figures import Looks
from . import draw_lines
from .draw_lines import Axis, Lines
from .shared import groups, joined, listed
from .variations import hindsight

if TYPE_CHECKING:
    from ..page import Writer

# Points of a learning rate that are drawn; jumps stay where they are to within a step's share of
# these.
POINTS = 200
KEYS = ["task", "setup", "series", "name"]


def section(writer: Writer) -> Section:
    """A figure for each task and setup with several schedules, a column for each optimizer."""
    found = Section("schedules", "Schedules beside their curves")
    rows = picked(writer.frames, writer.suite)
    if rows.empty:
        return found
    points = curves(writer.frames, rows)
    styles, note = figures.looks(rows["name"]), hindsight(rows, writer.trained)
    for number, ((task, setup), of) in enumerate(points.groupby(["task", "setup"], sort=False)):
        lost = rows[(rows["task"] == task) & (rows["setup"] == setup) & (rows["status"] != "ok")]
        missing = listed(lost["series"] + " with " + lost["name"])
        found.parts.append(
            writer.figure(
                f"{task}-schedules-{number}",
                partial(drawing, of, styles),
                f"{task}, {setup}: schedules",
                figures.describe(
                    "Learning rates over steps, and validation losses below.",
                    of["series"],
                    of["name"],
                ),
                of,
                joined(
                    f"{task}, {setup}: the learning rate of every step (above) and the validation"
                    " loss (below): mean over the runs that ended ok; bands, where a panel has few"
                    " lines: their range, not an interval.",
                    (
                        "Of these not every run ended ok, and such runs are missing from the mean:"
                        f" {missing}."
                        if missing
                        else ""
                    ),
                    note,
                ),
            )
        )
    return found


def picked(frames: Frames, suite: str) -> pd.DataFrame:
    """Convergence runs that tried their target, of tasks with several schedules, at each schedule's
    best base rate; `name` is the schedule with its parameters, and the series is named without
    it."""
    rows = tables.runs(frames, suite, "convergence", without=("schedule",))
    rows = rows[rows["status"].isin(tables.ATTEMPTED)]
    points = frames.curves
    kept = set(points.loc[points["series"] == "learning_rate", "digest"].astype("str"))
    # A user's schedule is known from its runs, not from its file.
    known = [
        digest in kept or frames.records[digest].spec.schedule.kind in schedules.SCHEDULES
        for digest in rows["digest"]
    ]
    rows = rows[np.array(known, dtype=bool)]
    params = rows["schedule_params"].where(
        rows["schedule_params"] == "", " (" + rows["schedule_params"] + ")"
    )
    rows = rows.assign(name=rows["schedule"] + params)
    several = (
        rows.groupby(["task", "setup"])["name"].transform("nunique") > 1
        if len(rows)
        else np.zeros(0, dtype=bool)
    )
    return tables.best_rates(rows[several], KEYS)


def curves(frames: Frames, rows: pd.DataFrame) -> pd.DataFrame:
    """Of every task, setup, series and schedule: quantity (learning rate or validation loss), step,
    mean, min, max over the runs that ended ok. Rates that the validation loss drove are means over
    runs as well."""
    ended = rows[rows["status"] == "ok"]
    points = frames.curves[frames.curves["series"].isin(("validation_loss", "learning_rate"))]
    points = points.rename(columns={"series": "quantity"}).astype({"digest": "str"})
    points = ended[[*KEYS, "digest"]].merge(points, on="digest")
    points = points[np.isfinite(points["value"])]
    keys = [*KEYS, "quantity", "step"]
    bands = points.groupby(keys, sort=False)["value"].agg(["mean", "min", "max"]).reset_index()
    driven = set(
        map(tuple, bands.loc[bands["quantity"] == "learning_rate", KEYS].itertuples(index=False))
    )
    firsts = ended.drop_duplicates(KEYS)
    planned = [
        _planned(frames, row)
        for row in firsts.to_dict("records")
        if tuple(row[k] for k in KEYS) not in driven
    ]
    return pd.concat([*planned, bands], ignore_index=True).replace(
        {"quantity": {"learning_rate": "learning rate", "validation_loss": "validation loss"}}
    )


def _planned(frames: Frames, row: dict[Any, Any]) -> pd.DataFrame:
    spec = frames.records[row["digest"]].spec
    rates = schedules.table(spec.schedule, spec.steps)
    at = np.unique(np.linspace(0, spec.steps - 1, min(POINTS, spec.steps)).round().astype(int))
    same = {name: row[name] for name in KEYS}
    return pd.DataFrame(
        {
            **same,
            "quantity": "learning_rate",
            "step": at,
            "mean": rates[at],
            "min": rates[at],
            "max": rates[at],
        }
    )


def drawing(points: pd.DataFrame, styles: Looks) -> Any:
    """Two rows, learning rate above loss, for every few schedules. Columns: series."""
    place = {name: row for row, names in enumerate(groups(points["name"])) for name in names}
    group = points["name"].map(place)
    rows = [
        f"{number} {quantity}"
        for number in sorted(set(group))
        for quantity in ("learning rate", "validation loss")
    ]
    order = {name: number for number, name in enumerate(rows)}
    placed = points.assign(
        panel_row=group.astype("str") + " " + points["quantity"],
        panel_column=points["series"],
        hue=points["name"],
        x=points["step"].astype("float64"),
        y=points["mean"],
        low=points["min"],
        high=points["max"],
    )
    placed = placed.iloc[placed["panel_row"].map(order).argsort(kind="stable")]
    losses = points.loc[points["quantity"] == "validation loss", "min"]
    log = bool((losses > 0).all())
    rates = frozenset(row for row in rows if row.endswith("rate"))
    return draw_lines.draw(
        Lines(
            placed,
            styles,
            Axis("step"),
            Axis("validation loss", log=log),
            size=(4.6, 1.7),
            bands=3,
            row_axes=dict.fromkeys(rates, Axis("learning rate")),
            own_y=rates,
        )
    )
