"""Mean ranks with their tests: an appendix, since with few tasks they find next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...statistics.ranks import Ranks, rank_tests
from ..content import Cell, Column, Table
from .contenders import Pool
from .shared import joined, number

if TYPE_CHECKING:
    from ..page import Writer

ALPHA = 0.05


def parts(writer: Writer, pools: list[Pool]) -> list[str | Table]:
    """Of pools with two tasks or more, one sentence each and a table; ranks are of the mean score
    over seeds.
    """
    found = {
        pool.setup: rank_tests(
            {
                name: np.array([task.mean() for task in tasks])
                for name, tasks in pool.scores.items()
            },
            True,
        )
        for pool in pools
        if len(pool.tasks) > 1
    }
    if not found:
        return []
    table = pd.DataFrame([row for setup, ranks in found.items() for row in _rows(setup, ranks)])
    columns = [
        Column("Framework"),
        Column("Optimizer"),
        Column("Mean rank", "number", "1 is the best"),
        Column("Tasks", "number"),
        Column(
            "Differs from",
            help="Wilcoxon's signed-rank test over tasks, Holm's correction, below 0.05",
        ),
    ]
    cells = [
        [
            Cell(row["setup"]),
            Cell(row["series"]),
            number(row["mean_rank"]),
            number(row["tasks"], "{:g}".format),
            Cell(row["differs_from"] or "none shown"),
        ]
        for row in table.to_dict("records")
    ]
    listed = writer.table("ranks", "Appendix: mean ranks over tasks", columns, cells, table)
    return [*(_sentence(setup, ranks) for setup, ranks in found.items()), listed]


def _sentence(setup: str, ranks: Ranks) -> str:
    friedman = "" if ranks.friedman_p is None else f"Friedman's p is {ranks.friedman_p:.3g}."
    return joined(
        f"Appendix, {setup}: ranks of mean scores over {ranks.tasks} tasks, which are the sample;"
        " seeds add nothing.",
        friedman,
        ranks.warning or "",
        "A large p says that there are too few tasks, not that optimizers are equal. Ranks also"
        " discard by how much.",
    )


def _rows(setup: str, ranks: Ranks) -> list[dict[str, Any]]:
    differs: dict[str, list[str]] = {name: [] for name in ranks.optimizers}
    for pair in ranks.pairs:
        if pair.p_holm < ALPHA:
            differs[pair.a].append(pair.b)
            differs[pair.b].append(pair.a)
    return [
        {
            "setup": setup,
            "series": name,
            "mean_rank": float(rank),
            "tasks": ranks.tasks,
            "friedman_p": ranks.friedman_p,
            "differs_from": ", ".join(differs[name]),
        }
        for name, rank in zip(ranks.optimizers, ranks.mean_ranks, strict=True)
    ]
