"""Is the comparison fair? The matrix of verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..content import Cell, Column, Section
from ..fairness import Fairness, Finding
from ..fairness import fairness as judged

if TYPE_CHECKING:
    from ..page import Writer


def section(writer: Writer) -> Section:
    section = Section("fairness", "Is the comparison fair?")
    records = [writer.frames.records[digest] for digest in writer.runs["digest"]]
    fair = judged(records, writer.frames.verified, writer.registry)
    section.warnings = list(fair.notes)
    section.parts.extend(fair.facts)
    if fair.rows and fair.pairs:
        columns = [
            Column("Task"),
            Column("Optimizer"),
            *(Column(f"{a} – {b}") for a, b in fair.pairs),
        ]
        listed = [
            [Cell(row.task), Cell(row.optimizer, note=row.rule), *map(_finding_cell, row.findings)]
            for row in fair.rows
        ]
        caption = "Worst difference of a loss between two frameworks that were given the same task"
        section.parts.append(
            writer.table("fairness", caption, columns, listed, _fairness_data(fair))
        )
    return section


def _finding_cell(finding: Finding) -> Cell:
    """The word, its size below; the word carries the meaning, the colour only repeats it."""
    size = "" if finding.worst is None else f"{finding.worst:.0e}"
    flag = "fair-" + finding.word.lower().replace(",", "").replace(" ", "-")
    return Cell(finding.word, finding.worst, size, flag=flag, title=finding.detail)


def _fairness_data(fair: Fairness) -> pd.DataFrame:
    """Long: task, optimizer, rule, a, b, verdict, worst, detail."""
    return pd.DataFrame(
        [
            (row.task, row.optimizer, row.rule, a, b, finding.word, finding.worst, finding.detail)
            for row in fair.rows
            for (a, b), finding in zip(fair.pairs, row.findings, strict=True)
        ],
        columns=["task", "optimizer", "rule", "a", "b", "verdict", "worst", "detail"],
    )
