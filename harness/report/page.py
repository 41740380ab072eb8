"""What the page shows: tables of cells, figures with captions, facts and warnings, one part a
suite.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure as Drawing

from ..errors import UserError
from ..registry import Registry, load_registry
from ..results.frame import Frames
from ..version import __version__
from . import figures, svg, tables
from .content import Cell, Column, Data, Figure, Part, Table
from .islands import island
from .sections import SECTIONS, compared, fairness, runs


class Writer:
    """Builds the part of one suite and collects the data of its figures and tables: `data` is file
    name -> table.
    """

    def __init__(self, frames: Frames, suite: str, registry: Registry | None) -> None:
        self.frames, self.suite, self.registry = frames, suite, registry
        self.data: Data = {}
        self.runs = tables.runs(frames, suite)
        self.summary = tables.summary(frames, suite)
        self.times = tables.step_times(frames, suite)
        self.trained = tables.runs(frames, suite, "convergence")
        frameworks = list(dict.fromkeys(frames.runs["framework"]))
        self.metrics = tables.metrics(frames, suite)
        self.series = figures.series_looks(
            self.trained, list(dict.fromkeys(frames.runs["optimizer"]))
        )
        self.setups = figures.setup_looks(self.trained, frameworks)
        self.timed_setups = figures.setup_looks(self.times, frameworks)

    def part(self) -> Part:
        """Everything of the suite; run once."""
        plan = self.frames.plans[self.suite]
        sections = [section(self) for section in SECTIONS]
        found = [section for section in sections if section.parts]
        return Part(
            self.suite,
            plan.title,
            plan.question,
            compared.warnings(self),
            compared.chips(self),
            compared.facts(self),
            [fairness.section(self), compared.section(self), *found],
            runs.table(self),
        )

    def table(
        self,
        name: str,
        caption: str,
        columns: list[Column],
        rows: list[list[Cell]],
        data: pd.DataFrame | None = None,
        csv: str = "",
    ) -> Table:
        """A table whose data become a file: `data` under `csv`, or one that was kept before under
        that name.
        """
        csv = csv or f"{name}.csv"
        if data is not None:
            self.keep(csv, data)
        return Table(
            f"{self.suite}-{name}",
            caption,
            columns,
            rows,
            f"data/{self.suite}/{csv}",
            len(rows) > 24,
        )

    def figure(
        self,
        name: str,
        draw: Callable[[], Drawing],
        title: str,
        description: str,
        data: pd.DataFrame | None,
        caption: str,
        csv: str = "",
        small: bool = False,
    ) -> Figure:
        """A figure as inline SVG, its data kept as those of a table. `name` is unique within the
        suite.
        """
        csv = csv or f"{name}.csv"
        if data is not None:
            self.keep(csv, data)
        anchor = f"{self.suite}-fig-{name}"
        drawn = svg.inline(draw, anchor, title, description)
        return Figure(anchor, drawn, caption, f"data/{self.suite}/{csv}", small)

    def keep(self, file: str, data: pd.DataFrame) -> None:
        """Data that stand beside the page under this file name."""
        self.data[f"{self.suite}/{file}"] = data


def build(frames: Frames) -> tuple[dict[str, str], Data]:
    """The report's pages and scripts: path in its folder -> text; and its data: path below data/ ->
    table.
    """
    writers = [Writer(frames, suite, _registry()) for suite in frames.plans]
    parts = [writer.part() for writer in writers]
    data = {name: table for writer in writers for name, table in writer.data.items()}
    environment = _environment()
    files = {
        table.island: island(table) for part in parts for table in part.tables() if table.island
    }
    files["run.html"] = environment.get_template("run.html").render(version=__version__)
    files["index.html"] = environment.get_template("page.html").render(
        parts=parts, version=__version__
    )
    return files, data


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["figure"] = lambda part: isinstance(part, Figure)
    environment.tests["table"] = lambda part: isinstance(part, Table)
    return environment


def _registry() -> Registry | None:
    """Only titles are taken from it, so a plug-in that cannot be loaded must not cost the report."""
    try:
        return load_registry()
    except UserError:
        return None
