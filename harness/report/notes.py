"""Sentences that several sections say, and how many lines a panel can hold."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ..spec import TaskSpec
from . import text
from .draw.looks import METRIC_TITLES


def rate_note(trained: pd.DataFrame, task: str) -> str:
    """Says that learning rates were picked with hindsight; empty if the task was trained at one
    rate only."""
    rows = trained[trained["task"] == task]
    swept = (rows.groupby(["setup", "series"])["learning_rate"].nunique() > 1).any()
    if not swept:
        return ""
    return (
        "If several learning rates were run, the one with the most runs that ended ok is drawn, and"
        " among those the one with the lowest mean final validation loss: it was picked with"
        " hindsight."
    )


def agreed(merged: pd.DataFrame, task: str) -> str:
    """Says which frameworks of a task are drawn as one, and how far apart they are at most."""
    said = []
    for row in merged[merged["task"] == task].drop_duplicates("panel").itertuples():
        apart = f"differ by at most {100 * row.worst:.2g}%" if row.worst else "are equal"
        one = f"{row.panel} are one panel, each seed its mean over them."
        said.append(f"Frameworks {apart} (mean validation loss): {one}")
    return joined(*said)


def bands_of(shown: pd.DataFrame, most: int) -> str | None:
    """In which panels (facet, setup) there are bands if they are left out with more lines (hue)
    than `most`: "" in all, else a phrase between commas; None in no panel."""
    lines = shown.groupby(["facet", "setup"])["hue"].nunique()
    if not (lines <= most).any():
        return None
    return "" if (lines <= most).all() else f", in panels of at most {text.plural(most, 'line')},"


def hindsight(rows: pd.DataFrame, trained: pd.DataFrame) -> str:
    """Says that each setting has the best of several learning rates; empty if one was run."""
    of_tasks = trained[trained["task"].isin(set(rows["task"]))]
    if of_tasks.groupby(["task", "optimizer"])["learning_rate"].nunique().max() == 1:
        return ""
    return (
        "Each setting has its own best learning rate of those run, or its best draw of a search"
        " (most runs ended ok, then the lowest mean validation loss), chosen with hindsight."
    )


def timed_instead(summary: pd.DataFrame, task: str) -> str:
    """'jax (scan, canonical): only jit, native': the trained settings that were not timed, with
    those that were; else empty."""
    rows = summary[(summary["task"] == task) & (summary["timed_instead"] != "")]
    return "; ".join(
        dict.fromkeys(
            f"{row['framework']} ({row['mode']}, {row['rule']}): {row['timed_instead']}"
            for row in rows.to_dict("records")
        )
    )


def goal(task: TaskSpec) -> str:
    """What counts as reached: 'validation accuracy is 0.97'."""
    if task.metric == "negative_loss":
        return f"validation loss is {-task.target:g}"
    return f"{METRIC_TITLES[task.metric]} is {task.target:g}"


def final(metric: str) -> str:
    """What a run is scored by: 'final validation accuracy', or 'final validation loss'."""
    return f"final {METRIC_TITLES.get(metric, 'validation loss')}"


def joined(*sentences: str) -> str:
    """Those sentences that say something."""
    return " ".join(filter(None, sentences))


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names without repetition, and how many more there are if the list grows long."""
    found = list(dict.fromkeys(names))
    left = len(found) - most
    return ", ".join(found[:most]) + (f" and {left} more" if left > 0 else "")


def seeds_text(counts: pd.Series) -> str:
    """'5 runs', '3 to 5 runs'."""
    fewest, most = int(counts.min()), int(counts.max())
    return text.plural(most, "run") if fewest == most else f"{fewest} to {text.plural(most, 'run')}"


def described(picture: str, panels: Iterable[str], lines: Iterable[str]) -> str:
    """The sentences for those who cannot see a figure."""
    panels, lines = ", ".join(dict.fromkeys(panels)), ", ".join(dict.fromkeys(lines))
    return f"{picture}{f' Panels: {panels}.' if panels else ''} Series: {lines}."
