"""Time to target: one mark a run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .. import figures, tables, text
from ..content import Section
from .shared import goal, joined, rate_note

if TYPE_CHECKING:
    from ..page import Writer


def section(writer: Writer) -> Section:
    """Steps and seconds until every run reached its task's target."""
    found = Section("target", "Time to target")
    attempts = tables.attempts(writer.frames, writer.suite)
    for task, rows in attempts.groupby("task", sort=False):
        spec = writer.frames.records[rows["digest"].iloc[0]].spec.task
        what = "Dot plots of steps, and of seconds where timed, to the target; open triangles are censored runs."
        found.parts.append(writer.figure(
            f"{task}-target", partial(figures.targets, rows, writer.setups), f"{task}: time to target",
            figures.describe(what, rows["setup"], rows["series"]), rows,
            joined(
                f"{task}: steps and seconds until {goal(spec)}, one mark a run.",
                "Seconds are steps × step p25. A short bar is the median.", _missed_note(int((~rows["reached"]).sum())),
                rate_note(writer.trained, str(task)),
            ),
        ))  # fmt: skip
    return found


def _missed_note(missed: int) -> str:
    if not missed:
        return ""
    return (
        f"Open triangles, of {text.plural(missed, 'run')} that missed the target, stand at the budget: how much longer "
        "the run would have needed is not known."
    )
