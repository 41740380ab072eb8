"""What the page of a command consists of: an answer, then chapters with tables of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# More rows make a page slow; the command's JSON has them all.
_MOST_ROWS = 500
# Columns whose words are coloured, and the classes of style.css; other words have none.
_COLOURED = ("verdict", "FAILED")
_FLAGS = {
    **dict.fromkeys(("differs", "regression", "failed", "worse", "slower"), "failed"),
    **dict.fromkeys(("changed", "unchecked", "suspected", "inconclusive", "skipped"), "skipped"),
    **dict.fromkeys(("contended", "not comparable"), "skipped"),
    **dict.fromkeys(("same", "within", "ok", "improvement", "better", "faster"), "ok"),
}


class Cell(NamedTuple):
    """flag: a class of style.css."""

    text: str
    flag: str = ""


@dataclass(frozen=True)
class Grid:
    """A table. left_out: how many rows the page does not show."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int = 0


@dataclass(frozen=True)
class Chapter:
    """A heading, sentences and tables. folded: shown when a reader opens it."""

    name: str
    title: str
    says: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Document:
    """title: the answer, in a line. says: more of it. chips: class and label. file: of the page."""

    file: str
    command: str
    title: str
    says: tuple[str, ...]
    chips: tuple[tuple[str, str], ...]
    chapters: tuple[Chapter, ...]


def grid(caption: str, rows: Sequence[Mapping[str, str]]) -> tuple[Grid, ...]:
    """A table of equal rows, without the columns that are empty in all of them; none without
    rows."""
    if not rows:
        return ()
    heads = tuple(name for name in rows[0] if any(row[name] for row in rows))
    shown = tuple(tuple(_cell(head, row[head]) for head in heads) for row in rows[:_MOST_ROWS])
    return (Grid(caption, heads, shown, max(len(rows) - _MOST_ROWS, 0)),)


def _cell(head: str, text: str) -> Cell:
    if head not in _COLOURED:
        return Cell(text)
    word = next((word for word in _FLAGS if text.startswith(word)), "")
    return Cell(text, _FLAGS.get(word, ""))
