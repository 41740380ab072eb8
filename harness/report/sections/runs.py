"""Every run, in a table."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .. import cells, tables, text
from ..content import Cell, Column, Row, Table, run_link

if TYPE_CHECKING:
    from ..page import Writer


def table(writer: Writer) -> Table:
    best = (
        "Best val. accuracy" if set(writer.metrics.values()) <= {"accuracy"} else "Best val. metric"
    )
    columns = [
        Column("Run"),
        Column("Digest", "code"),
        Column("Status"),
        Column(best, "number"),
        Column("Final val. loss", "number"),
        Column("Steps to target", "number"),
        Column("Step p25, µs", "number"),
        Column("First step, s", "number"),
        Column("Wall, s", "number"),
        Column("Started, UTC", "code"),
        Column("Reason"),
    ]
    rows = [
        _run_cells(writer.suite, row, writer.metrics[row["task"]])
        for row in writer.runs.to_dict("records")
    ]
    return writer.table(
        "runs", "All runs", columns, rows, tables.all_runs(writer.frames, writer.suite)
    )


def _run_cells(suite: str, row: Row, metric: str) -> list[Cell]:
    return [
        Cell(row["id"]),
        Cell(row["digest"], link=run_link(suite, row["digest"])),
        Cell(row["status"], flag=row["status"]),
        cells.number(row["best_validation_metric"], partial(text.metric, name=metric)),
        cells.number(row["final_validation_loss"]),
        cells.number(row["steps_to_target"], "{:g}".format),
        cells.number(row["step_p25_s"], text.micros),
        cells.number(row["first_call_s"]),
        cells.number(row["wall_s"]),
        Cell(text.minute(row["started_at"])),
        Cell(row["reason"]),
    ]
