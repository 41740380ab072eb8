"""What a page consists of: parts of suites, their sections, and tables and figures in these. The
templates draw them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

Row = dict[Any, Any]
Data = dict[str, pd.DataFrame]
# How many rows of a table the page shows at once.
SHOWN = 200


@dataclass(frozen=True)
class Cell:
    """`sort` orders a column when its text does not; `note` is set smaller below; `runs` are
    digests to show; `title` is what a pointer resting on it shows; `link` is a path from the
    page."""

    text: str
    sort: float | str | None = None
    note: str = ""
    runs: str = ""
    flag: str = ""
    title: str = ""
    link: str = ""


@dataclass(frozen=True)
class Column:
    """kind: '' for words, 'number' (set to the right), 'code'. `help` explains the heading."""

    label: str
    kind: str = ""
    help: str = ""


@dataclass(frozen=True)
class Table:
    """A sortable table; `csv` is the path of its data from the page. Of a long one the page holds
    the first rows, and its script the rest when they are wanted."""

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    csv: str = ""
    tall: bool = False

    @property
    def shown(self) -> list[list[Cell]]:
        """The rows that stand in the page."""
        return self.rows[:SHOWN]

    @property
    def island(self) -> str:
        """The path from the page of the file with all rows; "" where the page holds them all."""
        return f"{self.csv.rpartition('/')[0]}/{self.name}.js" if len(self.rows) > SHOWN else ""


@dataclass(frozen=True)
class Figure:
    """An inline SVG with what it shows and where its data are; small ones stand side by side where
    there is room.
    """

    name: str
    svg: Markup
    caption: str
    csv: str
    small: bool = False


@dataclass
class Section:
    """A heading and what stands below it: warnings, then in order paragraphs (str), tables and
    figures.
    """

    name: str
    title: str
    parts: list[str | Table | Figure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class Part:
    """One suite. `facts`: term and descriptions."""

    suite: str
    title: str
    question: str
    warnings: list[str]
    chips: list[tuple[str, str]]
    facts: list[tuple[str, list[str]]]
    sections: list[Section]
    appendix: Table

    def tables(self) -> Iterator[Table]:
        """Every table of the part."""
        yield from (
            item for section in self.sections for item in section.parts if isinstance(item, Table)
        )
        yield self.appendix


def run_link(suite: str, digest: str) -> str:
    """The path from the page of the page of a run."""
    return f"run.html#{suite}/{digest}"
