"""Initialisers and activations: a heat map of how runs ended."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ..builder import Builder
from ..content import Figure, Section
from ..draw.lazy import Lazy
from ..notes import described, final, hindsight, joined, seeds_text
from ..tables.variations import settings, summary

PLACE = 120
drawn = Lazy("initializers")
AXES = ("initializer", "activation")


def section(builder: Builder) -> Section:
    """Initialiser by activation if both vary; if one does, that by optimizer."""
    found = Section("initializers", "Initialisers and activations")
    for keys in (AXES, *((name,) for name in AXES)):
        rows = settings(builder.frames, builder.suite, *keys)
        if len(rows):
            note = hindsight(rows, builder.trained)
            for task, table in summary(rows, keys).groupby("task", sort=False):
                found.add(_figure(builder, str(task), table, keys, note))
            break
    return found


def _figure(
    builder: Builder, task: str, table: pd.DataFrame, keys: tuple[str, ...], note: str
) -> Figure:
    metric = builder.metrics[task]
    names = [name.replace("initializer", "initialiser") for name in (*keys, "optimizer")][:2]
    by = " and ".join(names)
    caption = joined(
        f"{task}: {final(metric)}, mean over the runs that ended ok, by {by};"
        f" {seeds_text(table['runs'])} a cell. Hatched: some run diverged or ran out of time,"
        " and is missing from the mean; the cell then says how many ended ok. A cell without"
        " colour has no run that did. No interval: the range is in the data.",
        note,
    )
    return builder.figure(
        f"{task}-initializers",
        partial(drawn.initializers, table, keys, metric),
        f"{task}: {by}",
        described(f"Heat map of the {final(metric)}.", table["setup"], table["series"]),
        table,
        caption,
    )
