"""What stands above the sections of a suite: how many runs ended how, and cautions."""

from __future__ import annotations

from collections.abc import Iterator

from ..statistics.comparisons import FEW_SEEDS
from ..statistics.intervals import FEWEST_LAUNCHES
from . import tables, text
from .builder import Builder


def chips(builder: Builder) -> list[tuple[str, str]]:
    """Kind and label: '12 ok', '1 diverged', '3 not run yet'."""
    counts = builder.runs["status"].value_counts()
    found = [(name, f"{counts[name]:,} {name}") for name in text.STATUSES if name in counts]
    left = tables.missing(builder.frames, builder.suite)
    return found + ([("missing", f"{left:,} not run yet")] if left else [])


def warnings(builder: Builder) -> list[str]:
    """Cautions that hold for the whole suite."""
    return [*_few_seeds(builder), *_several_machines(builder), *_few_launches(builder)]


def _few_seeds(builder: Builder) -> Iterator[str]:
    tried = builder.trained["status"].isin(tables.ATTEMPTED).any()
    seeds = builder.trained.groupby("task")["seed"].nunique().min() if tried else FEW_SEEDS
    if seeds < FEW_SEEDS:
        known = (
            "no spread is known"
            if seeds == 1
            else "differences within the min–max ranges are not evidence"
        )
        yield (
            f"Only {text.plural(int(seeds), 'seed')}: {known}. Five seeds or more are needed"
            " before an interval means anything."
        )


def _several_machines(builder: Builder) -> Iterator[str]:
    times = builder.times
    if not tables.timed_on_several(times):
        return
    again = times[times["launches"] > 0].groupby(["task", "series", "setting"])["machine"].nunique()
    cells = text.plural(int((again > 1).sum()), "cell")
    named = ", ".join(dict.fromkeys(builder.machines[name] for name in times["machine"]))
    yield (
        f"Timed on several machines ({named}), {cells} on more than one: each machine has rows of"
        " its own. Compare times of one machine only."
    )


def _few_launches(builder: Builder) -> Iterator[str]:
    times = builder.times
    cells = text.plural(len(times), "timed cell")
    few = int(times["launches"].between(1, FEWEST_LAUNCHES - 1).sum())
    if few:
        yield (
            f"{few} of {cells} had fewer than {FEWEST_LAUNCHES} launches, and so no interval:"
            " launches differ by about 1 to 3% on their own."
        )
    contended = int((times["contended"] > 0).sum())
    if contended:
        yield (
            f"{contended} of {cells} shared the core with other work: their step times, marked *,"
            " may be too long."
        )
