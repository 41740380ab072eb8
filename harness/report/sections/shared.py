"""What several sections need: notes under figures, cells of tables, and how series are spread over
panels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...results.frame import Frames
from ...spec import TaskSpec
from .. import figures, text
from ..content import Cell

if TYPE_CHECKING:
    from ..page import Writer

# Lines that can still be told apart in one panel.
LINES = 8


def rate_note(trained: pd.DataFrame, task: str) -> str:
    """Says that learning rates were picked with hindsight; empty where the task was trained at one
    rate only.
    """
    rows = trained[trained["task"] == task]
    swept = (rows.groupby(["setup", "series"])["learning_rate"].nunique() > 1).any()
    if not swept:
        return ""
    return (
        "Where several learning rates were run, the one drawn has the most runs ended ok and then"
        " the lowest mean final validation loss: it was picked with hindsight."
    )


def timed_instead(writer: Writer, task: str) -> str:
    """'jax (scan, canonical): only jit, native': of trained settings that were not timed, what was;
    else empty.
    """
    rows = writer.summary[
        (writer.summary["task"] == task) & (writer.summary["timed_instead"] != "")
    ]
    said = (
        rows["framework"]
        + " ("
        + rows["mode"]
        + ", "
        + rows["rule"]
        + "): "
        + rows["timed_instead"]
    )
    return "; ".join(dict.fromkeys(said))


def goal(task: TaskSpec) -> str:
    """What counts as reached: 'validation accuracy is 0.97'."""
    if task.metric == "negative_loss":
        return f"validation loss is {-task.target:g}"
    return f"{figures.METRIC_TITLES[task.metric]} is {task.target:g}"


def number(
    value: float, form: Callable[[float], str] = text.significant, note: str = "", flag: str = ""
) -> Cell:
    """A number; a dash where it is NaN, and an infinite one sorts last."""
    if math.isnan(value):
        return Cell(text.MISSING, note=note)
    return Cell(form(value), max(-1e300, min(float(value), 1e300)), note, flag=flag)


def between(
    row: Mapping[Any, Any], name: str, form: Callable[[float], str] = text.significant
) -> Cell:
    """The number `name` of a row with its limits below: the columns of that name with _low and
    _high.
    """
    value, low, high = row[name], *(row[f"{name}{limit}"] for limit in ("_low", "_high"))
    return number(value, form, "" if math.isnan(value) else f"{form(low)}–{form(high)}")


def averaged(
    row: Mapping[Any, Any], name: str, form: Callable[[float], str] = text.significant
) -> Cell:
    """The mean of a quantity over runs, with their range below."""
    value, low, high = (row[f"{name}_{ending}"] for ending in ("mean", "min", "max"))
    return number(value, form, "" if math.isnan(value) else f"{form(low)}–{form(high)}")


def joined(*sentences: str) -> str:
    """Those sentences that say something."""
    return " ".join(filter(None, sentences))


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names without repetition; how many more there are where the list grows long."""
    found = list(dict.fromkeys(names))
    left = len(found) - most
    return ", ".join(found[:most]) + (f" and {left} more" if left > 0 else "")


def groups(names: Iterable[str], size: int = LINES) -> list[list[str]]:
    """The distinct names in order, in groups of about the same size that one panel can hold."""
    found = list(dict.fromkeys(names))
    count = -(-len(found) // size)
    each = -(-len(found) // count) if count else 1
    return [found[i : i + each] for i in range(0, len(found), each)]


def seeds_text(counts: pd.Series) -> str:
    """'5 runs', '3 to 5 runs'."""
    fewest, most = int(counts.min()), int(counts.max())
    return text.plural(most, "run") if fewest == most else f"{fewest} to {text.plural(most, 'run')}"


# What makes runs of one task differ in more than their optimizer; each has a section of its own.
TASK_VARIATIONS = frozenset(
    (
        "activation",
        "initializer",
        "hidden",
        "normalization",
        "regularization",
        "batch_size",
        "train_fraction",
        "draw",
    )
)


def compares_optimizers(writer: Writer) -> bool:
    """Whether the suite's contenders are optimizers, schedules and rules on unvaried tasks, so that
    they form a pool.
    """
    return not any(
        TASK_VARIATIONS & set(writer.frames.records[digest].spec.variations)
        for digest in writer.trained["digest"]
    )


def is_random_search(runs: pd.DataFrame, frames: Frames) -> bool:
    """Whether runs are draws of a search, each with settings of its own."""
    return any("draw" in frames.records[digest].spec.variations for digest in runs["digest"])


def setting_looks(names: Iterable[str]) -> figures.Looks:
    """Looks of series that are named without what a section puts on an axis, and so have none of
    the suite's own.
    """
    return figures.looks(names)
