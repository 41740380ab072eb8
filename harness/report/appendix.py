"""Every run, in a table."""

from __future__ import annotations

from functools import partial

from . import tables, text
from .builder import Builder
from .cells import number
from .columns import Field, field, word
from .columns import number as numbers
from .content import Row, Table, TableCell, run_link


def table(builder: Builder) -> Table:
    """All runs, each with a link to its page."""
    metrics = builder.metrics
    accuracy = set(metrics.values()) <= {"accuracy"}

    def best(row: Row) -> TableCell:
        form = partial(text.metric, name=metrics[row["task"]])
        return number(row["best_validation_metric"], form)

    def digest(row: Row) -> TableCell:
        return TableCell(row["digest"], link=run_link(builder.suite, row["digest"]))

    fields = [
        word("Run", "id"),
        field("Digest", digest, "code"),
        field("Status", lambda row: TableCell(row["status"], flag=row["status"]), ""),
        field("Best val. accuracy" if accuracy else "Best val. metric", best),
        numbers("Final val. loss", "final_validation_loss"),
        numbers("Steps to target", "steps_to_target", "{:g}".format),
        numbers("Step p25, µs", "step_p25_s", text.micros),
        numbers("First step, s", "first_call_s"),
        numbers("Wall, s", "wall_s"),
        *_joules(builder),
        *([word("Machine", "machine")] if builder.several_machines else []),
        field("Started, UTC", lambda row: TableCell(text.minute(row["started_at"])), "code"),
        word("Reason", "reason"),
    ]
    data = tables.all_runs(builder.frames, builder.suite)
    return builder.table("runs", "All runs", fields, builder.runs.to_dict("records"), data)


def _joules(builder: Builder) -> list[Field]:
    return [numbers("Energy, J", "joules")] if builder.runs["joules"].notna().any() else []
