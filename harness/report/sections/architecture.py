"""Hidden sizes and depth: how runs end against the number of weights."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...layers import build
from ...results.frame import Frames
from ...statistics.comparisons import seeds_warning
from .. import figures, text
from ..cells import plain
from ..content import Cell, Column, Section
from ..figures import Looks
from . import draw_lines
from .draw_lines import Axis, Lines
from .shared import averaged, joined, number, seeds_text, setting_looks
from .variations import hindsight, settings, summary

if TYPE_CHECKING:
    from ..page import Writer


def section(writer: Writer) -> Section:
    """Of what was run with several entries of `hidden`."""
    found = Section("architecture", "Hidden size and depth")
    rows = settings(writer.frames, writer.suite, "hidden")
    if rows.empty:
        return found
    table = sizes(writer.frames, rows)
    warning = seeds_warning(int(table["runs"].min()))
    found.warnings += [warning] if warning else []
    styles, note = (
        setting_looks(table["series"] + table["depth_text"]),
        hindsight(rows, writer.trained),
    )
    for task, of_task in table.groupby("task", sort=False):
        metric = writer.metrics[str(task)]
        label = (
            "final validation loss"
            if metric == "negative_loss"
            else f"final {figures.METRIC_TITLES[metric]}"
        )
        found.parts.append(
            writer.figure(
                f"{task}-architecture",
                partial(drawing, of_task, styles, metric, label),
                f"{task}: hidden size and depth",
                figures.describe(
                    f"{label.capitalize()} by number of weights.",
                    of_task["setup"],
                    of_task["series"],
                ),
                of_task,
                joined(
                    f"{task}: {label} against the number of weights, one line for each depth"
                    " (hidden layers that vary). Mean over the runs that ended ok; band: their"
                    f" range, not an interval; {seeds_text(of_task['runs'])} a setting.",
                    (
                        "Settings with runs that did not end ok are hollow; those runs are missing"
                        " from the mean."
                        if (of_task["ok"] < of_task["runs"]).any()
                        else ""
                    ),
                    note,
                ),
            )
        )
    found.parts.append(_table(writer, table))
    return found


def sizes(frames: Frames, rows: pd.DataFrame) -> pd.DataFrame:
    """`variations.summary` by hidden, with weights (trainable parameters of the model) and depth
    (sizes named by the entry; NaN where one size is for all layers), by growing number of
    weights."""
    table = summary(rows, ["hidden"])
    specs = [frames.records[digests.split()[0]].spec.task for digests in table["digests"]]
    counts = [
        sum(
            int(np.prod(p.shape))
            for layer in build(spec.model, spec.input_shape)
            for p in layer.parameters
        )
        for spec in specs
    ]
    depths = [len(hidden.split("-")) for hidden in table["hidden"]]
    words = [f" · {text.plural(depth, 'size')}" if len(set(depths)) > 1 else "" for depth in depths]
    table = table.assign(
        weights=counts, depth=depths, depth_text=pd.Series(words, table.index, dtype="str")
    )
    return table.sort_values("weights", kind="stable").reset_index(drop=True)


def drawing(table: pd.DataFrame, styles: Looks, metric: str, label: str) -> Any:
    """Columns: setups."""
    quantity = "final_validation_loss" if metric == "negative_loss" else "metric"
    points = table.assign(
        panel_row="",
        panel_column=table["setup"],
        hue=table["series"] + table["depth_text"],
        x=table["weights"].astype("float64"),
        **{
            to: table[f"{quantity}_{of}"]
            for to, of in (("y", "mean"), ("low", "min"), ("high", "max"))
        },
    )

    def lost(axis: Any, row: str, column: str) -> None:
        here = points[(points["panel_column"] == column) & (points["ok"] < points["runs"])]
        for point in here.itertuples():
            look = styles[str(point.hue)]
            axis.plot(
                [point.x],
                [point.y],
                look.marker,
                color=look.color,
                markerfacecolor="none",
                markersize=8,
            )

    y = Axis(label, percent=metric == "accuracy")
    return draw_lines.draw(
        Lines(points, styles, Axis("weights", log=True), y, marked=True, decorate=lost)
    )


def _table(writer: Writer, table: pd.DataFrame) -> Any:
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column("Hidden"),
        Column("Weights", "number"),
        Column("Learning rate", "number"),
        Column("Training loss", "number", "below, the range"),
        Column("Validation loss", "number", "final; below, the range"),
        Column("Validation metric", "number"),
        Column("Ended ok"),
    ]
    cells = [
        [
            Cell(row["task"]),
            Cell(row["setup"]),
            Cell(row["series"]),
            Cell(row["hidden"], row["weights"]),
            number(row["weights"], "{:,.0f}".format),
            plain(row, "learning_rate"),
            *(
                averaged(row, quantity)
                for quantity in ("train_loss", "final_validation_loss", "metric")
            ),
            Cell(f"{row['ok']} of {row['runs']}", row["ok"] / row["runs"], runs=row["digests"]),
        ]
        for row in table.to_dict("records")
    ]
    return writer.table(
        "hidden-sizes", "Hidden sizes", columns, cells, table.drop(columns="depth_text")
    )
