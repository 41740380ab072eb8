"""Step times, and samples a second against batch size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure as Drawing

from .. import cells, figures, tables, text
from ..content import Cell, Column, Figure, Row, Section, Table

if TYPE_CHECKING:
    from ..page import Writer


def section(writer: Writer) -> Section:
    section = Section("step-time", "Step time")
    if len(writer.times):
        section.parts.append(_times_table(writer))
    for task, rows in writer.times.dropna(subset=["step_p25_s"]).groupby("task", sort=False):
        section.parts += _times_figures(writer, str(task), rows)
    return section


def throughput(writer: Writer) -> Section:
    section = Section("throughput", "Samples a second")
    for task, rows in tables.throughput(writer.times).groupby("task", sort=False):
        what = "Line charts of samples a second against batch size."
        section.parts.append(
            writer.figure(
                f"{task}-throughput",
                partial(figures.throughput, rows, writer.timed_setups),
                f"{task}: samples a second",
                figures.describe(what, rows["panel"], rows["setup"]),
                rows,
                f"{task}: samples a second against batch size, by step p25. Bands: 95% intervals"
                " over launches.",
            )
        )
    return section


def _times_figures(writer: Writer, task: str, rows: pd.DataFrame) -> list[Figure]:
    disturbed = " Hollow marks were contended." if rows["contended"].any() else ""

    def small(
        name: str, draw: Callable[[], Drawing], title: str, what: str, caption: str
    ) -> Figure:
        described = figures.describe(f"Dot plot of {what}.", rows["setup"], rows["series"])
        title, caption = f"{task}: {title}", f"{task}: {caption}"
        return writer.figure(
            f"{task}-{name}", draw, title, described, None, caption, "step-times.csv", small=True
        )

    found = [
        small(
            "step-time",
            partial(figures.step_times, rows, writer.timed_setups),
            "step time",
            "the step time of each optimizer and framework",
            "time of one training step. Mark: p25. Thick line: to the median. Thin line: to the"
            " 99th percentile of blocks." + disturbed,
        )
    ]
    by_mode, called = tables.by_mode(rows), rows.dropna(subset=["first_call_s"])
    if len(by_mode):
        found.append(
            small(
                "modes",
                partial(figures.by_mode, by_mode, figures.looks(by_mode["series"])),
                "step time by mode",
                "the step time of each framework and mode",
                f"step time by mode. Mark: p25. Bar: 95% interval over launches.{disturbed}",
            )
        )
    if len(called):
        found.append(
            small(
                "first-step",
                partial(figures.first_calls, called, writer.timed_setups),
                "first step",
                "the seconds the first call takes",
                "the first training call, which traces and compiles where the framework does: one"
                " step, or a whole block in modes that compile loops.",
            )
        )
    return found


def _times_table(writer: Writer) -> Table:
    columns = [
        *cells.TIMED,
        Column(
            "p25, µs",
            "number",
            "geometric mean over launches; below, its 95% interval over launches",
        ),
        Column("Median, µs", "number"),
        Column("p99, µs", "number"),
        Column("Mean, µs", "number", "of all steps, slow ones included; arithmetic over launches"),
        Column("Steps/s", "number"),
        Column("Samples/s", "number"),
        Column("First call, s", "number"),
        Column("Launches", "number"),
        Column("Runs"),
    ]
    rows = [
        [
            *cells.timed_cell(row),
            cells.micros(row, "step_p25_s", _launch_note(row)),
            cells.micros(row, "step_median_s"),
            cells.micros(row, "step_p99_s"),
            cells.micros(row, "step_mean_s"),
            cells.number(row["steps_per_s"]),
            cells.number(row["samples_per_s"]),
            cells.number(row["first_call_s"]),
            Cell(str(row["launches"]), row["launches"]),
            cells.runs(row),
        ]
        for row in writer.times.to_dict("records")
    ]
    return writer.table("step-times", "Step times", columns, rows, writer.times)


def _launch_note(row: Row) -> str:
    """The interval over launches; their range where there are too few."""
    if not pd.isna(row["step_p25_s_low"]):
        return text.spread(row["step_p25_s_low"], row["step_p25_s_high"], text.micros)
    return text.spread(row["step_p25_min_s"], row["step_p25_max_s"], text.micros)
