"""Samples a second against batch size."""

from __future__ import annotations

from functools import partial

from .. import tables
from ..builder import Builder
from ..content import Section
from ..draw.lazy import Lazy
from ..notes import described

PLACE = 190
times = Lazy("times")


def section(builder: Builder) -> Section:
    """A figure for each task that was timed at several batch sizes."""
    found = Section("throughput", "Samples a second")
    shown = "Line charts of samples a second against batch size."
    for task, rows in tables.throughput(builder.times).groupby("task", sort=False):
        figure = builder.figure(
            f"{task}-throughput",
            partial(times.throughput, rows, builder.timed_setups),
            f"{task}: samples a second",
            described(shown, rows["panel"], rows["setup"]),
            rows,
            f"{task}: samples a second against batch size, by step p25. Bands: 95% intervals over"
            " launches.",
        )
        found.add(figure)
    return found
