"""Is the comparison fair? The matrix of verdicts."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from ..builder import Builder
from ..columns import Field, field
from ..content import Section, TableCell
from ..fairness import Agreement, Fairness, MatrixRow, fairness

PLACE = 10


def section(builder: Builder) -> Section:
    """Verdicts of `gradrace verify` about what the suite compares, or that there are none."""
    found = Section("fairness", "Is the comparison fair?")
    records = [builder.frames.records[digest] for digest in builder.runs["digest"]]
    fair = fairness(records, builder.frames.verified, builder.registry)
    found.warn(*fair.notes)
    found.add(*fair.facts)
    if fair.rows and fair.pairs:
        caption = "Worst difference of a loss between two frameworks that were given the same task"
        table = builder.table("fairness", caption, _fields(fair), fair.rows, _data(fair))
        found.add(table)
    return found


def _fields(fair: Fairness) -> list[Field]:
    def finding(number: int) -> Callable[[MatrixRow], TableCell]:
        return lambda row: _cell(row.findings[number])

    return [
        field("Task", lambda row: TableCell(row.task), ""),
        field("Optimizer", lambda row: TableCell(row.optimizer, note=row.rule), ""),
        *(field(f"{a} – {b}", finding(i), "") for i, (a, b) in enumerate(fair.pairs)),
    ]


def _cell(finding: Agreement) -> TableCell:
    """The word, its size below; the word has the meaning, the colour only repeats it."""
    size = "" if finding.worst is None else f"{finding.worst:.0e}"
    flag = "fair-" + finding.word.lower().replace(",", "").replace(" ", "-")
    return TableCell(finding.word, finding.worst, size, flag=flag, title=finding.detail)


def _data(fair: Fairness) -> pd.DataFrame:
    """Long: task, optimizer, rule, a, b, verdict, worst, detail."""
    rows = [
        (row.task, row.optimizer, row.rule, a, b, finding.word, finding.worst, finding.detail)
        for row in fair.rows
        for (a, b), finding in zip(fair.pairs, row.findings, strict=True)
    ]
    columns = ["task", "optimizer", "rule", "a", "b", "verdict", "worst", "detail"]
    return pd.DataFrame(rows, columns=columns)
