"""Scores over all tasks with intervals, and which optimizers improve on which."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ...statistics import comparisons
from ...statistics.ranks import Ranks
from .. import text
from ..builder import Builder
from ..columns import SERIES, SETUP, TASK, field, interval, number, whole, word
from ..content import Figure, Section, Table, TableCell
from ..draw.lazy import Lazy
from ..notes import described, joined, listed
from ..tables import ATTEMPTED, contenders, contests, ranks, variations
from ..tables.contenders import Pool
from ..tables.contests import STATISTICS, Improvements

PLACE = 60
cells, dots = Lazy("cells"), Lazy("dots")
MEANING = (
    "Every run is scored by its final validation metric, on a scale of its task on which the zero"
    " of the table is 0 and the target is 1; nothing is clipped. A run that diverged or ran out of"
    " time counts as chance, 0, or as the worst run of its task if that is worse; one that failed"
    " or was skipped has no score. If several learning rates were run, each contender has its best"
    " one, with hindsight, which favours those with more rates. The interquartile mean is that of"
    " the middle half of all scores, the median of medians the middle task's median seed: if a run"
    " diverged, trust the latter and the share of runs. The optimality gap is how far scores fall"
    " short of the target on average, lower is better. Intervals: 95%, from a bootstrap of seeds"
    " within tasks. They tell about other seeds on these tasks, not about other tasks."
)
ENDS = [
    TASK,
    word("Metric", "metric"),
    number("Zero", "zero"),
    word("Origin of the zero", "origin"),
    number("Target", "one"),
    word("Origin of the target", "target_origin"),
]
SCORES = [
    SETUP,
    SERIES,
    *(
        interval(label, name, help="below, its 95% interval")
        for name, (label, _) in STATISTICS.items()
    ),
    interval(
        "Diverged",
        "diverged_share",
        text.percent,
        help="share of runs; below, its exact 95% interval",
    ),
    whole("Runs", "runs"),
    whole("Tasks", "tasks"),
    whole("Seeds", "seeds", help="the fewest of any task"),
]
RANKS = [
    SETUP,
    SERIES,
    number("Mean rank", "mean_rank", help="1 is the best"),
    whole("Tasks", "tasks"),
    field(
        "Differs from",
        lambda row: TableCell(row["differs_from"] or "none shown"),
        "",
        "Wilcoxon's signed-rank test over tasks, Holm's correction, below 0.05",
    ),
]


def section(builder: Builder) -> Section:
    """Of every framework with two contenders or more, on the tasks of the suite; not if the tasks
    themselves are varied."""
    found = Section("aggregates", "Over all tasks: which optimizers improve on which")
    pools = contenders.pools(contenders.scores(builder.frames, builder.suite))
    if not pools or not variations.compare_optimizers(builder.trained, builder.frames):
        return found
    found.warn(comparisons.seeds_warning(min(pool.seeds for pool in pools)))
    found.warn(*(note for pool in pools for note in _left_out(pool)))
    improved = {pool.setup: comparisons.improvement_matrix(pool.scores, True) for pool in pools}
    found.add(*(_standing(pool, improved[pool.setup]) for pool in pools))
    table = pd.concat([contests.aggregated(pool) for pool in pools], ignore_index=True)
    scores = builder.table(
        "scores-over-tasks", "Scores over all tasks", SCORES, table, table, "aggregates.csv"
    )
    found.add(MEANING, _ends(builder), _figure(builder, table), scores)
    found.add(_improvements(builder, pools, improved), _wins(builder, pools))
    of_pools = ranks.of_pools(pools)
    if of_pools:
        caption = "Appendix: mean ranks over tasks"
        listed_ranks = builder.table("ranks", caption, RANKS, ranks.table(of_pools))
        found.add(*(_ranked(setup, of) for setup, of in of_pools.items()), listed_ranks)
    return found


def _standing(pool: Pool, improved: Improvements) -> str:
    found = comparisons.winner(list(pool.scores), improved, pool.tasks)
    counts = f"{text.plural(len(pool.scores), 'contender')}, {text.plural(pool.seeds, 'seed')}"
    return f"{pool.setup}. {found.sentence} ({counts}.)"


def _left_out(pool: Pool) -> list[str]:
    return [
        f"{pool.setup}: {name} was not tried on {listed(tasks)}, and so is left out of the scores"
        " over tasks."
        for name, tasks in pool.left_out.items()
    ]


def _ends(builder: Builder) -> Table:
    picked = builder.trained[builder.trained["status"].isin(ATTEMPTED)]
    table = contenders.ends(builder.frames, picked)
    specs = (builder.task(digest) for digest in picked["digest"])
    origins = {spec.name: spec.target_origin for spec in specs}
    rows = table.assign(target_origin=table["task"].map(origins)).to_dict("records")
    return builder.table(
        "score-ends", "The scale of scores: zero and target of each task", ENDS, rows, table
    )


def _figure(builder: Builder, table: pd.DataFrame) -> Figure:
    names = ["interquartile_mean", "median_of_medians"]
    panels = {name: f"{STATISTICS[name][0].lower()} of scores" for name in names}
    return builder.figure(
        "aggregates",
        partial(dots.intervals, table, builder.setups, panels, dict.fromkeys(panels, 1.0)),
        "Aggregated scores",
        described("Aggregated scores with intervals.", table["setup"], table["series"]),
        None,
        "Scores over all tasks, higher is better; the dashed line is the target. Bars: 95%"
        " bootstrap intervals over seeds, which may leave the picture; runs that diverged count as"
        " chance, or as the worst run.",
        "aggregates.csv",
    )


def _improvements(builder: Builder, pools: list[Pool], improved: dict[str, Improvements]) -> Figure:
    table = contests.improvements(pools, improved)
    shown = "Matrix of probabilities that a run of the row beats one of the column."
    matrix = table.assign(
        value=table["probability"],
        text=table["probability"].map("{:.2f}".format),
        hatched=~table["shown"],
    )
    return builder.figure(
        "improvement",
        partial(cells.contests, matrix, "P(row beats column)", "PuOr"),
        "Probability of improvement",
        described(shown, table["setup"], table["ours"]),
        table,
        "Probability that a run of the row's contender scores higher than one of the column's, ties"
        " half, averaged over tasks. It tells how often, not by how much. Hatched: one half lies"
        " within the 95% interval, so no difference is shown; the level holds for all pairs of"
        " a framework together (Bonferroni).",
        small=len(pools) == 1,
    )


def _wins(builder: Builder, pools: list[Pool]) -> Figure:
    table, tasks = contests.wins(pools), max(len(pool.tasks) for pool in pools)
    shown = "Matrix of the share of tasks on which the row beats the column."
    counts = [f"{row.win * tasks:.0f}–{row.loss * tasks:.0f}" for row in table.itertuples()]
    matrix = table.assign(value=table["win"], hatched=False, text=counts)
    return builder.figure(
        "wins",
        partial(cells.contests, matrix, "share of tasks won", "Blues"),
        "Win matrix",
        described(shown, table["setup"], table["ours"]),
        table,
        f"Tasks won and lost by the row's contender against the column's, of {tasks}: those on"
        " which Welch's 95% interval of the difference of mean scores excludes 0. The others are"
        " not shown to differ, which does not make them equal. Each task's interval has its level"
        " alone: of 20 comparisons without any difference one is won or lost by chance.",
        small=len(pools) == 1,
    )


def _ranked(setup: str, found: Ranks) -> str:
    return joined(
        f"Appendix, {setup}: ranks of mean scores over {found.tasks} tasks, which are the sample;"
        " seeds add nothing.",
        "" if found.friedman_p is None else f"Friedman's p is {found.friedman_p:.3g}.",
        found.warning or "",
        "A large p says that there are too few tasks, not that optimizers are equal. Ranks also"
        " discard by how much.",
    )
