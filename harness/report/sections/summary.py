"""How every cell ended, and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from .. import cells, tables, text
from ..content import Cell, Column, Row, Section

if TYPE_CHECKING:
    from ..page import Writer


def section(writer: Writer) -> Section:
    section = Section("summary", "Summary")
    writer.keep("summary.csv", writer.summary)
    if len(writer.summary):
        section.parts.append(
            "Mean over the runs that ended ok, with their range from lowest to highest below. Steps"
            " to target are the median over all runs that tried: one that missed the target,"
            " diverged or ran out of time counts as longer than any other, so it is “>” the budget"
            " if half of the runs or more missed (the rule is under Time to target). A step time"
            " stands beside runs only if their very setting was timed on their machine: rule, mode,"
            " hyperparameters and all. Seconds to target are steps × the mean step time, slow steps"
            " included; p25 is for comparing. Native is the library's own class at its own"
            " defaults, whatever was trained."
        )
    for task, rows in writer.summary.groupby("task", sort=False):
        columns, makers = _columns(writer, rows)
        listed = [[make(row) for make in makers] for row in rows.to_dict("records")]
        caption = f"{task}: outcome and cost"
        section.parts.append(
            writer.table(f"summary-{task}", caption, columns, listed, csv="summary.csv")
        )
    return section


def _columns(
    writer: Writer, rows: pd.DataFrame
) -> tuple[list[Column], list[Callable[[Row], Cell]]]:
    pairs: list[tuple[Column, Callable[[Row], Cell]]] = [
        (Column("Framework"), cells.framework),
        (Column("Optimizer"), lambda row: Cell(row["optimizer"], note=row["rule"])),
        *_varied_columns(writer, rows),
        *_metric_columns(
            writer,
            rows,
            {"Final val.": "final_validation_metric", "Best val.": "best_validation_metric"},
        ),
        (
            Column("Final val. loss", "number"),
            partial(cells.mean, quantity="final_validation_loss"),
        ),
        (Column("Best val. loss", "number"), partial(cells.mean, quantity="best_validation_loss")),
        *_metric_columns(writer, rows, {"Test": "test_metric"}),
        (Column("Steps to target", "number"), cells.steps_to_target),
        (Column("Seconds to target", "number"), cells.seconds_to_target),
        (
            Column("Step p25, µs", "number", "first quartile over timed blocks"),
            partial(cells.micros, name="step_p25_s"),
        ),
        (
            Column("Step mean, µs", "number", "what durations are made of"),
            partial(cells.micros, name="step_mean_s"),
        ),
        (Column("First step, s", "number", "compiles where the framework does"), cells.first_call),
        (Column("Timed as"), cells.timed_as),
        *(
            [
                (
                    Column(
                        "Native step p25, µs",
                        "number",
                        "the library's own class and defaults; below, its mode",
                    ),
                    cells.native,
                )
            ]
            if rows["native_p25_s"].notna().any()
            else []
        ),
        (Column("Runs"), cells.runs),
    ]
    return [column for column, _ in pairs], [make for _, make in pairs]


def _metric_columns(
    writer: Writer, rows: pd.DataFrame, titles: dict[str, str]
) -> list[tuple[Column, Callable[[Row], Cell]]]:
    """Of one task: accuracy in percent, R² as a number; a metric that is the loss once more is left
    out.
    """
    metric = writer.metrics[rows["task"].iloc[0]]
    if metric == "negative_loss":
        return []
    words, form = ("acc., %", text.hundredths) if metric == "accuracy" else ("R²", text.significant)
    return [
        (Column(f"{title} {words}", "number"), partial(cells.mean, quantity=quantity, form=form))
        for title, quantity in titles.items()
    ]


def _varied_columns(
    writer: Writer, rows: pd.DataFrame
) -> list[tuple[Column, Callable[[Row], Cell]]]:
    found: list[tuple[Column, Callable[[Row], Cell]]] = [
        (Column("Learning rate", "number"), partial(cells.plain, name="learning_rate"))
    ]
    if (
        (rows["schedule"].replace("", "constant") != "constant") | (rows["schedule_params"] != "")
    ).any():
        found.append(
            (Column("Schedule"), lambda row: Cell(row["schedule"], note=row["schedule_params"]))
        )
    for name, label in (("batch_size", "Batch"), ("threads", "Threads")):
        if rows[name].nunique() > 1:
            found.append((Column(label, "number"), partial(cells.plain, name=name)))
    words = {"variation": "Variation", "device": "Device", "dtype": "Dtype"}
    shown = [
        name
        for name in words
        if len(rows) and rows.groupby(["optimizer", "rule"])[name].nunique().max() > 1
    ]
    found += [(Column(words[name]), partial(cells.word, name=name)) for name in shown]
    if tables.hypers_unsaid(rows):
        found.append((Column("Hyperparameters"), partial(cells.word, name="hyper")))
    return found
