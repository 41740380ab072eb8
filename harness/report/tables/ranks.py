"""Mean ranks over tasks with their tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...statistics.ranks import Ranks, rank_tests
from .contenders import Pool

ALPHA = 0.05


def of_pools(pools: Sequence[Pool]) -> dict[str, Ranks]:
    """The ranks of mean scores over seeds, by setup, for pools with two tasks or more."""
    return {pool.setup: rank_tests(_means(pool), True) for pool in pools if len(pool.tasks) > 1}


def _means(pool: Pool) -> dict[str, np.ndarray]:
    return {name: np.array([of.mean() for of in tasks]) for name, tasks in pool.scores.items()}


def table(found: dict[str, Ranks]) -> pd.DataFrame:
    """One row a contender: setup, series, mean_rank, tasks, friedman_p, differs_from."""
    columns = ["setup", "series", "mean_rank", "tasks", "friedman_p", "differs_from"]
    rows = [
        (setup, name, float(rank), ranks.tasks, ranks.friedman_p, ", ".join(differs))
        for setup, ranks in found.items()
        for name, rank, differs in zip(
            ranks.optimizers, ranks.mean_ranks, _differs(ranks), strict=True
        )
    ]
    return pd.DataFrame(rows, columns=columns)


def _differs(ranks: Ranks) -> list[list[str]]:
    """Of each contender those that it differs from."""
    found: dict[str, list[str]] = {name: [] for name in ranks.optimizers}
    for pair in ranks.pairs:
        if pair.p_holm < ALPHA:
            found[pair.a].append(pair.b)
            found[pair.b].append(pair.a)
    return list(found.values())
