"""Regularisation: training against validation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from ...statistics import aggregates
from ...statistics.bootstrap import bootstrap_interval
from ...statistics.comparisons import seeds_warning
from .. import figures, text
from ..cells import plain
from ..content import Cell, Column, Section
from ..figures import Looks
from ..svg import INK
from . import draw_lines
from .shared import averaged, between, joined, setting_looks
from .variations import KEYS, hindsight, settings, summary

if TYPE_CHECKING:
    from ..page import Writer

MEANING = (
    "Training loss is the mean over the batches since the last evaluation but one; it holds the"
    " penalty and is taken with dropout active, while evaluations have neither: under a penalty or"
    " dropout it is larger than the bare loss on the training samples would be, and the gap"
    " smaller. A gap above 0 says that validation is worse than training. Compare settings by their"
    " validation figures, and read the gap as to why."
)


def section(writer: Writer) -> Section:
    """Of what was run with several entries of `regularization` or `normalization`."""
    found = Section("regularization", "Regularisation: training against validation")
    for name in ("regularization", "normalization"):
        rows = settings(writer.frames, writer.suite, name)
        if len(rows):
            _parts(writer, found, name, rows)
    return found


def _parts(writer: Writer, found: Section, name: str, rows: pd.DataFrame) -> None:
    table = summary(rows, [name])
    table = table.merge(_gaps(rows, name), how="left", on=[*KEYS, name])
    warning = seeds_warning(int(table["runs"].min()))
    found.warnings += [warning] if warning and warning not in found.warnings else []
    styles = setting_looks(table[name])
    note = hindsight(rows, writer.trained)
    for task, of_task in table.groupby("task", sort=False):
        found.parts.append(
            writer.figure(
                f"{task}-{name}",
                partial(drawing, of_task, name, styles),
                f"{task}: {name}",
                figures.describe(
                    "Final validation loss against training loss.", of_task["series"], of_task[name]
                ),
                of_task,
                joined(
                    f"{task}: final validation loss against training loss, a mark for each setting:"
                    " the mean over the runs that ended ok; bars: their range, not an interval. On"
                    " the grey line both are equal; above it validation is worse.",
                    _lost(of_task),
                    note,
                ),
            )
        )
    found.parts += [MEANING, _table(writer, name, table)]


def _gaps(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The 95% interval of the mean gap over seeds, of runs that ended ok."""
    found = []
    for key, group in rows.dropna(subset=["gap"]).groupby([*KEYS, name], sort=False):
        interval = bootstrap_interval([group["gap"].to_numpy()], aggregates.mean)
        found.append((*key, interval.low, interval.high))
    return pd.DataFrame(found, columns=[*KEYS, name, "gap_low", "gap_high"])


def drawing(table: pd.DataFrame, name: str, styles: Looks) -> Drawing:
    """A panel for each setup and series."""
    panels = list(dict.fromkeys(zip(table["setup"], table["series"], strict=True)))
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    figure = Drawing(
        figsize=(max(across * min(4.2, 12.8 / across), 4.6), 2.7 * down + 0.5), layout="constrained"
    )
    axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    values = table[["train_loss_mean", "final_validation_loss_mean"]].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)]
    for number_, axis in enumerate(axes.flat):
        axis.set_visible(number_ < len(panels))
        if number_ >= len(panels):
            continue
        setup, series = panels[number_]
        for row in table[(table["setup"] == setup) & (table["series"] == series)].to_dict(
            "records"
        ):
            _mark(axis, row, styles[row[name]])
        axis.set_title(f"{setup} · {series}")
    if values.size and values.min() > 0:
        draw_lines.logarithmic(axes[0, 0], "x", pd.Series(values))
        draw_lines.logarithmic(axes[0, 0], "y", pd.Series(values))
    for axis in axes.flat:
        axis.axline((1, 1), (2, 2), color=INK, linewidth=0.7, alpha=0.4)
    for axis in axes[-1]:
        axis.set_xlabel("training loss")
    for axis in axes[:, 0]:
        axis.set_ylabel("validation loss")
    figures._legend(figure, styles, table[name], "marker")
    return figure


def _mark(axis: Any, row: dict[Any, Any], look: figures.Look) -> None:
    x, y = row["train_loss_mean"], row["final_validation_loss_mean"]
    axis.hlines(
        y, row["train_loss_min"], row["train_loss_max"], color=look.color, linewidth=1.2, alpha=0.6
    )
    axis.vlines(
        x,
        row["final_validation_loss_min"],
        row["final_validation_loss_max"],
        color=look.color,
        linewidth=1.2,
        alpha=0.6,
    )
    axis.plot([x], [y], look.marker, color=look.color, markersize=5.5)


def _lost(table: pd.DataFrame) -> str:
    lost = int((table["runs"] - table["ok"]).sum())
    return (
        f"{text.plural(lost, 'run')} did not end ok and have no place in the picture; the table"
        " counts them."
        if lost
        else ""
    )


def _table(writer: Writer, name: str, table: pd.DataFrame) -> Any:
    metric = {writer.metrics[task] for task in table["task"]}
    form = text.percent if metric == {"accuracy"} else text.significant
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column(name.capitalize()),
        Column("Learning rate", "number"),
        Column("Training loss", "number"),
        Column("Validation loss", "number", "final; below, the range"),
        Column("Gap", "number", "validation - training; below, its 95% interval over seeds"),
        Column("Validation metric", "number", "final; below, the range"),
        Column("Ended ok"),
    ]
    cells = [
        [
            Cell(row["task"]),
            Cell(row["setup"]),
            Cell(row["series"]),
            Cell(row[name]),
            plain(row, "learning_rate"),
            *(averaged(row, quantity) for quantity in ("train_loss", "final_validation_loss")),
            between({**row, "gap": row["gap_mean"]}, "gap"),
            averaged(row, "metric", form),
            Cell(f"{row['ok']} of {row['runs']}", row["ok"] / row["runs"], runs=row["digests"]),
        ]
        for row in table.to_dict("records")
    ]
    return writer.table(
        f"{name}-gaps", f"{name.capitalize()}: training and validation", columns, cells, table
    )
