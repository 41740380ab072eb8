"""Initialisers and activations: a heat map of how runs ended."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import figures, text
from ..content import Figure, Section
from . import draw_cells
from .draw_cells import Heat
from .shared import joined, seeds_text
from .variations import hindsight, settings, summary

if TYPE_CHECKING:
    from ..page import Writer

AXES = ("initializer", "activation")


def section(writer: Writer) -> Section:
    """Initialiser by activation where both vary; where one does, that by optimizer."""
    found = Section("initializers", "Initialisers and activations")
    rows = settings(writer.frames, writer.suite, *AXES)
    keys = list(AXES)
    if rows.empty:
        for name in AXES:
            rows = settings(writer.frames, writer.suite, name)
            keys = [name]
            if len(rows):
                break
    if rows.empty:
        return found
    table = summary(rows, keys)
    note = hindsight(rows, writer.trained)
    found.parts += [
        _figure(writer, str(task), of_task, keys, note)
        for task, of_task in table.groupby("task", sort=False)
    ]
    return found


def _figure(writer: Writer, task: str, table: pd.DataFrame, keys: list[str], note: str) -> Figure:
    metric = writer.metrics[task]
    loss = metric == "negative_loss"
    label = "validation loss" if loss else figures.METRIC_TITLES[metric]
    first = keys[0].replace("initializer", "initialiser")
    across = "activation" if len(keys) == 2 else "optimizer"
    return writer.figure(
        f"{task}-initializers",
        partial(draw_cells.draw, heat(table, keys, loss, metric == "accuracy", label)),
        f"{task}: {first} and {across}",
        figures.describe(f"Heat map of the final {label}.", table["setup"], table["series"]),
        table,
        joined(
            f"{task}: final {label}, mean over the runs that ended ok, by {first} and {across};"
            f" {seeds_text(table['runs'])} a cell. Hatched: some run diverged or ran out of time,"
            " and is missing from the mean; the cell then says how many ended ok. A cell without"
            " colour has no run that did. No interval: the range is in the data.",
            note,
        ),
    )


def heat(table: pd.DataFrame, keys: list[str], loss: bool, percent: bool, label: str) -> Heat:
    """Panels: setups, and series where both axes are variations."""
    quantity = table["final_validation_loss_mean"] if loss else table["metric_mean"]
    form = text.percent if percent else text.significant
    share = [f"\n{row.ok} of {row.runs}" if row.ok < row.runs else "" for row in table.itertuples()]
    panel = table["setup"] + " · " + table["series"] if len(keys) == 2 else table["setup"]
    cells = table.assign(
        panel=panel,
        row=table[keys[0]],
        column=table[keys[1]] if len(keys) == 2 else table["series"],
        value=quantity,
        hatched=table["ok"] < table["runs"],
        text=[
            (form(value) if np.isfinite(value) else "") + of
            for value, of in zip(quantity, share, strict=True)
        ],
    )
    cells["text"] = cells["text"].str.strip()
    known = quantity[np.isfinite(quantity)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    log = loss and low > 0 and high > 10 * low
    limits = (low, high if high > low else low + max(abs(low), 1.0) * 0.01)
    return Heat(cells, label, limits, "viridis_r" if loss else "viridis", log, form=form)
