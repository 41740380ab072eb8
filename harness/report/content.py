"""What a page consists of: parts of suites, their sections, and the tables and figures of these.
The templates draw them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd
from markupsafe import Markup

Row = dict[Any, Any]
Data = dict[str, pd.DataFrame]
# How many rows of a table the page shows at once.
SHOWN = 50


@dataclass(frozen=True)
class TableCell:
    """`sort` orders a column if its text does not; `note` is set smaller below; `runs` are digests
    to show; a pointer that rests on the cell shows `title`; `link` is a path from the page."""

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
    """A sortable table; `csv` is the path of its data from the page. The page holds the first rows
    of a long one, and its script loads the rest on demand."""

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[TableCell]]
    csv: str = ""
    tall: bool = False

    @property
    def shown(self) -> list[list[TableCell]]:
        """The rows that stand in the page."""
        return self.rows[:SHOWN]

    @property
    def script(self) -> str:
        """The path from the page of the file with all rows; "" if the page holds them all."""
        return f"{self.csv.rpartition('/')[0]}/{self.name}.js" if len(self.rows) > SHOWN else ""


class Html(Protocol):
    """What templates do not escape: markup, or a figure that is drawn when it is wanted."""

    def __html__(self) -> str:
        """The markup."""


@dataclass(frozen=True)
class Figure:
    """An inline SVG with its caption and the path of its data; small ones stand side by side if
    there is room."""

    name: str
    svg: Html
    caption: str
    csv: str
    small: bool = False


@dataclass(frozen=True)
class Reply:
    """A question of a reader, what the numbers answer, each in a sentence, the cautions that
    qualify it, and the anchor of the section that says more ("" if none does)."""

    question: str
    says: tuple[str, ...]
    cautions: tuple[str, ...] = ()
    anchor: str = ""


@dataclass(frozen=True)
class Answer:
    """The first screen of a suite. headline: the answer in one line, for an index of suites.
    matrix: optimizers x tasks. picture: drawn beside the replies; thumbnail: the same, small."""

    headline: str
    replies: tuple[Reply, ...] = ()
    picture: Figure | None = None
    matrix: Table | None = None
    thumbnail: Html = field(default_factory=Markup)


@dataclass
class Section:
    """A heading, and below it: facts (a term with its descriptions), warnings, then in order
    paragraphs (str), tables and figures. notes: how to read these, folded until somebody asks."""

    name: str
    title: str
    parts: list[str | Table | Figure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: list[tuple[str, list[str]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *parts: str | Table | Figure) -> None:
        """Appends paragraphs, tables and figures; an empty paragraph is left out."""
        self.parts += [part for part in parts if part]

    def warn(self, *warnings: str | None) -> None:
        """Adds the warnings that say something and do not stand there already."""
        self.warnings += [w for w in dict.fromkeys(warnings) if w and w not in self.warnings]

    @property
    def is_empty(self) -> bool:
        """Whether the page can do without it."""
        return not (self.parts or self.warnings or self.facts)


@dataclass(frozen=True)
class Part:
    """One suite. page: the file of its page; answer: its first screen; chips: kind and label;
    appendix: all runs; when: the last of them began, UTC ("" if there is none)."""

    suite: str
    page: str
    title: str
    question: str
    answer: Answer
    chips: list[tuple[str, str]]
    sections: list[Section]
    appendix: Table
    when: str = ""

    def tables(self) -> Iterator[Table]:
        """Every table of the part."""
        for section in self.sections:
            yield from (item for item in section.parts if isinstance(item, Table))
        yield self.appendix


def run_link(suite: str, digest: str) -> str:
    """The path from the page of the page of a run."""
    return f"run.html#{suite}/{digest}"
