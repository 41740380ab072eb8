"""The learning-rate schedules of a suite, relative to their base rate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ... import schedules
from ...results.frame import Frames
from ...spec import RunSpec, ScheduleSpec
from .planned import runs


def schedule_curves(frames: Frames, suite: str) -> pd.DataFrame:
    """schedule, progress (0 to 1), factor. Empty if every run holds its rate: there is nothing to
    show."""
    specs: dict[str, RunSpec] = {}
    rates: dict[str, np.ndarray] = {}
    known: set[str] = set()
    kept = frames.curves[frames.curves["series"] == "learning_rate"].groupby("digest")["value"]
    applied = {str(digest): values.to_numpy(dtype=np.float64) for digest, values in kept}
    for digest in runs(frames, suite)["digest"]:
        spec = frames.records[digest].spec
        name, built_in = _name(spec.schedule), spec.schedule.kind in schedules.SCHEDULES
        # The file of a user's schedule may not be at hand: it is drawn as the run had it.
        if name in known or not (built_in or digest in applied):
            continue
        # If the validation loss drove the rates, those of the first run stand for all.
        known.add(name)
        name = f"{name}, as in {spec.id}" if built_in and digest in applied else name
        specs[name] = spec
        rates[name] = applied[digest] if digest in applied else _rates(spec)
    columns = ["schedule", "progress", "factor"]
    if set(specs) <= {"constant"}:
        return pd.DataFrame(columns=columns)
    tables = []
    for name, spec in specs.items():
        progress = np.linspace(0, 1, spec.steps)[: len(rates[name])]
        factor = rates[name] / spec.schedule.base_lr
        tables.append(pd.DataFrame({"schedule": name, "progress": progress, "factor": factor}))
    return pd.concat(tables, ignore_index=True)


def _rates(spec: RunSpec) -> np.ndarray:
    return schedules.table(spec.schedule, spec.steps)


def _name(spec: ScheduleSpec) -> str:
    return f"{spec.kind} ({spec.params_text(', ')})" if spec.params else spec.kind
