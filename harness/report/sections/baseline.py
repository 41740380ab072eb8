"""What beats AdamW that was searched as long, and by how much."""

from __future__ import annotations

import pandas as pd

from .. import cells, text
from ..builder import Builder
from ..columns import SERIES, SETUP, TASK, Field, field, number, whole, word
from ..content import Row, Section, TableCell
from ..tables import baseline

PLACE = 65
MEANING = (
    "Every optimizer has as many draws from its own space, and AdamW too; its best draw is the one"
    " with the least mean validation loss over seeds. Scores are of test data, which chose nothing."
    " The gain is the mean difference from AdamW's best draw over the same seeds, higher is better,"
    " with Student's 95% interval. The verdict is of the paired t test at 0.05, corrected for all"
    " optimizers of the task (Holm). Not shown to differ does not mean equal."
)


def _scored(label: str, name: str, help: str) -> Field:
    def cell(row: Row) -> TableCell:
        form = text.percent if row["metric"] == "accuracy" else text.significant
        return cells.limited(row, name, form)

    return field(label, cell, help=help)


COLUMNS = [
    TASK,
    SETUP,
    SERIES,
    _scored("Test score", "score", "mean over seeds; below, its 95% interval"),
    _scored("Gain over AdamW", "gain", "over the same seeds; below, its 95% interval"),
    word("Verdict", "verdict"),
    whole("Seeds", "seeds"),
    number("Learning rate", "learning_rate"),
    word("Hyperparameters", "hyper"),
    field("Runs", lambda row: TableCell("show", runs=row["digests"]), ""),
]


def section(builder: Builder) -> Section:
    """Of a random search that has AdamW and others."""
    found = Section("baseline", "What beats a tuned AdamW")
    table = baseline.against(builder.frames, builder.suite)
    if table.empty or table["series"].nunique() < 2:
        return found
    found.warn(*map(_warning, baseline.under_tuned(builder.frames, builder.suite)))
    found.add(*(_sentence(str(task), rows) for task, rows in table.groupby("task", sort=False)))
    rows = table.to_dict("records")
    found.add(MEANING, builder.table("baseline", "Against AdamW", COLUMNS, rows, table))
    return found


def _sentence(task: str, rows: pd.DataFrame) -> str:
    def those(verdict: str) -> str:
        return ", ".join(rows.loc[rows["verdict"] == verdict, "series"]) or "none"

    return f"{task}: better than AdamW: {those('better')}; worse: {those('worse')}."


def _warning(found: tuple[str, str, str]) -> str:
    task, general, special = found
    return (
        f"{task}: {general} is under-tuned: its search ended worse than that of {special}, which"
        " its space holds or approximates. Give both more draws before comparing it with anything."
    )
