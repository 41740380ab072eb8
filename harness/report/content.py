"""What a page consists of: parts of suites, their sections, and tables and figures in these. The templates draw them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

Row = dict[Any, Any]
Data = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Cell:
    """`sort` orders a column when its text does not; `note` is set smaller below; `runs` are digests to show; `title` is
    what a pointer resting on it shows."""

    text: str
    sort: float | str | None = None
    note: str = ""
    runs: str = ""
    flag: str = ""
    title: str = ""


@dataclass(frozen=True)
class Column:
    """kind: '' for words, 'number' (set to the right), 'code'. `help` explains the heading."""

    label: str
    kind: str = ""
    help: str = ""


@dataclass(frozen=True)
class Table:
    """A sortable table; `csv` is the path of its data from the page."""

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    csv: str = ""
    tall: bool = False


@dataclass(frozen=True)
class Figure:
    """An inline SVG with what it shows and where its data are; small ones stand side by side where there is room."""

    name: str
    svg: Markup
    caption: str
    csv: str
    small: bool = False


@dataclass
class Section:
    """A heading and what stands below it: warnings, then in order paragraphs (str), tables and figures."""

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
