"""Rows of long tables as a file beside the page, which the page's script loads when a reader sorts
or filters.

A page is opened from a folder as often as from a server, where scripts may load scripts and nothing
else: so the file is a call with the rows as JSON.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..output.escaping import for_script
from .content import Cell, Table

# A cell's fields by the letters that they have in the file; a cell of text alone is a string.
_LETTERS = {
    "text": "t",
    "sort": "s",
    "note": "n",
    "runs": "r",
    "flag": "f",
    "title": "h",
    "link": "l",
}
assert set(_LETTERS) == {field.name for field in fields(Cell)}, (
    "every field of a cell reaches the page"
)


def island(table: Table) -> str:
    """The file's text. Only ASCII, so that it is read alike whatever the browser takes its encoding
    to be.
    """
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return f"gradrace.rows({for_script(table.name)}, {for_script(rows)});\n"


def _cell(cell: Cell) -> str | dict[str, Any]:
    given = {
        letter: value
        for name, letter in _LETTERS.items()
        if (value := getattr(cell, name)) not in ("", None)
    }
    return cell.text if given.keys() <= {"t"} else given
