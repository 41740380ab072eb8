"""The summary: one row a cell, with its outcome and its cost."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import pandas as pd

from ...machine.identity import identities
from ...results.columns import words
from ...results.frame import Frames
from .. import text
from . import lookup, machines
from .endings import COUNTS, SPREAD, per_cell
from .grouping import ordered, varies
from .naming import CELL, has_groups, hypers_unsaid, named
from .planned import metrics, runs
from .timed import step_times

JOULES = "joules_per_1000_steps"
QUANTITIES = words(
    "final_validation_metric best_validation_metric final_validation_loss"
    " best_validation_loss test_metric test_loss final_train_loss joules_per_1000_steps"
)
_COLUMNS = [
    *CELL,
    *COUNTS,
    *(f"{quantity}_{limit}" for quantity in QUANTITIES for limit in SPREAD),
    *["attempts", "reached", "steps_to_target", "seconds_to_target", "budget_s"],
    *["timed_mode", "timed_rule", "timed_on", "timed_instead", "launches"],
    *lookup.TIMES,
    *["contended", "native_p25_s", "native_mode", "digests"],
]
# What the rows of the terminal's summary are told apart by, if it varies.
_TOLD = words(
    "rule schedule schedule_params learning_rate batch_size variation device dtype threads"
)
_ORDER = ["task", "optimizer", "rule", "schedule", "batch_size", "learning_rate", "framework"]


def summary(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a cell: its settings, its outcome over seeds, and the cost of its steps.

    Columns: those of CELL; runs and one count a status; of each of QUANTITIES `_mean`, `_min` and
    `_max` over runs that ended ok; attempts, reached, steps_to_target (median over attempts, inf if
    the median run missed the target); of the timing runs of this very setting on the machine
    timed_on, one for a task, those of `step_times`, with timed_mode and timed_rule; timed_instead,
    the same work in another setting that was timed if this one was not; native_p25_s and
    native_mode, of the library's own class at its own defaults; seconds_to_target and budget_s
    (steps x step_mean_s); digests. Timed cells of that machine that stand beside no trained one
    follow, with NaN for what was not measured. Joules are NaN if runs of the cell were computed on
    several machines (see `joules_apart`)."""
    timed = lookup.Timings(frames, suite, step_times(frames, suite))
    rows = runs(frames, suite, "convergence")
    trained = per_cell(rows, [*CELL, "setting"], QUANTITIES)
    joules = [f"{JOULES}_{limit}" for limit in SPREAD]
    trained.loc[joules_apart(frames, trained), joules] = math.nan
    found: list[dict[Any, Any]] = [
        {**row, **timed.beside(str(row["digests"]).split())} for row in trained.to_dict("records")
    ]
    found += [_only_timed(row) for row in timed.alone()]
    table = pd.DataFrame(found, columns=_COLUMNS)
    table["seconds_to_target"] = table["steps_to_target"] * table["step_mean_s"]
    table["budget_s"] = table["steps"] * table["step_mean_s"]
    return ordered(table, _ORDER)


def joules_apart(frames: Frames, cells: pd.DataFrame) -> pd.Series:
    """bool: whether machines that differ (in more than the index of a card) counted the joules of a
    cell's runs that ended ok. Such joules are never averaged."""
    of = identities(list(frames.records.values()))

    def apart(digests: str) -> bool:
        records = [frames.records[digest] for digest in digests.split()]
        ended = [record for record in records if record.status == "ok"]
        counted = [r for r in ended if r.energy and r.energy.joules is not None]
        return len({of[record.digest].near for record in counted}) > 1

    return pd.Series([apart(digests) for digests in cells["digests"]], cells.index, dtype="bool")


def _only_timed(row: dict[Any, Any]) -> dict[str, Any]:
    blank = dict.fromkeys(("schedule", "schedule_params", "timed_instead", "native_mode"), "")
    timed = {"timed_mode": row["mode"], "timed_rule": row["rule"], "timed_on": row["machine"]}
    return {**blank, "attempts": 0, "reached": 0, **row, **timed}


def summary_compact(frames: Frames, suite: str) -> pd.DataFrame:
    """The summary for a terminal, all text: task, framework, optimizer, best val acc (best val
    metric if tasks have others), final val loss, steps to target, step µs p25, status. The
    optimizer's column names the learning rate and so on if they vary."""
    table, of_task = summary(frames, suite), metrics(frames, suite)
    told = {"variation"} if has_groups(table) else set()
    varied = [c for c in _TOLD if c in told or varies(table, c, ["task", "optimizer"])]
    varied += ["hyper"] if hypers_unsaid(table) else []
    best = "best val acc" if set(of_task.values()) <= {"accuracy"} else "best val metric"
    if machines.are_of_several_machines(frames, of_suite := runs(frames, suite)):
        table = table.assign(
            timed_on=table["timed_on"].map(machines.machine_labels(of_suite)).fillna("")
        )
    else:
        table = table.assign(timed_on="")
    rows = [_compact(row, varied, best, of_task[row["task"]]) for row in table.to_dict("records")]
    columns = ["task", "framework", "optimizer", best]
    columns += ["final val loss", "steps to target", "step µs p25", "status"]
    return pd.DataFrame(rows, columns=columns).astype("str")


def _compact(row: dict[Hashable, Any], varied: list[str], best: str, metric: str) -> dict[str, str]:
    instead = f" ({row['timed_instead']})" if row["timed_instead"] else ""
    on = f" on {row['timed_on']}" if row["timed_on"] else ""
    return {
        "task": row["task"],
        "framework": f"{row['framework']} ({row['mode']})",
        "optimizer": " ".join(filter(None, [row["optimizer"], *(named(row, c) for c in varied)])),
        best: text.metric(row["best_validation_metric_mean"], metric),
        "final val loss": text.significant(row["final_validation_loss_mean"]),
        "steps to target": steps_text(row),
        "step µs p25": text.micros(row["step_p25_s"]) + on + instead,
        "status": text.counts(row),  # type: ignore[arg-type]
    }


def steps_text(row: dict[Hashable, Any]) -> str:
    """Steps to target of a row of the summary."""
    return text.steps_to_target(
        row["steps_to_target"], row["reached"], row["attempts"], row["steps"]
    )
