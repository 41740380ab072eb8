"""The outcome and the cost of every cell."""

from __future__ import annotations

from functools import partial

import pandas as pd

from .. import cells, tables, text
from ..builder import Builder
from ..columns import Field, exact, field, spread, word
from ..content import Section

PLACE = 30
MEANING = (
    "Mean over the runs that ended ok, with their range from lowest to highest below. Steps to"
    " target are the median over all runs that tried: one that missed the target, diverged or ran"
    " out of time counts as longer than any other, so the median is “>” the budget if half of the"
    " runs or more missed (the rule is under Time to target). A step time stands beside runs only"
    " if their very setting was timed on their machine: rule, mode, hyperparameters and all."
    " Seconds to target are steps × the mean step time, slow steps included; p25 is for comparing."
    " Native is the library's own class at its own defaults, whatever was trained."
)

SEVERAL = (
    "Several machines computed these runs. The step times of a task are those of one of them, which"
    " is named; under Step time are those of all."
)


def section(builder: Builder) -> Section:
    """A table for each task."""
    found = Section("summary", "Summary")
    builder.keep("summary.csv", builder.summary)
    found.notes += [MEANING] if len(builder.summary) else []
    found.notes += [SEVERAL] if builder.several_machines else []
    for task, rows in builder.summary.groupby("task", sort=False):
        on = builder.timed_on(rows)
        caption = f"{task}: outcome and cost{f'; steps timed on {on}' if on else ''}"
        fields = _fields(builder.metrics[str(task)], rows)
        table = builder.table(f"summary-{task}", caption, fields, rows, csv="summary.csv")
        found.add(table)
    return found


def _fields(metric: str, rows: pd.DataFrame) -> list[Field]:
    native = field(
        "Native step p25, µs",
        cells.native,
        help="the library's own class and defaults; below, its mode",
    )
    return [
        word("Framework", "framework", note="mode"),
        word("Optimizer", "optimizer", note="rule"),
        *_varied(rows),
        *_of_metric(metric, "Final val.", "final_validation_metric"),
        *_of_metric(metric, "Best val.", "best_validation_metric"),
        field("Final val. loss", partial(cells.mean, name="final_validation_loss")),
        field("Best val. loss", partial(cells.mean, name="best_validation_loss")),
        *_of_metric(metric, "Test", "test_metric"),
        field("Steps to target", cells.steps_to_target),
        field("Seconds to target", cells.seconds_to_target),
        *_joules(rows),
        _micros("Step p25, µs", "step_p25_s", "first quartile over timed blocks"),
        _micros("Step mean, µs", "step_mean_s", "durations are sums of it"),
        field(
            "First step, s",
            lambda row: cells.number(row["first_call_s"]),
            help="compiles if the framework does",
        ),
        field("Timed as", cells.timed_as, ""),
        *([native] if rows["native_p25_s"].notna().any() else []),
        field("Runs", cells.runs, ""),
    ]


def _joules(rows: pd.DataFrame) -> list[Field]:
    if rows["joules_per_1000_steps_mean"].isna().all():
        return []
    said = "all that the device drew during the runs, set-up and compilation included"
    return [spread("Joules per 1000 steps", "joules_per_1000_steps", help=said)]


def _micros(label: str, name: str, help: str) -> Field:
    return field(label, partial(cells.micros, name=name), help=help)


def _of_metric(metric: str, label: str, name: str) -> list[Field]:
    """Accuracy in percent, R² as a number; a metric that is the loss once more is left out."""
    if metric == "negative_loss":
        return []
    unit, form = ("acc., %", text.hundredths) if metric == "accuracy" else ("R²", text.significant)
    return [field(f"{label} {unit}", partial(cells.mean, name=name, form=form))]


def _varied(rows: pd.DataFrame) -> list[Field]:
    found = [exact("Learning rate", "learning_rate")]
    held = rows["schedule"].isin(("", "constant")) & (rows["schedule_params"] == "")
    if not held.all():
        found.append(word("Schedule", "schedule", note="schedule_params"))
    for label, name in (("Batch", "batch_size"), ("Threads", "threads")):
        found += [exact(label, name)] if rows[name].nunique() > 1 else []
    for label, name in (("Variation", "variation"), ("Device", "device"), ("Dtype", "dtype")):
        varies = rows.groupby(["optimizer", "rule"])[name].nunique().max() > 1
        found += [word(label, name)] if varies else []
    return found + ([word("Hyperparameters", "hyper")] if tables.hypers_unsaid(rows) else [])
