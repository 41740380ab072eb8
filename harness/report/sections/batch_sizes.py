"""Batch-size scaling: steps and samples to target against the batch size, the learning rate chosen
anew for each.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...results.frame import Frames
from ...spec import number_text
from ...statistics.arrivals import median_time
from ...statistics.comparisons import seeds_warning
from ...statistics.targets import expected_running_time
from .. import figures, tables, text
from ..content import Cell, Column, Section
from ..figures import Looks
from ..svg import INK
from . import draw_lines
from .draw_lines import Axis, Lines
from .shared import goal, is_random_search, joined, number, setting_looks

if TYPE_CHECKING:
    from ..page import Writer

KEYS = ["task", "setup", "series"]
CAPTION = (
    "Mark: median over the runs; bar: their range, not a confidence interval. An open triangle is a"
    " median run that missed the target, at its budget: censored, not dropped. Each size's learning"
    " rate is the one of those run at which the most runs arrived, and then at the least expected"
    " running time: chosen with hindsight. Grey: perfect scaling from the smallest size whose"
    " median run arrived, where twice the batch takes half the steps and as many samples. Every"
    " size had the same number of steps."
)


def section(writer: Writer) -> Section:
    """Of what was run at several batch sizes, other than as draws of a search."""
    found = Section("batch-sizes", "Batch size")
    if is_random_search(writer.trained, writer.frames):
        return found
    table = scaling(writer.frames, writer.suite)
    if table.empty:
        return found
    warning = seeds_warning(int(table["runs"].min()))
    found.warnings += [warning] if warning else []
    styles = setting_looks(table["series"])
    for task, rows in table.groupby("task", sort=False):
        spec = writer.frames.records[rows["digests"].iloc[0].split()[0]].spec.task
        found.parts.append(
            writer.figure(
                f"{task}-batch-sizes",
                partial(drawing, rows, styles),
                f"{task}: batch size",
                figures.describe(
                    "Steps and samples to target against batch size.", rows["setup"], rows["series"]
                ),
                rows,
                f"{task}: steps (above) and samples (below) until {goal(spec)}, against the batch"
                f" size. {CAPTION}",
            )
        )
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column("Batch", "number"),
        Column(
            "Learning rate",
            "number",
            "chosen with hindsight; at an edge of those run a better one may lie beyond",
        ),
        Column("Reached"),
        Column("Steps to target", "number", "median; below, the range"),
        Column("Samples to target", "number"),
        Column(
            "Of perfect scaling",
            "number",
            "steps that perfect scaling would take over those it took",
        ),
        Column("Rates", "number"),
    ]
    cells = [_cells(row) for row in table.to_dict("records")]
    found.parts.append(
        writer.table("scaling", "Steps to target by batch size", columns, cells, table)
    )
    return found


def scaling(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a task, setup, series (without the batch size) and batch size, of series with several
    sizes: learning_rate, rates (how many were run), edge (it is the least or greatest of several),
    runs, reached, steps (median, infinite where that run missed), steps_low, steps_high (range; a
    run that missed at its budget), budget, samples, efficiency (steps under perfect scaling from
    the smallest size that arrived, over steps), digests."""
    rows = tables.runs(frames, suite, "convergence", without=("batch_size",))
    rows = rows[rows["status"].isin(tables.ATTEMPTED)]
    several = rows.groupby(KEYS)["batch_size"].transform("nunique") > 1 if len(rows) else []
    found = (
        [
            {**dict(zip([*KEYS, "batch_size"], key, strict=True)), **_at_best_rate(group)}
            for key, group in rows[several].groupby([*KEYS, "batch_size"], sort=False)
        ]
        if len(rows)
        else []
    )
    if not found:
        return pd.DataFrame()
    table = pd.DataFrame(found).sort_values("batch_size", kind="stable")
    table["samples"] = table["steps"] * table["batch_size"]
    first = table[np.isfinite(table["steps"])].drop_duplicates(KEYS).set_index(KEYS)["samples"]
    perfect = table.merge(first.rename("perfect").reset_index(), how="left", on=KEYS)["perfect"]
    efficiency = perfect.to_numpy() / table["samples"].to_numpy()
    order = {
        key: number
        for number, key in enumerate(dict.fromkeys(zip(*(rows[k] for k in KEYS), strict=True)))
    }
    places = [order[key] for key in zip(*(table[k] for k in KEYS), strict=True)]
    table = table.assign(efficiency=efficiency, place=places).sort_values(["place", "batch_size"])
    return table.drop(columns="place").reset_index(drop=True)


