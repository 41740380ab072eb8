"""Time to target: one mark a run, Kaplan-Meier curves, and medians with intervals."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes

from ...statistics.comparisons import seeds_warning
from .. import figures, tables, text
from ..content import Cell, Column, Figure, Section, Table
from ..figures import Looks
from . import arrivals, draw_lines
from .draw_lines import Axis, Lines
from .shared import between, goal, groups, joined, number, rate_note, timed_instead

if TYPE_CHECKING:
    from ..page import Writer

MEANING = (
    "A run that missed its target is censored at its budget: it would have needed longer, nobody"
    " knows how much. So is one that diverged, ran out of time or stopped early; runs that failed"
    " or were skipped never tried, and are not counted. The median is where the Kaplan-Meier curve"
    " falls below one half; if the curve is exactly one half over an interval, the middle of the"
    " interval, and “not reached” if no later arrival ends it (as in R's survfit; the summary has"
    " the same median). With fewer than 6 runs its 95% limits are 0 and ∞ by necessity. The mean up"
    " to a horizon counts a run that missed as the horizon, the same for a whole task. Expected"
    " running time is all steps of all runs over the runs that arrived: what arriving costs with"
    " restarts. Runs arrive at evaluations, so times are rounded up to these. Epochs are steps over"
    " the whole batches of the training samples, seconds steps × the mean step time, slow steps"
    " included, of timing runs of the very setting on the same machine."
)


def section(writer: Writer) -> Section:
    """Steps, epochs and seconds until the target of each task."""
    found = Section("target", "Time to target")
    attempts = tables.attempts(writer.frames, writer.suite)
    if attempts.empty:
        return found
    warning = seeds_warning(int(attempts.groupby(arrivals.KEYS).size().min()))
    found.warnings += [warning] if warning else []
    if attempts["other_machine"].any():
        found.warnings.append(
            "Some steps were timed on another machine than the runs were trained on: no seconds"
            " there."
        )
    curves = arrivals.curves(attempts)
    for task, rows in attempts.groupby("task", sort=False):
        if said := timed_instead(writer, str(task)):
            found.warnings.append(f"{task}: no seconds of settings that were not timed: {said}.")
        found.parts += [
            _marks(writer, str(task), rows),
            _curves(writer, str(task), curves[curves["task"] == task]),
        ]
    return Section(
        found.name,
        found.title,
        [*found.parts, MEANING, _table(writer, arrivals.table(attempts))],
        found.warnings,
    )


def _marks(writer: Writer, task: str, rows: pd.DataFrame) -> Figure:
    spec = writer.frames.records[rows["digest"].iloc[0]].spec.task
    what = (
        "Dot plots of steps, and of seconds where timed, to the target; open triangles are censored"
        " runs."
    )
    return writer.figure(
        f"{task}-target",
        partial(figures.targets, rows, writer.setups),
        f"{task}: time to target",
        figures.describe(what, rows["setup"], rows["series"]),
        rows,
        joined(
            f"{task}: steps and seconds until {goal(spec)}, one mark a run.",
            "Seconds are steps × the mean step time." if rows["seconds"].notna().any() else "",
            "A short bar is the median.",
            _missed_note(int((~rows["reached"]).sum())),
            rate_note(writer.trained, task),
        ),
        small=rows["setup"].nunique() == 1 and bool(rows["seconds"].isna().all()),
    )


def _curves(writer: Writer, task: str, curves: pd.DataFrame) -> Figure:
    crosses = (
        "A + at the end of a curve marks runs that missed the target in their budget. "
        if curves["missed"].any()
        else ""
    )
    return writer.figure(
        f"{task}-arrivals",
        partial(drawing, curves, writer.series),
        f"{task}: share of runs that have not reached the target",
        figures.describe(
            "Kaplan-Meier curves of the runs that have not reached the target.",
            curves["setup"],
            curves["series"],
        ),
        curves,
        f"{task}: share of runs that have not yet reached the target (Kaplan and Meier's estimate):"
        f" the sooner it falls, the better. {crosses}Bands, where a panel has no more than two"
        " lines: 95% beta product limits.",
        small=curves["setup"].nunique() == 1,
    )


def drawing(curves: pd.DataFrame, styles: Looks) -> Any:
    """Columns: setups. Rows: series, some to a panel."""
    place = {name: str(row) for row, names in enumerate(groups(curves["series"])) for name in names}
    points = curves.assign(
        panel_row=curves["series"].map(place),
        panel_column=curves["setup"],
        hue=curves["series"],
        x=curves["steps"],
        y=curves["remaining"],
    ).sort_values("panel_row", kind="stable")

    def censored(axis: Axes, row: str, column: str) -> None:
        here = points[
            (points["panel_row"] == row)
            & (points["panel_column"] == column)
            & (points["missed"] > 0)
        ]
        for point in here.groupby("hue", sort=False).tail(1).itertuples():
            axis.plot(
                [point.x],
                [point.y],
                "+",
                color=styles[str(point.hue)].color,
                markersize=8,
                mew=1.4,
                clip_on=False,
            )

    return draw_lines.draw(
        Lines(
            points,
            styles,
            Axis("steps"),
            Axis("not yet at the target", percent=True, limits=(0, 1.02)),
            steps=True,
            bands=2,
            decorate=censored,
        )
    )


def _table(writer: Writer, table: pd.DataFrame) -> Table:
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column("Reached"),
        *(
            Column(f"Median {name}", "number", "below, its 95% limits")
            for name in ("steps", "epochs", "seconds")
        ),
        Column("Mean steps up to the horizon", "number", "below, its 95% limits"),
        Column("Horizon", "number"),
        Column("Expected running time", "number", "in steps, with restarts"),
    ]
    cells = [
        [
            Cell(row["task"]),
            Cell(row["setup"]),
            Cell(row["series"]),
            Cell(
                f"{row['reached']} of {row['runs']}",
                row["reached"] / row["runs"],
                f"{row['diverged']} diverged" if row["diverged"] else "",
            ),
            *(_median(row, name) for name in ("steps", "epochs", "seconds")),
            between(row, "restricted_mean"),
            number(row["horizon"], "{:g}".format),
            number(row["expected_running_time"]),
        ]
        for row in table.to_dict("records")
    ]
    return writer.table(
        "arrivals", "Time to target, runs that missed it censored", columns, cells, table
    )


def _median(row: dict[Any, Any], name: str) -> Cell:
    form = "{:g}".format if name == "steps" else text.significant
    cell = between(row, name, form=lambda value: _or_never(value, form))
    return Cell("not reached", cell.sort, cell.note) if row[name] == float("inf") else cell


def _or_never(value: float, form: Any) -> str:
    return "∞" if value == float("inf") else form(value)


def _missed_note(missed: int) -> str:
    if not missed:
        return ""
    return (
        f"Open triangles, of {text.plural(missed, 'run')} that missed the target, stand at the"
        " budget: how much longer the run would have needed is not known."
    )
