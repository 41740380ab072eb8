"""Ranks of optimizers over tasks, for an appendix: with few tasks these tests find little."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .holm import holm
from .intervals import Array


class PairedTest(NamedTuple):
    """Wilcoxon's signed-rank test of two optimizers over tasks. p_holm: corrected for all pairs."""

    a: str
    b: str
    p: float
    p_holm: float


class Ranks(NamedTuple):
    """Mean ranks over tasks, 1 the best, and the tests of their equality.

    ranks: float[optimizers, tasks], ties shared. mean_ranks: float[optimizers]. friedman_p: None
    for fewer than three optimizers. smallest_p: the least that a pair can reach with so many tasks,
    smallest_p_holm after Holm's correction. warning: the sentence on power, None if every pair
    could be told apart at alpha."""

    optimizers: tuple[str, ...]
    tasks: int
    ranks: Array
    mean_ranks: Array
    friedman_p: float | None
    pairs: tuple[PairedTest, ...]
    smallest_p: float
    smallest_p_holm: float
    warning: str | None


def rank_tests(scores: Mapping[str, Array], higher_is_better: bool, alpha: float = 0.05) -> Ranks:
    """Friedman's test and all pairs by Wilcoxon's signed-rank test with Holm's correction.

    scores: per optimizer float[tasks], one aggregate over seeds a task, the same tasks in the same
    order, on one scale (Wilcoxon's test compares differences between tasks). A diverged optimizer
    has the worst score of the task.

    Demšar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", sections 3.1.3
    and 3.2.2 (Friedman); Benavoli, Corani & Mangili 2016, "Should We Really Use Post-Hoc Tests
    Based on Mean-Ranks?", for Wilcoxon instead of Nemenyi: a pair's verdict must not depend on who
    else took part. Holm 1979. Wilcoxon's p is exact (scipy's "auto": by permutation if differences
    tie or vanish). Assumes that tasks are independent draws of the tasks one cares about."""
    from scipy import stats

    names = tuple(scores)
    table = _table(scores)
    ranks = stats.rankdata(-table if higher_is_better else table, axis=0)
    tasks = table.shape[1]
    pairs = list(combinations(range(len(names)), 2))
    raw = [_wilcoxon(table[row], table[column]) for row, column in pairs]
    tests = tuple(
        PairedTest(names[row], names[column], p, corrected)
        for (row, column), p, corrected in zip(pairs, raw, holm(np.array(raw)), strict=True)
    )
    smallest = smallest_wilcoxon_p(tasks)
    smallest_holm = min(1.0, smallest * len(pairs))
    warning = _warning(tasks, len(pairs), smallest, smallest_holm, alpha)
    found = (ranks.mean(axis=1), _friedman(table), tests, smallest, smallest_holm, warning)
    return Ranks(names, tasks, ranks, *found)


def smallest_wilcoxon_p(tasks: int) -> float:
    """The least two-sided p of the signed-rank test, 2^(1 - n): one side wins all tasks."""
    return min(1.0, 2.0 ** (1 - tasks))


def _table(scores: Mapping[str, Array]) -> Array:
    """float[optimizers, tasks], checked."""
    rows = [np.asarray(row, dtype=np.float64) for row in scores.values()]
    shapes = [row.shape for row in rows]
    if len(rows) < 2 or len(set(shapes)) > 1 or rows[0].ndim != 1 or rows[0].size == 0:
        need = "ranks need two optimizers or more with scores of the same tasks"
        raise UserError(f"{need}, not {shapes}")
    for name, row in zip(scores, rows, strict=True):
        if not np.isfinite(row).all():
            raise UserError(
                f"{name}: a score is NaN or infinite; give a diverged optimizer the worst score of"
                " the task"
            )
    return np.stack(rows)


def _friedman(table: Array) -> float | None:
    if len(table) < 3:
        return None
    if (table == table[0]).all():
        return 1.0
    from scipy import stats

    return float(stats.friedmanchisquare(*table).pvalue)


def _wilcoxon(a: Array, b: Array) -> float:
    """Two-sided p; 1 if no task differs."""
    from scipy import stats

    return 1.0 if (a == b).all() else float(stats.wilcoxon(a, b).pvalue)


def _warning(
    tasks: int, pairs: int, smallest: float, smallest_holm: float, alpha: float
) -> str | None:
    if smallest_holm < alpha:
        return None
    if smallest >= alpha:
        return (
            f"With {tasks} tasks Wilcoxon's p cannot fall below {smallest:.3g}, however large the"
            f" difference: no pair can be told apart at {alpha:g}."
        )
    return (
        f"With {tasks} tasks and {pairs} pairs the corrected p cannot fall below"
        f" {smallest_holm:.3g}, however large the difference: no pair can be told apart at"
        f" {alpha:g} once corrected."
    )
