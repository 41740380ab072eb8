"""Random search: every draw's score against its learning rate, and what the best of k draws is to
be expected.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from ...data import chance
from ...results.frame import Frames
from ...statistics.tuning import expected_best_curve
from .. import figures, tables, text
from ..content import Cell, Column, Section
from ..figures import Looks
from . import draw_lines
from .draw_lines import Axis, Lines
from .shared import between, groups, number

if TYPE_CHECKING:
    from ..page import Writer

KEYS = ["task", "setup", "series"]


def section(writer: Writer) -> Section:
    """Of runs that are draws of a search."""
    found = Section("random-search", "Random search")
    draws = scores(writer.frames, writer.suite)
    if draws.empty:
        return found
    curves = expected(draws, writer.metrics)
    names = figures.looks(draws["series"])
    for task, rows in draws.groupby("task", sort=False):
        kind = writer.metrics[str(task)]
        label = (
            "final validation loss"
            if kind == "negative_loss"
            else f"final {figures.METRIC_TITLES[kind]}"
        )
        of_task = curves[curves["task"] == task]
        lost = int((rows["ok"] < rows["runs"]).sum())
        seeds = text.plural(int(rows["runs"].max()), "seed")
        found.parts += [
            writer.figure(
                f"{task}-draws",
                partial(scatter, rows, label, kind == "accuracy"),
                f"{task}: draws",
                figures.describe(
                    "Score against learning rate.", rows["series"], map(str, rows["batch_size"])
                ),
                rows,
                f"{task}: {label} against learning rate, one mark a draw of settings, the mean of"
                f" its {seeds}; colours are batch sizes. Crosses at the bottom edge:"
                f" {text.plural(lost, 'draw')} of which a run did not end ok; such a run counts as"
                " chance, or with the worst score of the task if that is worse. No interval.",
            ),
            writer.figure(
                f"{task}-best-of-draws",
                partial(drawing, of_task, names, label, kind == "accuracy"),
                f"{task}: best of k draws",
                figures.describe(
                    "Expected best score after k draws.", of_task["setup"], of_task["series"]
                ),
                of_task,
                f"{task}: the best {label} to expect after k draws, averaged over all choices of k"
                " of the draws that were run. Bands: 95% bootstrap intervals over draws, to be"
                " trusted left of the dashed line (a quarter of the draws); beyond it they are too"
                " narrow. The score is the validation score that the search saw: the best of many"
                " is too good.",
            ),
        ]
    found.parts.append(_table(writer, draws, curves))
    return found


def scores(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a draw: task, setup, series (without the batch size), draw, learning_rate,
    batch_size, runs, ok, score (the mean over seeds of the final validation metric, or of the final
    validation loss where the metric is that), digests.

    A run that did not end ok counts as chance, or as the worst score of its task if that is worse
    (chance.floor)."""
    rows = tables.runs(
        frames, suite, "convergence", without=("batch_size", "hyper", "learning_rate")
    )
    varied = [frames.records[digest].spec.variations.get("draw") for digest in rows["digest"]]
    rows = rows.assign(draw=pd.Series(varied, rows.index, dtype="object"))
    rows = rows[rows["draw"].notna() & rows["status"].isin(tables.ATTEMPTED)]
    if rows.empty:
        return rows
    lossy = rows["task"].map(tables.metrics(frames, suite)) == "negative_loss"
    ended = rows["status"] == "ok"
    metric = (
        rows["final_validation_metric"].where(~lossy, -rows["final_validation_loss"]).where(ended)
    )
    worst = {task: _floor(frames, of, metric) for task, of in rows.groupby("task")}
    score = metric.fillna(rows["task"].map(worst))
    rows = rows.assign(score=score.where(~lossy, -score), ok=ended)
    grouped = rows.dropna(subset=["score"]).groupby(
        [*KEYS, "draw", "learning_rate", "batch_size"], sort=False
    )
    return grouped.agg(
        runs=("ok", "size"), ok=("ok", "sum"), score=("score", "mean"), digests=("digest", " ".join)
    ).reset_index()


def _floor(frames: Frames, rows: pd.DataFrame, metric: pd.Series) -> float | None:
    """What a run of this task counts for that did not end ok, more being better."""
    found = chance.of(frames.records[rows["digest"].iloc[0]].spec.task)
    return chance.floor(found.metric, metric[rows.index].dropna(), True)


