"""Time to target: one mark a run, Kaplan-Meier curves, and medians with intervals."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd

from ...statistics.comparisons import seeds_warning
from .. import cells, tables, text
from ..builder import Builder
from ..columns import NAMES, Field, field, interval, number, whole
from ..content import Figure, Row, Section, TableCell
from ..draw.lazy import Lazy
from ..draw.looks import STEPPED_BANDS, looks
from ..notes import bands_of, described, goal, joined, rate_note, timed_instead
from ..series import ShownSeries
from ..tables import arrivals

arrivals_drawing, targets_drawing = Lazy("arrivals"), Lazy("targets")
PLACE = 50
MEANING = (
    "A run that missed its target is censored at its budget: it would have needed longer, nobody"
    " knows how much. So is one that diverged, ran out of time or stopped early; runs that failed"
    " or were skipped never tried, and are not counted. The median is where the Kaplan-Meier curve"
    " falls below one half; if the curve is exactly one half over an interval, the middle of the"
    " interval, and “not reached” if no later arrival ends it (as in R's survfit; the summary has"
    " the same median). With fewer than 6 runs its 95% limits are 0 and ∞ by necessity. The mean up"
    " to a horizon counts a run that missed as the horizon, the same for a whole task. Expected"
    " running time is all steps of all runs over the runs that arrived: the cost of an arrival with"
    " restarts. Runs arrive at evaluations, so times are rounded up to these. Epochs are steps over"
    " the whole batches of the training samples, seconds steps × the mean step time, slow steps"
    " included, of timing runs of the very setting on the same machine."
)


def _reached(row: Row) -> TableCell:
    note = f"{row['diverged']} diverged" if row["diverged"] else ""
    return cells.share(row, "reached", "runs", note, runs=False)


def _median(label: str, name: str) -> Field:
    form = cells.WHOLE if name == "steps" else text.significant

    def cell(row: Row) -> TableCell:
        found = cells.limited(row, name, lambda value: "∞" if value == math.inf else form(value))
        return TableCell("not reached", found.sort, found.note) if row[name] == math.inf else found

    return field(f"Median {label}", cell, help="below, its 95% limits")


COLUMNS = [
    *NAMES,
    field("Reached", _reached, ""),
    *(_median(name, name) for name in ("steps", "epochs", "seconds")),
    interval("Mean steps up to the horizon", "restricted_mean", help="below, its 95% limits"),
    whole("Horizon", "horizon"),
    number("Expected running time", "expected_running_time", help="in steps, with restarts"),
]


def section(builder: Builder) -> Section:
    """Steps, epochs and seconds until the target of each task."""
    found = Section("target", "Time to target")
    attempts = tables.attempts(builder.frames, builder.suite)
    if attempts.empty:
        return found
    found.warn(seeds_warning(int(attempts.groupby(["task", "setup", "series"]).size().min())))
    if attempts["other_machine"].any():
        found.warn(
            "Some steps were timed on another machine than the runs were trained on, or than the"
            " task's other steps: no seconds there."
        )
    merged = tables.merged_alike(attempts, tables.merged(builder.frames, builder.suite))
    together = tables.pooled(attempts.assign(seconds=math.nan), merged, ["steps", "epochs"])
    curves, drawn = arrivals.curves(together), ShownSeries(builder.trained, builder.series)
    for task, rows in attempts.groupby("task", sort=False):
        if said := timed_instead(builder.summary, str(task)):
            found.warn(f"{task}: no seconds of settings that were not timed: {said}.")
        of_task = together[together["task"] == task]
        found.add(_marks(builder, str(task), rows, of_task, merged, drawn))
        found.add(_curves(builder, str(task), curves[curves["task"] == task], merged, drawn))
    caption = "Time to target, runs that missed it censored"
    found.add(MEANING, builder.table("arrivals", caption, COLUMNS, arrivals.table(attempts)))
    return found


def _marks(
    builder: Builder,
    task: str,
    rows: pd.DataFrame,
    together: pd.DataFrame,
    merged: pd.DataFrame,
    drawn: ShownSeries,
) -> Figure:
    """Steps of setups that agree as one, seconds of each setup."""
    on, timed = builder.timed_on(rows), bool(rows["seconds"].notna().any())
    picture = (
        f"Dot plots of steps{', and of seconds,' if timed else ''} to the target; open triangles"
        " are censored runs."
    )
    missed, styles = int((~rows["reached"]).sum()), builder.setups
    runs = text.plural(missed, "run") if len(together) == len(rows) else "runs"
    if len(panels := list(dict.fromkeys(merged.loc[merged["task"] == task, "panel"]))):
        styles = looks([*builder.setups, *panels])
    caption = joined(
        f"{task}: steps{' and seconds' if timed else ''} until"
        f" {goal(builder.task(rows['digest'].iloc[0]))}, one mark a run.",
        f"Seconds are steps × the mean step time{f' on {on}' if on else ''}." if timed else "",
        "A short bar is the median.",
        f"Open triangles, of {runs} that missed the target, stand at the"
        " budget: nobody knows how much longer the run would have needed."
        if missed
        else "",
        _same_steps(rows, merged),
        drawn.note(task),
        rate_note(builder.trained, task),
    )
    return builder.figure(
        f"{task}-target",
        partial(targets_drawing.targets, drawn.of(together, task), drawn.of(rows, task), styles),
        f"{task}: time to target",
        described(picture, rows["setup"], rows["series"]),
        rows,
        caption,
        small=together["setup"].nunique() == 1 and not timed,
    )


def _same_steps(rows: pd.DataFrame, merged: pd.DataFrame) -> str:
    """How far apart frameworks that are drawn as one arrived."""
    known = merged.set_index("digest")
    one = rows[rows["digest"].isin(known.index)]
    if one.empty:
        return ""
    steps = one.groupby(one["digest"].map(known["pool"]))["steps"]
    most, panels = float((steps.max() - steps.min()).max()), set(one["digest"].map(known["panel"]))
    how = f"differ by at most {text.plural(int(most), 'step')}" if most else "take the same steps"
    return f"Frameworks that agree ({'; '.join(sorted(panels))}) {how}: one mark a seed."


def _curves(
    builder: Builder, task: str, curves: pd.DataFrame, merged: pd.DataFrame, drawn: ShownSeries
) -> Figure:
    shown = drawn.of(curves, task)
    panels, banded = shown[["facet", "setup"]].drop_duplicates(), bands_of(shown, STEPPED_BANDS)
    agreeing = [name for name in dict.fromkeys(merged["panel"]) if name in set(curves["setup"])]
    caption = joined(
        f"{task}: share of runs that have not yet reached the target (Kaplan and Meier's estimate):"
        " the sooner it falls, the better.",
        "A + at the end of a curve marks runs that missed the target in their budget."
        if shown["missed"].any()
        else "",
        "" if banded is None else f"Bands{banded} are 95% beta product limits.",
        f"Frameworks that agree ({'; '.join(agreeing)}) are one panel, a seed counts once."
        if agreeing
        else "",
        drawn.note(task),
    )
    picture = "Kaplan-Meier curves of the runs that have not reached the target."
    return builder.figure(
        f"{task}-arrivals",
        partial(arrivals_drawing.arrivals, shown, drawn.styles),
        f"{task}: share of runs that have not reached the target",
        described(picture, curves["setup"], curves["series"]),
        curves,
        caption,
        small=len(panels) == 1,
    )
