"""Performance profile, AlgoPerf score and runtime distribution: who is fast how often."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...results.frame import Frames
from ...statistics import targets
from ...statistics.comparisons import seeds_warning
from ...statistics.profiles import Profile, performance_profile
from .. import figures, tables, text
from ..content import Cell, Column, Section, Table
from ..figures import Looks
from . import contenders, draw_lines
from .draw_lines import Axis, Lines
from .shared import compares_optimizers, groups, joined, listed, number, rate_note

if TYPE_CHECKING:
    from ..page import Writer

# Levels of the runtime distribution: shares of the way from a task's zero to its declared target.
LEVELS = (0.5, 0.75, 0.9, 1.0)
# How far the profile is drawn; the score ends at 4.
DRAWN_TO = 8.0


def section(writer: Writer) -> Section:
    """Of the setups in which two contenders or more tried every one of two tasks or more; the
    runtime distribution of any two.
    """
    found = Section("profiles", "Who is fast how often")
    attempts = tables.attempts(writer.frames, writer.suite)
    if attempts.empty or not compares_optimizers(writer):
        return found
    profiles = {str(setup): _profile(rows) for setup, rows in attempts.groupby("setup", sort=False)}
    drawn = {
        setup: profile
        for setup, profile in profiles.items()
        if profile and min(profile.times.shape) > 1
    }
    if drawn:
        warning = seeds_warning(int(attempts.groupby(["task", "setup", "series"]).size().min()))
        found.warnings += [warning] if warning else []
        found.parts += _profiles(writer, drawn)
    if attempts["series"].nunique() > 1:
        found.parts += _runtimes(writer, attempts)
    return found


def _profile(attempts: pd.DataFrame) -> Profile | None:
    """Of one setup; of the contenders that tried all tasks."""
    names = list(dict.fromkeys(attempts["task"]))
    times: dict[str, dict[str, np.ndarray]] = {}
    for (series, task), runs in attempts.groupby(["series", "task"], sort=False):
        steps = runs["steps"].where(runs["reached"], np.inf)
        times.setdefault(str(series), {})[str(task)] = steps.to_numpy(dtype=np.float64)
    whole = {
        name: [of[task] for task in names] for name, of in times.items() if len(of) == len(names)
    }
    return performance_profile(whole, names) if whole else None


def staircase(profile: Profile, to: float = DRAWN_TO) -> pd.DataFrame:
    """Corners of rho: series, tau, rho; from 1 to `to`."""
    inside = profile.ratios[np.isfinite(profile.ratios) & (profile.ratios <= to)]
    taus = np.unique(np.concatenate([[1.0], inside, [to]]))
    shares = profile.rho(taus)
    return pd.DataFrame(
        {
            "series": np.repeat(profile.pool, len(taus)),
            "tau": np.tile(taus, len(profile.pool)),
            "rho": shares.ravel(),
        }
    )


def _profiles(writer: Writer, profiles: dict[str, Profile]) -> list[Any]:
    stairs = pd.concat(
        [staircase(found).assign(setup=setup) for setup, found in profiles.items()],
        ignore_index=True,
    )
    unreached = "; ".join(
        f"{setup}: {listed(found.unreached)}"
        for setup, found in profiles.items()
        if found.unreached
    )
    pools = "; ".join(f"{setup}: {', '.join(found.pool)}" for setup, found in profiles.items())
    prose = joined(
        "The performance profile is the share of tasks on which a contender's median steps to"
        " target are within a factor τ of the fastest of its pool, at τ = 1 the share on which it"
        " is the fastest. A median run that missed the target counts as infinitely slow. The"
        " AlgoPerf score is the area under the profile from 1 to 4, divided by 3. Both are"
        " relative: adding or removing a contender can change every score. The pool here is"
        f" {pools}.",
        f"Nobody reached the target of {unreached}: a miss for all." if unreached else "",
        "A profile tells who is fastest how often; to compare the second with the third, leave the"
        " first out.",
    )
    figure = writer.figure(
        "profile",
        partial(
            _draw,
            _placed(stairs, "tau", "rho"),
            writer.series,
            Axis("τ, steps over the fastest's", log=True),
            "share of tasks within τ",
        ),
        "Performance profile",
        figures.describe("Performance profiles.", stairs["setup"], stairs["series"]),
        stairs,
        f"Share of {text.plural(max(len(found.tasks) for found in profiles.values()), 'task')} on"
        " which the median steps to target are within a factor τ of the fastest of the pool;"
        " higher is better. No interval: with so few tasks it has none.",
    )
    return [prose, figure, _scores(writer, profiles)]


def _scores(writer: Writer, profiles: dict[str, Profile]) -> Table:
    tasks = list(dict.fromkeys(task for found in profiles.values() for task in found.tasks))
    columns = [
        Column("Framework"),
        Column("Optimizer"),
        Column("AlgoPerf score", "number", "1 is the best"),
        *(
            Column(task, "number", "median steps to target; below, over the fastest's")
            for task in tasks
        ),
    ]
    rows, cells = [], []
    for setup, found in profiles.items():
        for name, score, times, ratios in zip(
            found.pool, found.score, found.times, found.ratios, strict=True
        ):
            of_task = {
                task: (time, ratio)
                for task, time, ratio in zip(found.tasks, times, ratios, strict=True)
            }
            rows += [
                {
                    "setup": setup,
                    "series": name,
                    "score": score,
                    "task": task,
                    "median_steps": time,
                    "ratio": ratio,
                }
                for task, (time, ratio) in of_task.items()
            ]
            raw = [
                _time(*of_task[task]) if task in of_task else Cell(text.MISSING) for task in tasks
            ]
            cells.append([Cell(setup), Cell(name), number(score), *raw])
    return writer.table(
        "profile-raw",
        "AlgoPerf scores and the times behind them",
        columns,
        cells,
        pd.DataFrame(rows),
    )


def _time(time: float, ratio: float) -> Cell:
    return (
        number(time, "{:g}".format, f"× {ratio:.2f}")
        if np.isfinite(time)
        else Cell("not reached", 1e300)
    )


def levels(frames: Frames, attempts: pd.DataFrame) -> dict[str, tuple[float, ...]]:
    """Of each task that can be scored the metric's values at LEVELS between its zero and its
    target.
    """
    ends = contenders.ends(frames, attempts)
    return {
        str(row.task): tuple(float(row.zero + share * (row.one - row.zero)) for share in LEVELS)
        for row in ends.itertuples()
    }


def runtimes(frames: Frames, attempts: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """The runtime distribution of each setup and series: setup, series, steps, share; and the least
    budget of any run, beyond which it is a lower bound."""
    of_task = levels(frames, attempts)
    points = frames.curves[frames.curves["series"] == "validation_metric"]
    points = points[points["digest"].isin(set(attempts["digest"]))].sort_values(
        "step", kind="stable"
    )
    metrics = {
        str(digest): (rows["step"].to_numpy(), rows["value"].to_numpy())
        for digest, rows in points.groupby("digest")
    }
    found, complete = [], np.inf
    for (setup, series), runs in attempts[attempts["task"].isin(of_task)].groupby(
        ["setup", "series"], sort=False
    ):
        grouped = {str(task): rows for task, rows in runs.groupby("task", sort=False)}
        times = {
            task: _times(rows["digest"], metrics, of_task[task]) for task, rows in grouped.items()
        }
        budgets = {task: _budgets(frames, rows["digest"]) for task, rows in grouped.items()}
        ecdf = targets.runtime_ecdf(times, {task: of_task[task] for task in grouped}, budgets)
        complete, longest = (
            min(complete, ecdf.complete_up_to),
            max(budget.max() for budget in budgets.values()),
        )
        steps, share = (
            np.concatenate([[1.0], ecdf.budgets, [longest]]),
            np.concatenate([[0.0], ecdf.share, ecdf.share[-1:]]),
        )
        found.append(
            pd.DataFrame(
                {
                    "setup": setup,
                    "series": series,
                    "steps": steps,
                    "share": np.resize(share, steps.size),
                }
            )
        )
    return (pd.concat(found, ignore_index=True) if found else pd.DataFrame()), complete


def _times(
    digests: pd.Series, metrics: dict[str, tuple[np.ndarray, np.ndarray]], values: tuple[float, ...]
) -> np.ndarray:
    """float[levels, runs]; a level that holds before the first step is reached with it."""
    never = np.full(len(values), np.inf)
    reach = partial(targets.times_to_targets, targets=values, higher_is_better=True)
    columns = [reach(*metrics[digest]) if digest in metrics else never for digest in digests]
    return np.maximum(np.stack(columns, axis=1), 1.0)


def _budgets(frames: Frames, digests: pd.Series) -> np.ndarray:
    return np.array([frames.records[digest].spec.steps for digest in digests], dtype=np.float64)


def _runtimes(writer: Writer, attempts: pd.DataFrame) -> list[Any]:
    table, complete = runtimes(writer.frames, attempts)
    if table.empty:
        return []
    of_task = levels(writer.frames, attempts)
    shares = ", ".join(f"{100 * share:g}%" for share in LEVELS)
    said = "; ".join(
        f"{task}: {', '.join(f'{value:.3g}' for value in values)}"
        for task, values in of_task.items()
    )
    note = next(filter(None, (rate_note(writer.trained, task) for task in of_task)), "")
    return [
        writer.figure(
            "runtimes",
            partial(
                _draw,
                _placed(table, "steps", "share"),
                writer.series,
                Axis("steps", log=True),
                "share of targets reached",
                complete,
            ),
            "Runtime distribution",
            figures.describe("Share of targets reached in time.", table["setup"], table["series"]),
            table,
            joined(
                "Share of all (task, target, run) reached within a number of steps; higher is"
                f" better. Targets are {shares} of the way from each task's zero (see the scores"
                f" over all tasks) to its declared target, of the validation metric: {said}. Right"
                " of the dashed line some run's budget had ended, and a curve is a lower bound;"
                " diverged runs stay in, and no restart is simulated. No interval.",
                note,
            ),
        )
    ]


def _placed(table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    place = {name: str(row) for row, names in enumerate(groups(table["series"])) for name in names}
    placed = table.assign(
        panel_row=table["series"].map(place),
        panel_column=table["setup"],
        hue=table["series"],
        x=table[x],
        y=table[y],
    )
    return placed.sort_values("panel_row", kind="stable")


def _draw(
    points: pd.DataFrame, styles: Looks, x: Axis, label: str, line: float = float("nan")
) -> Any:
    def end(axis: Any, row: str, column: str) -> None:
        if np.isfinite(line):
            draw_lines.level(axis, line, vertical=True)

    y = Axis(label, percent=True, limits=(0, 1.02))
    return draw_lines.draw(Lines(points, styles, x, y, steps=True, decorate=end))