def expected(draws: pd.DataFrame, metrics: dict[str, Any]) -> pd.DataFrame:
    """The expected best after each number of draws: task, setup, series, draws, expected, low,
    high, reliable_up_to.
    """
    found = []
    for key, group in draws.groupby(KEYS, sort=False):
        curve = expected_best_curve(group["score"].to_numpy(), metrics[key[0]] != "negative_loss")
        found.append(
            pd.DataFrame(
                {
                    **dict(zip(KEYS, key, strict=True)),
                    "draws": curve.trials,
                    "expected": curve.expected,
                    "low": curve.low,
                    "high": curve.high,
                    "reliable_up_to": curve.reliable_up_to,
                }
            )
        )
    return pd.concat(found, ignore_index=True)


def scatter(draws: pd.DataFrame, label: str, percent: bool) -> Drawing:
    """A panel for each series of each setup, a colour for each batch size."""
    panels = list(dict.fromkeys(zip(draws["setup"], draws["series"], strict=True)))
    styles = figures.looks(f"batch {size}" for size in sorted(set(draws["batch_size"])))
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    figure = Drawing(figsize=(max(4.3 * across, 5.2), 2.6 * down + 0.5), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for index, axis in enumerate(axes.flat):
        axis.set_visible(index < len(panels))
        if index >= len(panels):
            continue
        here = draws[(draws["setup"] == panels[index][0]) & (draws["series"] == panels[index][1])]
        for size, of_size in here.groupby("batch_size"):
            look = styles[f"batch {size}"]
            whole = of_size[of_size["ok"] == of_size["runs"]]
            lost = of_size[of_size["ok"] < of_size["runs"]]
            axis.plot(
                whole["learning_rate"],
                whole["score"],
                look.marker,
                color=look.color,
                markersize=4.5,
                mew=0,
                alpha=0.85,
            )
            axis.plot(
                lost["learning_rate"],
                [0.03] * len(lost),
                "x",
                color=look.color,
                transform=axis.get_xaxis_transform(),
                markersize=4.5,
            )
        axis.set_title(" · ".join(panels[index]))
        draw_lines.scale(axis, "x", Axis("learning rate", log=True), draws["learning_rate"])
    for axis in axes[:, 0]:
        draw_lines.scale(axis, "y", Axis(label, percent=percent), draws["score"])
    handles = [
        Line2D([], [], color=s.color, marker=s.marker, linestyle="none", markersize=5, label=n)
        for n, s in styles.items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=8, borderaxespad=0.2)
    return figure


def drawing(curves: pd.DataFrame, styles: Looks, label: str, percent: bool) -> Any:
    """Columns: setups. Rows: series, some to a panel."""
    place = {name: str(row) for row, names in enumerate(groups(curves["series"])) for name in names}
    points = curves.assign(
        panel_row=curves["series"].map(place),
        panel_column=curves["setup"],
        hue=curves["series"],
        x=curves["draws"],
        y=curves["expected"],
    )
    end = float(curves["reliable_up_to"].min())

    def trusted(axis: Any, row: str, column: str) -> None:
        draw_lines.level(axis, end, vertical=True)

    y = Axis(f"best {label}", percent=percent)
    return draw_lines.draw(Lines(points, styles, Axis("draws", log=True), y, decorate=trusted))


def _table(writer: Writer, draws: pd.DataFrame, curves: pd.DataFrame) -> Any:
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Search"),
        Column("Draws", "number"),
        Column("k", "number", "a quarter of them"),
        Column("Best of k draws", "number", "expected; below, its 95% interval"),
        Column("Best seen", "number"),
        Column("Its learning rate", "number"),
        Column("Its batch size", "number"),
        Column("Runs"),
    ]
    cells = []
    for key, group in draws.groupby(KEYS, sort=False):
        metric = writer.metrics[key[0]]
        best = group.loc[
            group["score"].idxmin() if metric == "negative_loss" else group["score"].idxmax()
        ]
        curve = curves[(curves[KEYS] == list(key)).all(axis=1)]
        at = curve[curve["draws"] == curve["reliable_up_to"]].iloc[0]
        limits = {"k": at["expected"], "k_low": at["low"], "k_high": at["high"]}
        form = text.percent if metric == "accuracy" else text.significant
        cells.append(
            [
                *map(Cell, key),
                number(len(group), "{:g}".format),
                number(at["draws"], "{:g}".format),
                between(limits, "k", form),
                number(best["score"], form),
                number(best["learning_rate"]),
                number(best["batch_size"], "{:g}".format),
                Cell("show", runs=best["digests"]),
            ]
        )
    return writer.table("draws", "Random search: best of k draws", columns, cells, draws)
