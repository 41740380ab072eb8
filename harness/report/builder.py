"""Builds tables and figures of one suite, and keeps their data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..registry import Registry
from ..results.frame import Frames
from ..spec import TaskSpec
from . import columns, tables
from .columns import Field
from .content import Data, Figure, Table
from .draw import looks
from .drawing import Sketch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class Builder:
    """What every section is made from: the suite's runs, summary and step times, the looks of its
    series and setups, the labels of its machines, `data`: file name -> table, and the sketches of
    its figures."""

    def __init__(self, frames: Frames, suite: str, registry: Registry | None) -> None:
        self.frames, self.suite, self.registry = frames, suite, registry
        self.data: Data = {}
        self.sketches: list[Sketch] = []
        self.runs = tables.runs(frames, suite)
        self.summary = tables.summary(frames, suite)
        self.times = tables.step_times(frames, suite)
        self.trained = tables.runs(frames, suite, "convergence")
        self.metrics = tables.metrics(frames, suite)
        self.machines = tables.machine_labels(self.runs)
        self.several_machines = tables.are_of_several_machines(frames, self.runs)
        self.optimizers = list(dict.fromkeys(frames.runs["optimizer"]))
        self.series = looks.series_looks(self.trained, self.optimizers)
        frameworks = list(dict.fromkeys(frames.runs["framework"]))
        self.setups = looks.setup_looks(self.trained, frameworks)
        self.timed_setups = looks.setup_looks(self.times, frameworks)

    def timed_on(self, rows: pd.DataFrame) -> str:
        """The machines of the step times of these rows, in their column `timed_on`; "" if the suite
        has one machine only."""
        if not self.several_machines:
            return ""
        return " and ".join(dict.fromkeys(self.machines[name] for name in rows["timed_on"] if name))

    def task(self, digest: str) -> TaskSpec:
        """The task of a run."""
        return self.frames.records[digest].spec.task

    def table(
        self,
        name: str,
        caption: str,
        fields: Sequence[Field],
        records: pd.DataFrame | Iterable[Any],
        data: pd.DataFrame | None = None,
        csv: str = "",
    ) -> Table:
        """A table with a row for each record. Its data become a file: `data`, or `records` if that
        is a table, under `csv`; with neither, those that were kept before under that name."""
        csv = csv or f"{name}.csv"
        if isinstance(records, pd.DataFrame):
            data = records if data is None and f"{self.suite}/{csv}" not in self.data else data
            records = records.to_dict("records")
        if data is not None:
            self.keep(csv, data)
        rows = columns.rows(fields, records)
        heads = [field.column for field in fields]
        path = f"data/{self.suite}/{csv}"
        return Table(f"{self.suite}-{name}", caption, heads, rows, path, len(rows) > 24)

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
        """A figure that is drawn later (see drawing), its data kept as those of a table. `name` is
        unique within the suite. draw: a partial of a function of report.draw (see draw.lazy)."""
        csv = csv or f"{name}.csv"
        if data is not None:
            self.keep(csv, data)
        anchor = f"{self.suite}-fig-{name}"
        sketch = Sketch(draw, anchor, title, description)
        self.sketches.append(sketch)
        return Figure(anchor, sketch, caption, f"data/{self.suite}/{csv}", small)

    def keep(self, file: str, data: pd.DataFrame) -> None:
        """Data that stand beside the page under this file name."""
        self.data[f"{self.suite}/{file}"] = data
