"""Performance profile, AlgoPerf score and runtime distribution: which is fast how often."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pandas as pd

from ...statistics.comparisons import seeds_warning
from ...statistics.profiles import Profile
from .. import cells, tables, text
from ..builder import Builder
from ..columns import SERIES, SETUP, field, number
from ..content import Figure, Row, Section, Table, TableCell
from ..draw.lazy import Lazy
from ..notes import described, joined, listed, rate_note
from ..tables import profiles, variations

PLACE = 70
drawn = Lazy("profiles")


def section(builder: Builder) -> Section:
    """Of the setups in which two contenders or more tried every one of two tasks or more; the
    runtime distribution of any two."""
    found = Section("profiles", "Which optimizer is fast how often")
    attempts = tables.attempts(builder.frames, builder.suite)
    pool = variations.compare_optimizers(builder.trained, builder.frames)
    if attempts.empty or not pool:
        return found
    setups = attempts.groupby("setup", sort=False)
    every = {str(setup): profiles.profile(rows) for setup, rows in setups}
    drawn = {setup: of for setup, of in every.items() if of and min(of.times.shape) > 1}
    if drawn:
        found.warn(seeds_warning(int(attempts.groupby(["task", "setup", "series"]).size().min())))
        found.add(_meaning(drawn), _profile(builder, drawn), _scores(builder, drawn))
    if attempts["series"].nunique() > 1:
        found.add(*_runtimes(builder, attempts))
    return found


def _meaning(found: dict[str, Profile]) -> str:
    missed = {setup: of.unreached for setup, of in found.items() if of.unreached}
    unreached = "; ".join(f"{setup}: {listed(tasks)}" for setup, tasks in missed.items())
    pools = "; ".join(f"{setup}: {', '.join(of.pool)}" for setup, of in found.items())
    return joined(
        "The performance profile is the share of tasks on which a contender's median steps to"
        " target are within a factor τ of the fastest of its pool, at τ = 1 the share on which it"
        " is the fastest. A median run that missed the target counts as infinitely slow. The"
        " AlgoPerf score is the area under the profile from 1 to 4, divided by 3. Both are"
        " relative: adding or removing a contender can change every score. The pool here is"
        f" {pools}.",
        f"Nobody reached the target of {unreached}: a miss for all." if unreached else "",
        "A profile tells which is fastest how often; to compare the second with the third, leave"
        " the first out.",
    )


def _profile(builder: Builder, found: dict[str, Profile]) -> Figure:
    stairs = [profiles.staircase(of).assign(setup=setup) for setup, of in found.items()]
    table = pd.concat(stairs, ignore_index=True)
    tasks = text.plural(max(len(of.tasks) for of in found.values()), "task")
    return builder.figure(
        "profile",
        partial(drawn.profile, table, builder.series),
        "Performance profile",
        described("Performance profiles.", table["setup"], table["series"]),
        table,
        f"Share of {tasks} on which the median steps to target are within a factor τ of the fastest"
        " of the pool; higher is better. No interval: with so few tasks it has none.",
    )


def _scores(builder: Builder, found: dict[str, Profile]) -> Table:
    tasks = list(dict.fromkeys(task for of in found.values() for task in of.tasks))
    rows = [row for setup, of in found.items() for row in _rows(setup, of)]

    def time(task: str) -> Callable[[Row], TableCell]:
        return lambda row: _time(*row["times"].get(task, (None, math.nan)))

    help = "median steps to target; below, over the fastest's"
    fields = [
        SETUP,
        SERIES,
        number("AlgoPerf score", "score", help="1 is the best"),
        *(field(task, time(task), help=help) for task in tasks),
    ]
    data = [
        (row["setup"], row["series"], row["score"], task, *times)
        for row in rows
        for task, times in row["times"].items()
    ]
    columns = ["setup", "series", "score", "task", "median_steps", "ratio"]
    caption = "AlgoPerf scores and the times behind them"
    return builder.table("profile-raw", caption, fields, rows, pd.DataFrame(data, columns=columns))


def _rows(setup: str, found: Profile) -> list[Row]:
    """One row a contender; times: task -> median steps and ratio to the fastest's."""
    each = zip(found.pool, found.score, found.times, found.ratios, strict=True)
    return [
        {
            "setup": setup,
            "series": name,
            "score": score,
            "times": dict(zip(found.tasks, zip(times, ratios, strict=True), strict=True)),
        }
        for name, score, times, ratios in each
    ]


def _time(time: float | None, ratio: float) -> TableCell:
    if time is None:
        return TableCell(text.MISSING)
    if not math.isfinite(time):
        return TableCell("not reached", 1e300)
    return cells.number(time, cells.WHOLE, f"× {ratio:.2f}")


def _runtimes(builder: Builder, attempts: pd.DataFrame) -> list[Figure]:
    table, complete = profiles.runtimes(builder.frames, attempts)
    if table.empty:
        return []
    levels = profiles.levels(builder.frames, attempts)
    shares = ", ".join(f"{100 * share:g}%" for share in profiles.LEVELS)
    targets = "; ".join(
        f"{task}: {', '.join(f'{value:.3g}' for value in values)}"
        for task, values in levels.items()
    )
    caption = joined(
        "Share of all (task, target, run) reached within a number of steps; higher is better."
        f" Targets are {shares} of the way from each task's zero (see the scores over all tasks) to"
        f" its declared target, of the validation metric: {targets}. Right of the dashed line some"
        " run's budget had ended, and a curve is a lower bound; diverged runs stay in, and no"
        " restart is simulated. No interval.",
        next(filter(None, (rate_note(builder.trained, task) for task in levels)), ""),
    )
    figure = builder.figure(
        "runtimes",
        partial(drawn.runtimes, table, builder.series, complete),
        "Runtime distribution",
        described("Share of targets reached in time.", table["setup"], table["series"]),
        table,
        caption,
    )
    return [figure]
