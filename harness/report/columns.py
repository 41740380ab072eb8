"""Columns of tables: a heading, and the cell that each row has below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from . import cells, text
from .cells import Form
from .content import Column, TableCell


class Field(NamedTuple):
    """A column, and what makes its cell of a row (a dict, or an object of the section's own)."""

    column: Column
    cell: Callable[[Any], TableCell]


def field(
    label: str, cell: Callable[[Any], TableCell], kind: str = "number", help: str = ""
) -> Field:
    """A column with cells of any make."""
    return Field(Column(label, kind, help), cell)


def word(label: str, name: str, note: str = "", kind: str = "", help: str = "") -> Field:
    """A column of text; `note` names the column whose text stands below."""

    def cell(row: Any) -> TableCell:
        return TableCell(str(row[name]), note=str(row[note]) if note else "")

    return Field(Column(label, kind, help), cell)


def number(label: str, name: str, form: Form = text.significant, help: str = "") -> Field:
    """A column of numbers."""
    return field(label, lambda row: cells.number(row[name], form), help=help)


def whole(label: str, name: str, help: str = "") -> Field:
    """A column of whole numbers."""
    return number(label, name, cells.WHOLE, help)


def exact(label: str, name: str, help: str = "") -> Field:
    """A column of numbers as they were asked for."""
    return field(label, partial(cells.exact, name=name), help=help)


def interval(label: str, name: str, form: Form = text.significant, help: str = "") -> Field:
    """A column of estimates with their intervals below."""
    return field(label, partial(cells.limited, name=name, form=form), help=help)


def spread(label: str, name: str, form: Form = text.significant, help: str = "") -> Field:
    """A column of means over runs with their range below."""
    made = partial(cells.limited, name=name, form=form, ends=cells.RANGE)
    return field(label, made, help=help)


def share(label: str, name: str, of: str, help: str = "") -> Field:
    """A column of '4 of 5', each with the runs behind it."""
    return field(label, partial(cells.share, name=name, of=of), "", help)


def rows(fields: Sequence[Field], records: Iterable[Any]) -> list[list[TableCell]]:
    """The cells of a table, a list for each record."""
    return [[field.cell(record) for field in fields] for record in records]


# What tells contenders apart, as the first columns of their tables.
TASK, SETUP, SERIES = word("Task", "task"), word("Framework", "setup"), word("Optimizer", "series")
NAMES = [TASK, SETUP, SERIES]
# The same of timed cells, whose rules differ.
TIMED = [TASK, SETUP, word("Optimizer", "series", note="rule")]
