"""Step times."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from .. import cells, tables, text
from ..builder import Builder
from ..columns import TIMED, Field, field, number
from ..content import Figure, Row, Section, TableCell
from ..draw.lazy import Lazy
from ..draw.looks import looks
from ..notes import described

PLACE = 180
times = Lazy("times")


def _p25(row: Row) -> TableCell:
    """Below, the interval over launches; their range if there are too few."""
    few = pd.isna(row["step_p25_s_low"])
    names = ("step_p25_min_s", "step_p25_max_s") if few else ("step_p25_s_low", "step_p25_s_high")
    note = text.limits(row[names[0]], row[names[1]], text.micros, alike=False)
    return cells.micros(row, "step_p25_s", note)


def _micros(label: str, name: str, help: str = "") -> Field:
    return field(label, partial(cells.micros, name=name), help=help)


COLUMNS = [
    *TIMED,
    field(
        "p25, µs", _p25, help="geometric mean over launches; below, its 95% interval over launches"
    ),
    _micros("Median, µs", "step_median_s"),
    _micros("p99, µs", "step_p99_s"),
    _micros(
        "Mean, µs", "step_mean_s", "of all steps, slow ones included; arithmetic over launches"
    ),
    number("Steps/s", "steps_per_s"),
    number("Samples/s", "samples_per_s"),
    number("First call, s", "first_call_s"),
    field("Launches", lambda row: TableCell(str(row["launches"]), row["launches"])),
    field("Runs", cells.runs, ""),
]


def section(builder: Builder) -> Section:
    """A table, and for each task its step times, times by mode and first calls."""
    found = Section("step-time", "Step time")
    # A cell that was timed on one machine may have its memory run on another.
    rows = builder.times[builder.times["runs"] > 0]
    if len(rows):
        table = builder.table("step-times", "Step times", COLUMNS, rows, builder.times)
        found.add(table)
    timed = builder.times.dropna(subset=["step_p25_s"])
    for task, rows in timed.groupby("task", sort=False):
        found.add(*_figures(builder, str(task), rows))
    return found


def _figures(builder: Builder, task: str, rows: pd.DataFrame) -> list[Figure]:
    def small(name: str, draw: Callable[[], Any], title: str, shown: str, caption: str) -> Figure:
        said = described(f"Dot plot of {shown}.", rows["setup"], rows["series"])
        title, caption = f"{task}: {title}", f"{task}: {caption}"
        name, csv = f"{task}-{name}", "step-times.csv"
        return builder.figure(name, draw, title, said, None, caption, csv, small=True)

    disturbed = " Hollow marks were contended." if rows["contended"].any() else ""
    by_mode, called = tables.by_mode(rows), rows.dropna(subset=["first_call_s"])
    found = [
        small(
            "step-time",
            partial(times.step_times, rows, builder.timed_setups),
            "step time",
            "the step time of each optimizer and framework",
            "time of one training step. Mark: p25. Thick line: to the median. Thin line: to the"
            f" 99th percentile of blocks.{disturbed}",
        )
    ]
    if len(by_mode):
        drawing = partial(times.by_mode, by_mode, looks(by_mode["series"]))
        shown = "the step time of each framework and mode"
        caption = f"step time by mode. Mark: p25. Bar: 95% interval over launches.{disturbed}"
        found.append(small("modes", drawing, "step time by mode", shown, caption))
    if len(called):
        drawing = partial(times.first_calls, called, builder.timed_setups)
        caption = (
            "the first training call, which traces and compiles if the framework does: one step,"
            " or a whole block in modes that compile loops. The start of the framework, which a"
            " process pays once, is not in it."
        )
        shown = "the seconds the first call takes"
        found.append(small("first-step", drawing, "first step", shown, caption))
    return found
