"""Final loss against learning rate."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .. import figures, tables
from ..content import Section

if TYPE_CHECKING:
    from ..page import Writer


def section(writer: Writer) -> Section:
    """Final validation loss at every learning rate, of what was run at several."""
    found = Section("learning-rates", "Learning rates")
    rates = tables.learning_rates(writer.frames, writer.suite)
    for task, rows in rates.groupby("task", sort=False):
        diverged = " Crosses at the top are rates at which runs diverged." if rows["diverged"].any() else ""
        what = "Final validation loss against learning rate."
        found.parts.append(writer.figure(
            f"{task}-learning-rates", partial(figures.learning_rates, rows, writer.series), f"{task}: learning rates",
            figures.describe(what, rows["setup"], rows["series"]), rows,
            f"{task}: final validation loss, mean and range over the runs that ended ok.{diverged}",
        ))  # fmt: skip
    return found
