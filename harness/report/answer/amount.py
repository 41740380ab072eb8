"""How much was run, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from .. import tables, text
from ..builder import Builder
from ..content import Reply
from . import words


def reply(builder: Builder) -> Reply:
    """Runs, seeds, how runs ended, machines."""
    if builder.runs.empty:
        return Reply("How much was run?", (f"Nothing yet: {_ended(builder)}.",))
    said = f"{'; '.join(_kinds(builder))}. {_ended(builder)}. Computed on {_machines(builder)}."
    return Reply("How much was run?", (said,), anchor=f"{builder.suite}-compared")


def _machines(builder: Builder) -> str:
    """Their names if there are several, else the kind of the one machine without its host."""
    if builder.several_machines:
        return words.listed(builder.machines.values())
    of = builder.frames.records[builder.runs["digest"].iloc[0]].machine
    return f"{of.processor}, {text.plural(of.logical_cores, 'core')}"


def _kinds(builder: Builder) -> Iterator[str]:
    """'72 runs trained (3 tasks, 4 optimizers, 3 frameworks, 2 seeds)', '72 timed'"""
    trained = builder.trained
    if len(trained):
        counts = (_count(trained, column, noun) for column, noun in _nouns(trained).items())
        yield f"{text.plural(len(trained), 'run')} trained ({', '.join(counts)})"
    timed = int((builder.runs["measure"] == "timing").sum())
    if timed:
        cells = text.plural(len(builder.times), "cell")
        yield f"{timed:,} {'launch' if timed == 1 else 'launches'} timed ({cells})"


def _nouns(trained: pd.DataFrame) -> dict[str, str]:
    alike = trained["series"].nunique() == trained["optimizer"].nunique()
    frameworks = trained["setup"].nunique() == trained["framework"].nunique()
    setup = "framework" if frameworks else "setup"
    return {
        "task": "task",
        "series": "optimizer" if alike else "setting",
        "setup": setup,
        "seed": "seed",
    }


def _count(trained: pd.DataFrame, column: str, noun: str) -> str:
    return text.plural(int(trained[column].nunique()), noun)


def _ended(builder: Builder) -> str:
    """'All ended ok', '3 diverged, 69 ok', with those that were not run yet."""
    counts = builder.runs["status"].value_counts()
    bad = [f"{counts[s]:,} {s}" for s in text.STATUSES[1:] if s in counts]
    left = tables.missing(builder.frames, builder.suite)
    said = f"{', '.join(bad)}, {int(counts.get('ok', 0)):,} ended ok" if bad else "All ended ok"
    told = [said] if len(counts) else []
    return "; ".join([*told, f"{left:,} not run yet"] if left else told)
