"""Optimizers x tasks, the leaders marked, and the cost of a step in each setup beside them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from .. import cells, text
from ..builder import Builder
from ..columns import Field, field
from ..content import Row, Table, TableCell
from ..tables.standings import LOSS, METRIC, SECONDS
from ..tables.step_costs import by_series
from . import words

# Series that are shown, and setups with a column.
SERIES, _SETUPS = 10, 6
_UNITS = {METRIC: "best val.", LOSS: "best val. loss"}


def ranked(standings: pd.DataFrame) -> list[str]:
    """The series of all tasks by their mean rank over tasks; one that a task lacks is its last."""
    rows = standings[standings["unit"] != SECONDS]
    places = rows.assign(place=rows.groupby("task").cumcount())
    wide = places.pivot_table(index="series", columns="task", values="place", sort=False)
    return [
        str(name) for name in wide.fillna(len(wide)).mean(axis=1).sort_values(kind="stable").index
    ]


def matrix(builder: Builder, standings: pd.DataFrame) -> Table | None:
    """The first series by their mean rank; None if there is one only."""
    names = ranked(standings)
    if len(names) < 2:
        return None
    rows = standings[standings["unit"] != SECONDS]
    by_cell = {(row["series"], row["task"]): row for row in rows.to_dict("records")}
    tasks = list(dict.fromkeys(rows["task"]))
    fields = [field(_heading(builder), lambda name: TableCell(words.name(name, 60)), "")]
    fields += [_of_task(builder, task, by_cell) for task in tasks]
    fields += _costs(builder)
    caption = "The best of each task is marked ★, those not shown to be worse ≈"
    if len(names) > SERIES:
        caption += f"; the first {SERIES} of {len(names)} by mean rank, the CSV file has all"
    return builder.table("answer-matrix", caption, fields, names[:SERIES], standings)


def _heading(builder: Builder) -> str:
    alike = builder.trained["series"].nunique() == builder.trained["optimizer"].nunique()
    return "Optimizer" if alike else "Setting"


def _of_task(builder: Builder, task: str, by_cell: Mapping[tuple[str, str], Row]) -> Field:
    metric = builder.metrics[task]
    unit = next(row["unit"] for (_, of), row in by_cell.items() if of == task)

    def cell(name: str) -> TableCell:
        row = by_cell.get((name, task))
        return TableCell(text.MISSING) if row is None else _cell(row, metric)

    label = f"{words.name(task, 30)}, {_UNITS.get(unit, unit)}"
    return field(label, cell, help="the median over seeds; below, how many got there")


def _cell(row: Row, metric: str) -> TableCell:
    unit, median, missed = row["unit"], row["median"], row["missed"]
    if missed == row["runs"] and unit in (METRIC, LOSS):
        return TableCell("diverged", 1e300)
    reached = f"{row['runs'] - missed} of {row['runs']}" if missed else ""
    finite = abs(median) != float("inf")
    said = words.plain(median, unit, metric) if finite else f"> {row['budget']:g}"
    flag, mark = _flag(row) if finite else ("", "")
    sort = max(-1e300, min(1e300, median))
    return TableCell(f"{mark}{said}", sort, reached, flag=flag, title=_TITLES.get(flag, ""))


_TITLES = {"best": "the best that was seen", "alike": "not shown to be worse than the best"}


def _flag(row: Row) -> tuple[str, str]:
    if row["contenders"] < 2:
        return "", ""
    if row["best"]:
        return "best", "★ "
    return ("alike", "≈ ") if row["leads"] else ("", "")


def _costs(builder: Builder) -> list[Field]:
    """A column a setup, the cheapest on average first."""
    costs = by_series(builder.frames, builder.suite)
    ratios = {(row["series"], row["setup"]): row["ratio"] for row in costs.to_dict("records")}
    means = costs.groupby("setup", sort=False)["ratio"].mean().sort_values(kind="stable")
    return [_cost(str(setup), ratios) for setup in means.index[:_SETUPS]]


def _cost(setup: str, ratios: Mapping[tuple[str, str], float]) -> Field:
    def cell(name: str) -> TableCell:
        return cells.number(ratios.get((name, setup)), words.times)

    said = "step time over that of the optimizer's cheapest setup, geometric mean over tasks"
    return field(f"Step cost, {setup}", cell, help=said)
