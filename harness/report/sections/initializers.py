"""Initialisers and activations: a heat map of how runs ended."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from .. import text
from ..builder import Builder
from ..content import Figure, Section
from ..draw import cells
from ..draw.cells import Heat
from ..notes import described, final, hindsight, joined, seeds_text
from ..tables.variations import settings, summary

PLACE = 120
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
        partial(cells.draw, heat(table, keys, metric)),
        f"{task}: {by}",
        described(f"Heat map of the {final(metric)}.", table["setup"], table["series"]),
        table,
        caption,
    )


def heat(table: pd.DataFrame, keys: tuple[str, ...], metric: str) -> Heat:
    """Panels: setups, and series if both axes are variations."""
    loss, both = metric == "negative_loss", len(keys) == 2
    quantity = table["final_validation_loss_mean"] if loss else table["metric_mean"]
    form = text.percent if metric == "accuracy" else text.significant
    written = [
        f"{form(value) if np.isfinite(value) else ''}\n{_lost(ok, runs)}".strip()
        for value, ok, runs in zip(quantity, table["ok"], table["runs"], strict=True)
    ]
    placed = table.assign(
        panel=table["setup"] + " · " + table["series"] if both else table["setup"],
        row=table[keys[0]],
        column=table[keys[1]] if both else table["series"],
        value=quantity,
        hatched=table["ok"] < table["runs"],
        text=written,
    )
    known = quantity[np.isfinite(quantity)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    log = loss and low > 0 and high > 10 * low
    limits = (low, high if high > low else low + max(abs(low), 1.0) * 0.01)
    key = final(metric).removeprefix("final ")
    return Heat(placed, key, limits, "viridis_r" if loss else "viridis", log, form)


def _lost(ok: int, runs: int) -> str:
    return f"{ok} of {runs}" if ok < runs else ""
