"""Schedules beside their curves: the learning rate and the validation loss of every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ... import schedules
from ...results.frame import Frames
from .endings import ATTEMPTED
from .grouping import SERIES, with_several
from .planned import runs
from .rates import best_rates

# Points of a learning rate that are drawn; a jump stays in its place to within one of them.
POINTS = 200
KEYS = [*SERIES, "name"]


def picked(frames: Frames, suite: str) -> pd.DataFrame:
    """Convergence runs that tried their target, of tasks with several schedules, at each schedule's
    best base rate; `name` is the schedule with its parameters, and the series is named without
    it."""
    rows = runs(frames, suite, "convergence", without=("schedule",))
    rows = rows[rows["status"].isin(ATTEMPTED)]
    rows = rows[rows["digest"].isin(_known(frames, rows))]
    params = rows["schedule_params"]
    params = params.where(params == "", " (" + params + ")")
    rows = rows.assign(name=rows["schedule"] + params)
    return best_rates(with_several(rows, "name", ["task", "setup"]), KEYS)


def _known(frames: Frames, rows: pd.DataFrame) -> set[str]:
    """The runs whose rates can be drawn: a user's schedule is known from its runs, not from its
    file."""
    points = frames.curves
    kept = set(points.loc[points["series"] == "learning_rate", "digest"].astype("str"))
    kinds = {digest: frames.records[digest].spec.schedule.kind for digest in rows["digest"]}
    return kept | {digest for digest, kind in kinds.items() if kind in schedules.SCHEDULES}


def curves(frames: Frames, rows: pd.DataFrame) -> pd.DataFrame:
    """Of every task, setup, series and schedule: quantity (learning rate or validation loss), step,
    mean, min, max over the runs that ended ok. Rates that the validation loss drove are means over
    runs as well."""
    ended = rows[rows["status"] == "ok"]
    points = frames.curves[frames.curves["series"].isin(("validation_loss", "learning_rate"))]
    points = points.rename(columns={"series": "quantity"}).astype({"digest": "str"})
    points = ended[[*KEYS, "digest"]].merge(points, on="digest")
    points = points[np.isfinite(points["value"])]
    groups = points.groupby([*KEYS, "quantity", "step"], sort=False)["value"]
    bands = groups.agg(["mean", "min", "max"]).reset_index()
    applied = bands.loc[bands["quantity"] == "learning_rate", KEYS]
    driven = set(applied.itertuples(index=False, name=None))
    firsts = ended.drop_duplicates(KEYS).to_dict("records")
    planned = [
        _planned(frames, row) for row in firsts if tuple(row[key] for key in KEYS) not in driven
    ]
    found = pd.concat([*planned, bands], ignore_index=True)
    return found.assign(quantity=found["quantity"].str.replace("_", " "))


def _planned(frames: Frames, row: dict[Any, Any]) -> pd.DataFrame:
    spec = frames.records[row["digest"]].spec
    rates = schedules.table(spec.schedule, spec.steps)
    at = np.unique(np.linspace(0, spec.steps - 1, min(POINTS, spec.steps)).round().astype(int))
    named = {**{key: row[key] for key in KEYS}, "quantity": "learning_rate", "step": at}
    return pd.DataFrame({**named, **dict.fromkeys(("mean", "min", "max"), rates[at])})
