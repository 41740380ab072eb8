"""Scores over all tasks with intervals, and who improves upon whom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...statistics import aggregates, comparisons
from ...statistics.bootstrap import bootstrap_interval
from ...statistics.intervals import Interval
from .. import figures, text
from ..content import Cell, Column, Figure, Section, Table
from . import contenders, draw_cells, draw_dots, rank_tests
from .contenders import Pool
from .draw_cells import Heat
from .shared import between, compares_optimizers, listed, number

if TYPE_CHECKING:
    from ..page import Writer

STATISTICS = {
    "interquartile_mean": ("Interquartile mean", aggregates.interquartile_mean),
    "median_of_medians": ("Median of medians", aggregates.median_of_medians),
    "optimality_gap": ("Optimality gap", aggregates.optimality_gap),
}
LEGEND = (
    "Every run is scored by its final validation metric, on a scale of its task on which the zero"
    " of the table is 0 and the target is 1; nothing is clipped. A run that diverged or ran out of"
    " time counts as chance, 0, or as the worst run of its task if that is worse; one that failed"
    " or was skipped has none. Learning rates, where several were run, are the best of each"
    " contender with hindsight, which favours those with more rates. The interquartile mean is that"
    " of the middle half of all scores, the median of medians the middle task's median seed: where"
    " a run diverged, trust the latter and the share of runs. The optimality gap is how far scores"
    " fall short of the target on average, lower is better. Intervals: 95%, from a bootstrap of"
    " seeds within tasks. They speak of other seeds on these tasks, not of other tasks."
)


def section(writer: Writer) -> Section:
    """Of every framework with two contenders or more, on the tasks of the suite; not where the
    tasks themselves are varied.
    """
    found = Section("aggregates", "Over all tasks: who improves upon whom")
    scored = contenders.scores(writer.frames, writer.suite)
    pools = contenders.pools(scored)
    if not pools or not compares_optimizers(writer):
        return found
    warning = comparisons.seeds_warning(min(pool.seeds for pool in pools))
    found.warnings += [warning] if warning else []
    found.warnings += [note for pool in pools for note in _left_out(pool)]
    table = pd.DataFrame([row for pool in pools for row in _rows(pool)])
    improvements = {pool.setup: comparisons.improvement_matrix(pool.scores, True) for pool in pools}
    found.parts += [f"{pool.setup}. {_standing(pool, improvements[pool.setup])}" for pool in pools]
    found.parts += [LEGEND, _ends(writer), _figure(writer, table), _table(writer, table)]
    found.parts += [
        _improvements(writer, pools, improvements),
        _wins(writer, pools),
        *rank_tests.parts(writer, pools),
    ]
    return found


def _standing(pool: Pool, improvements: dict[tuple[str, str], Interval]) -> str:
    found = comparisons.winner(list(pool.scores), improvements, pool.tasks)
    return (
        f"{found.sentence} ({text.plural(len(pool.scores), 'contender')},"
        f" {text.plural(pool.seeds, 'seed')}.)"
    )


def _left_out(pool: Pool) -> list[str]:
    return [
        f"{pool.setup}: {name} was not tried on {listed(tasks)}, and so is left out of what pools"
        " tasks."
        for name, tasks in pool.left_out.items()
    ]


def _rows(pool: Pool) -> list[dict[str, Any]]:
    rows = []
    for name, scores in pool.scores.items():
        seeds = min(task.size for task in scores)
        row: dict[str, Any] = {
            "setup": pool.setup,
            "series": name,
            "tasks": len(pool.tasks),
            "seeds": seeds,
        }
        for key, (_, statistic) in STATISTICS.items():
            found = bootstrap_interval(scores, statistic)
            row |= {key: found.estimate, f"{key}_low": found.low, f"{key}_high": found.high}
        share = aggregates.share_of_runs(pool.diverged[name], pool.attempts[name])
        row |= {
            "runs": pool.attempts[name],
            "diverged": pool.diverged[name],
            "diverged_share": share.estimate,
        }
        rows.append(row | {"diverged_share_low": share.low, "diverged_share_high": share.high})
    return rows


def _ends(writer: Writer) -> Table:
    picked = writer.trained[writer.trained["status"].isin(("ok", "diverged", "timeout"))]
    table = contenders.ends(writer.frames, picked)
    columns = [
        Column("Task"),
        Column("Metric"),
        Column("Zero", "number"),
        Column("What scores 0"),
        Column("Target", "number"),
        Column("Where the target is from"),
    ]
    origins = {
        spec.name: spec.target_origin
        for spec in (writer.frames.records[d].spec.task for d in picked["digest"])
    }
    cells = [
        [
            Cell(row["task"]),
            Cell(row["metric"]),
            number(row["zero"]),
            Cell(row["origin"]),
            number(row["one"]),
            Cell(origins[row["task"]]),
        ]
        for row in table.to_dict("records")
    ]
    return writer.table("score-ends", "What scores 0 and 1", columns, cells, table)


def _figure(writer: Writer, table: pd.DataFrame) -> Figure:
    panels = {
        name: f"{label.lower()} of scores"
        for name, (label, _) in STATISTICS.items()
        if name != "optimality_gap"
    }
    return writer.figure(
        "aggregates",
        partial(draw_dots.intervals, table, writer.setups, panels, dict.fromkeys(panels, 1.0)),
        "Aggregated scores",
        figures.describe("Aggregated scores with intervals.", table["setup"], table["series"]),
        None,
        "Scores over all tasks, higher is better; the dashed line is the target. Bars: 95%"
        " bootstrap intervals over seeds, which may leave the picture; runs that diverged count as"
        " chance, or as the worst run.",
        "aggregates.csv",
    )


def _table(writer: Writer, table: pd.DataFrame) -> Table:
    columns = [
        Column("Framework"),
        Column("Optimizer"),
        *(Column(label, "number", "below, its 95% interval") for label, _ in STATISTICS.values()),
        Column("Diverged", "number", "share of runs; below, its exact 95% interval"),
        Column("Runs", "number"),
        Column("Tasks", "number"),
        Column("Seeds", "number", "the fewest of any task"),
    ]
    cells = [
        [
            Cell(row["setup"]),
            Cell(row["series"]),
            *(between(row, name) for name in STATISTICS),
            between(row, "diverged_share", form=text.percent),
            *(Cell(str(row[name]), row[name]) for name in ("runs", "tasks", "seeds")),
        ]
        for row in table.to_dict("records")
    ]
    return writer.table(
        "scores-over-tasks", "Scores over all tasks", columns, cells, table, "aggregates.csv"
    )


def _improvements(
    writer: Writer, pools: list[Pool], improvements: dict[str, dict[tuple[str, str], Interval]]
) -> Figure:
    table = pd.DataFrame(
        [
            {
                "setup": pool.setup,
                "ours": ours,
                "theirs": theirs,
                "probability": found.estimate,
                "low": found.low,
                "high": found.high,
                "level": found.level,
                "shown": found.excludes(0.5),
            }
            for pool in pools
            for (ours, theirs), found in improvements[pool.setup].items()
        ]
    )
    cells = table.assign(
        panel=table["setup"],
        row=table["ours"],
        column=table["theirs"],
        value=table["probability"],
        text=[f"{p:.2f}" for p in table["probability"]],
        hatched=~table["shown"],
    )
    return writer.figure(
        "improvement",
        partial(_matrix, cells, "P(row beats column)"),
        "Probability of improvement",
        figures.describe(
            "Matrix of probabilities that a run of the row beats one of the column.",
            table["setup"],
            table["ours"],
        ),
        table,
        "Probability that a run of the row's contender scores higher than one of the column's, ties"
        " half, averaged over tasks. It says how often, not by how much. Hatched: one half lies"
        " within the 95% interval, so that no difference is shown; the level holds for all pairs of"
        " a framework together (Bonferroni).",
        small=len(pools) == 1,
    )


def _wins(writer: Writer, pools: list[Pool]) -> Figure:
    rows = []
    for pool in pools:
        found = comparisons.win_matrix(pool.scores, True)
        for i, j in zip(*np.nonzero(~np.eye(len(found.optimizers), dtype=bool)), strict=True):
            shares = {"win": found.win[i, j], "loss": found.loss[i, j], "tie": found.tie[i, j]}
            rows.append(
                {
                    "setup": pool.setup,
                    "ours": found.optimizers[i],
                    "theirs": found.optimizers[j],
                    **shares,
                }
            )
    table, tasks = pd.DataFrame(rows), max(len(pool.tasks) for pool in pools)
    cells = table.assign(
        panel=table["setup"],
        row=table["ours"],
        column=table["theirs"],
        value=table["win"],
        hatched=False,
        text=[f"{row.win * tasks:.0f}–{row.loss * tasks:.0f}" for row in table.itertuples()],
    )
    return writer.figure(
        "wins",
        partial(_matrix, cells, "share of tasks won"),
        "Win matrix",
        figures.describe(
            "Matrix of the share of tasks on which the row beats the column.",
            table["setup"],
            table["ours"],
        ),
        table,
        f"Tasks won and lost by the row's contender against the column's, of {tasks}: those on"
        " which Welch's 95% interval of the difference of mean scores excludes 0. The others are"
        " not shown to differ, which does not make them equal. Each task's interval has its level"
        " alone: of 20 comparisons without any difference one is won or lost by chance.",
        small=len(pools) == 1,
    )


def _matrix(cells: pd.DataFrame, key: str) -> Any:
    return draw_cells.draw(
        Heat(cells, key, (0.0, 1.0), "PuOr" if "P(" in key else "Blues", columns_a_row=2)
    )
