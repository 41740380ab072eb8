"""Rows of long tables as a file beside the page, loaded when a reader sorts or filters."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ...output.escaping import for_script
from ..content import Table, TableCell

# A cell's fields by the letters that they have in the file; a cell of text alone is a string.
_LETTERS = dict(text="t", sort="s", note="n", runs="r", flag="f", title="h", link="l")
assert set(_LETTERS) == {field.name for field in fields(TableCell)}, "every field reaches the page"


def rows_script(table: Table) -> str:
    """The file's text. Only ASCII, so that every encoding reads it alike."""
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return f"gradrace.rows({for_script(table.name)}, {for_script(rows)});\n"


def _cell(cell: TableCell) -> str | dict[str, Any]:
    fields = {letter: getattr(cell, name) for name, letter in _LETTERS.items()}
    given = {letter: value for letter, value in fields.items() if value not in ("", None)}
    return cell.text if given.keys() <= {"t"} else given