def _at_best_rate(group: pd.DataFrame) -> dict[str, Any]:
    by_rate = {float(rate): _arrivals(runs) for rate, runs in group.groupby("learning_rate")}
    best = min(
        by_rate,
        key=lambda rate: (
            -by_rate[rate]["share"],
            by_rate[rate]["expected"],
            by_rate[rate]["loss"],
        ),
    )
    edge = len(by_rate) > 1 and best in (min(by_rate), max(by_rate))
    return {"learning_rate": best, "rates": len(by_rate), "edge": edge, **by_rate[best]}


def _arrivals(runs: pd.DataFrame) -> dict[str, Any]:
    reached, budget = runs["steps_to_target"].notna(), runs["steps"].astype("float64")
    steps = runs["steps_to_target"].where(reached, budget).clip(lower=1.0)
    loss = runs["final_validation_loss"].where(runs["status"] == "ok").mean()
    return {
        "runs": len(runs),
        "reached": int(reached.sum()),
        "share": float(reached.mean()),
        "expected": expected_running_time(steps.to_numpy(), reached.to_numpy()),
        "loss": float(np.nan_to_num(loss, nan=np.inf)),
        "steps": median_time(steps, reached),
        "steps_low": steps.min(),
        "steps_high": steps.max(),
        "budget": float(budget.max()),
        "digests": " ".join(runs["digest"]),
    }


def drawing(table: pd.DataFrame, styles: Looks) -> Any:
    """Rows: steps and samples. Columns: setups."""
    points = pd.concat([_points(table, "steps"), _points(table, "samples")], ignore_index=True)
    drawn = points.assign(y=points["y"].where(np.isfinite(points["y"])))

    def marks(axis: Axes, row: str, column: str) -> None:
        here = points[(points["panel_row"] == row) & (points["panel_column"] == column)]
        for point in here.itertuples():
            color = styles[str(point.hue)].color
            if np.isfinite(point.y):
                axis.plot(
                    [point.x, point.x],
                    [point.low, point.high],
                    color=color,
                    linewidth=2.4,
                    alpha=0.35,
                )
            else:
                axis.plot(
                    [point.x],
                    [point.budget],
                    "^",
                    color=color,
                    markerfacecolor="none",
                    markersize=6,
                )
        for _, line in here[np.isfinite(here["y"])].groupby("hue", sort=False):
            sizes, first = here["x"].unique(), line.iloc[0]
            perfect = (
                first.y * (first.x / sizes) if row == "steps" else np.full(len(sizes), first.y)
            )
            axis.plot(sizes, perfect, color=INK, linewidth=0.7, alpha=0.35, zorder=1)

    sizes = tuple(float(size) for size in sorted(set(table["batch_size"])))
    missed = ~np.isfinite(points["y"])
    values = pd.concat([points["low"], points["high"].where(~missed, points["budget"])], axis=1)
    return draw_lines.draw(
        Lines(
            drawn.drop(columns=["low", "high"]).assign(y=drawn["y"]),
            styles,
            Axis("batch size", log=True, ticks=sizes),
            Axis("", log=True),
            marked=True,
            decorate=marks,
            size=(4.6, 2.2),
            row_axes={
                name: Axis(
                    f"{name} to target",
                    log=True,
                    limits=_limits(values[points["panel_row"] == name]),
                )
                for name in ("steps", "samples")
            },
        )
    )


def _points(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    factor = table["batch_size"] if quantity == "samples" else 1
    return table.assign(
        panel_row=quantity,
        panel_column=table["setup"],
        hue=table["series"],
        x=table["batch_size"].astype("float64"),
        y=table["steps"] * factor,
        low=table["steps_low"] * factor,
        high=table["steps_high"] * factor,
        budget=table["budget"] * factor,
    )


def _limits(values: pd.DataFrame) -> tuple[float, float]:
    return float(values.min().min()) / 1.6, float(values.max().max()) * 1.6


def _cells(row: dict[Any, Any]) -> list[Cell]:
    missed = not np.isfinite(row["steps"])
    spread = text.spread(row["steps_low"], row["steps_high"], "{:g}".format)
    rate = joined(number_text(row["learning_rate"]), "(edge)" if row["edge"] else "")
    return [
        Cell(row["task"]),
        Cell(row["setup"]),
        Cell(row["series"]),
        number(row["batch_size"], "{:g}".format),
        Cell(rate, row["learning_rate"]),
        Cell(f"{row['reached']} of {row['runs']}", row["share"], runs=row["digests"]),
        (
            Cell(f"> {row['budget']:g}", 1e300, spread)
            if missed
            else number(row["steps"], "{:g}".format, spread)
        ),
        Cell(text.MISSING, 1e300) if missed else number(row["samples"], "{:,.0f}".format),
        number(float("nan") if missed else row["efficiency"], text.percent),
        number(row["rates"], "{:g}".format),
    ]
