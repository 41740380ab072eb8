"""Random search: each draw's score against its learning rate, and the best to expect of k."""

from __future__ import annotations

from functools import partial

import pandas as pd

from .. import cells, text
from ..builder import Builder
from ..columns import SETUP, TASK, Field, field, number, whole, word
from ..content import Figure, Row, Section, TableCell
from ..draw.lazy import Lazy
from ..draw.looks import Looks, looks
from ..notes import described, final
from ..tables.grouping import SERIES, groups
from ..tables.random_search import expected, scores

PLACE = 160
drawn = Lazy("draws")
# The columns of an estimate with its limits.
_LIMITS = {"": "expected", "_low": "low", "_high": "high"}


def _scored(label: str, name: str, help: str = "") -> Field:
    def cell(row: Row) -> TableCell:
        form = text.percent if row["metric"] == "accuracy" else text.significant
        return cells.limited(row, name, form) if help else cells.number(row[name], form)

    return field(label, cell, help=help)


COLUMNS = [
    TASK,
    SETUP,
    word("Search", "series"),
    whole("Draws", "draws"),
    whole("k", "k", "a quarter of them"),
    _scored("Best of k draws", "expected", "expected; below, its 95% interval"),
    _scored("Best seen", "score"),
    number("Its learning rate", "learning_rate"),
    whole("Its batch size", "batch_size"),
    field("Runs", lambda row: TableCell("show", runs=row["digests"]), ""),
]


def section(builder: Builder) -> Section:
    """Of runs that are draws of a search."""
    found = Section("random-search", "Random search")
    draws = scores(builder.frames, builder.suite)
    if draws.empty:
        return found
    curves = expected(draws, builder.metrics)
    styles = looks(draws["series"])
    for task, rows in draws.groupby("task", sort=False):
        found.add(_scores(builder, str(task), rows))
        found.add(_expected(builder, str(task), curves[curves["task"] == task], styles))
    rows = [_best(builder, draws, curves, key) for key, _ in groups(draws, SERIES)]
    found.add(builder.table("draws", "Random search: best of k draws", COLUMNS, rows, draws))
    return found


def _scores(builder: Builder, task: str, rows: pd.DataFrame) -> Figure:
    metric = builder.metrics[task]
    lost = text.plural(int((rows["ok"] < rows["runs"]).sum()), "draw")
    seeds = text.plural(int(rows["runs"].max()), "seed")
    sizes = map(str, rows["batch_size"])
    return builder.figure(
        f"{task}-draws",
        partial(drawn.draws, rows, final(metric), metric == "accuracy"),
        f"{task}: draws",
        described("Score against learning rate.", rows["series"], sizes),
        rows,
        f"{task}: {final(metric)} against learning rate, one mark a draw of settings, the mean of"
        f" its {seeds}; colours are batch sizes. Crosses at the bottom edge: {lost} of which a run"
        " did not end ok; such a run counts as chance, or with the worst score of the task if that"
        " is worse. No interval.",
    )


def _expected(builder: Builder, task: str, curves: pd.DataFrame, styles: Looks) -> Figure:
    metric = builder.metrics[task]
    shown = "Expected best score after k draws."
    return builder.figure(
        f"{task}-best-of-draws",
        partial(drawn.best_of_draws, curves, styles, final(metric), metric == "accuracy"),
        f"{task}: best of k draws",
        described(shown, curves["setup"], curves["series"]),
        curves,
        f"{task}: the best {final(metric)} to expect after k draws, averaged over all choices of k"
        " of the draws that were run. Bands: 95% bootstrap intervals over draws, to be trusted left"
        " of the dashed line (a quarter of the draws); beyond it they are too narrow. The score is"
        " the validation score that the search saw: the best of many is too good.",
    )


def _best(builder: Builder, draws: pd.DataFrame, curves: pd.DataFrame, key: Row) -> Row:
    """The best draw of a search, and the expected best of a quarter of its draws."""
    metric = builder.metrics[key["task"]]
    of, curve = (rows[(rows[SERIES] == list(key.values())).all(axis=1)] for rows in (draws, curves))
    best = of["score"].idxmin() if metric == "negative_loss" else of["score"].idxmax()
    at = curve[curve["draws"] == curve["reliable_up_to"]].iloc[0]
    limits = {f"expected{end}": at[name] for end, name in _LIMITS.items()}
    return {**of.loc[best], **limits, "metric": metric, "draws": len(of), "k": at["draws"]}
