"""The data that the runs were trained on: size, source and licence."""

from __future__ import annotations

import pandas as pd

from ...record import DataFacts
from ..builder import Builder
from ..columns import whole, word
from ..content import Section

PLACE = 220
_FIELDS = [
    word("Task", "task"),
    word("Data", "data", note="content"),
    whole("Training", "train", help="rows"),
    whole("Validation", "validation", help="rows"),
    whole("Test", "test", help="rows"),
    word("Sample", "sample"),
    whole("Classes", "classes", help="0 if the targets are numbers"),
    word("Source", "source"),
    word("Licence", "licence"),
]


def section(builder: Builder) -> Section:
    """A row for each task and content of its data; nothing of runs that loaded none."""
    found = Section("data", "Data")
    table = _table(builder)
    if len(table):
        found.add(builder.table("data", "Data sets", _FIELDS, table))
    return found


def _table(builder: Builder) -> pd.DataFrame:
    rows: dict[tuple[str, str, str], dict[str, object]] = {}
    for digest in builder.runs["digest"]:
        record = builder.frames.records[digest]
        if record.data:
            task = record.spec.task
            key = (task.name, task.data, record.data.content)
            rows.setdefault(key, _row(*key, record.data))
    return pd.DataFrame(rows.values())


def _row(task: str, data: str, content: str, facts: DataFacts) -> dict[str, object]:
    sizes = dict(facts.rows)
    sample = " × ".join(map(str, facts.shape)) or "1"
    texts = {"source": facts.source, "licence": facts.licence or "not stated"}
    head = {"task": task, "data": data, "content": content}
    return {**head, **sizes, "sample": sample, "classes": facts.classes, **texts}
