"""Steps and seconds until the target."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...spec import TaskSpec
from .. import figures, tables, text
from ..content import Section

if TYPE_CHECKING:
    from ..page import Writer


def section(writer: Writer) -> Section:
    section = Section("target", "Time to target")
    attempts = tables.attempts(writer.frames, writer.suite)
    for task, rows in attempts.groupby("task", sort=False):
        spec = writer.frames.records[rows["digest"].iloc[0]].spec.task
        missed = int((~rows["reached"]).sum())
        caption = [
            f"{task}: steps and seconds until {_goal(spec)}, one mark a run.",
            "Seconds are steps × step p25. A short bar is the median.", _missed_note(missed),
            writer.hindsight(str(task)),
        ]  # fmt: skip
        what = "Dot plots of steps, and of seconds where timed, to the target; open triangles are censored runs."
        section.parts.append(writer.figure(
            f"{task}-target", partial(figures.targets, rows, writer.setups), f"{task}: time to target",
            figures.describe(what, rows["setup"], rows["series"]), rows, " ".join(filter(None, caption)),
        ))  # fmt: skip
    return section


def _goal(task: TaskSpec) -> str:
    """What counts as reached: 'validation accuracy is 0.97'."""
    if task.metric == "negative_loss":
        return f"validation loss is {-task.target:g}"
    return f"{figures.METRIC_TITLES[task.metric]} is {task.target:g}"


def _missed_note(missed: int) -> str:
    if not missed:
        return ""
    return (
        f"Open triangles, of {text.plural(missed, 'run')} that missed the target, stand at the budget: how much longer "
        "the run would have needed is not known."
    )
