"""Intervals for statistics of scores over tasks and few seeds: the stratified bootstrap, t width.

A task is a stratum: seeds are resampled within tasks, the tasks are the ones we have and stay.
Intervals speak of other seeds on the same tasks, never of other tasks (Agarwal et al. 2021, "Deep
Reinforcement Learning at the Edge of the Statistical Precipice", section 4.1 and appendix A.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from math import factorial
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .intervals import LEVEL, Array, Interval, check_level, t_margin

Scores = Sequence[Array] | Array
Statistic = Callable[[Sequence[Array]], Array]

EXACT_UP_TO = 6
RESAMPLES = 1000
JOINT_RESAMPLES = 300
# Scores that a statistic takes at once: 8 MiB.
MOST_SCORES = 2**20
MOST_SKEWNESS = 1.0


class Spread(NamedTuple):
    """A statistic over draws of seeds: standard error, Satterthwaite's freedom, skewness."""

    error: float
    freedom: float
    skewness: float


def strata(scores: Scores, what: str = "scores") -> tuple[Array, ...]:
    """One sorted float64[seeds] per task: no answer depends on the order of seeds.

    scores: float[tasks, seeds], or one float[seeds] per task if their numbers differ. UserError for
    a task without seeds and for a score that is not finite: a diverged run has the worst score of
    its task, it is not left out."""
    tasks = tuple(np.sort(np.atleast_1d(np.asarray(task, dtype=np.float64))) for task in scores)
    if any(np.ndim(task) != 1 for task in scores):
        raise UserError(
            f"{what}: one array of seeds is needed per task, not a bare number or a table"
        )
    if not tasks:
        raise UserError(f"{what}: there is no task")
    for number, task in enumerate(tasks):
        if task.size == 0:
            raise UserError(
                f"{what}: task {number} has no seed; leave the task out for every optimizer or for"
                " none"
            )
        if not np.isfinite(task).all():
            raise UserError(
                f"{what}: task {number} holds NaN or infinity; give a diverged run the worst score"
                " of the task"
            )
    return tasks


@lru_cache(maxsize=64)
def resamples(size: int) -> tuple[Array, Array]:
    """Draws of `size` from `size` with replacement: (indices int[draws, size], probabilities
    float[draws]).

    Up to six seeds all distinct draws with their multinomial probabilities: the bootstrap is then
    exact (Hall 1992, "The Bootstrap and Edgeworth Expansion", appendix I). Above, RESAMPLES draws
    of a fixed generator."""
    if size > EXACT_UP_TO:
        draws = np.random.default_rng(size).integers(0, size, (RESAMPLES, size))
        return draws, np.full(RESAMPLES, 1 / RESAMPLES)
    draws = np.array(list(combinations_with_replacement(range(size), size)))
    counts = np.stack([(draws == index).sum(axis=1) for index in range(size)], axis=1)
    ways = factorial(size) / _factorials(size)[counts].prod(axis=1)
    return draws, ways / size**size


def _factorials(largest: int) -> Array:
    """Of 0 to `largest`."""
    return np.array([factorial(number) for number in range(largest + 1)], dtype=np.float64)


def spread(tasks: Sequence[Array], statistic: Statistic) -> Spread:
    """Standard error, degrees of freedom and skewness of statistic(tasks), from resampling seeds
    within tasks.

    First one task at a time: tasks are independent, so the second and third cumulants of these
    effects add up. Each is corrected for the few seeds R of its task: the variance by R / (R - 1),
    as residuals rescaled by sqrt(R / (R - 1)) do (Davison & Hinkley 1997, "Bootstrap Methods and
    their Application", section 2.3), the third cumulant by R^2 / ((R - 1)(R - 2)). Degrees of
    freedom: Satterthwaite (1946), each task with R - 1. Then all tasks at once, for the variance
    that no single task makes (Efron & Stein 1981, "The Jackknife Estimate of Variance", section 2):
    none for a mean, some for a median over similar tasks."""
    effects = [_effect(tasks, statistic, number) for number in range(len(tasks))]
    sizes = np.array([task.size for task in tasks], dtype=np.float64)
    weighted = [(resamples(task.size)[1], e) for task, e in zip(tasks, effects, strict=True)]
    seconds, thirds = (
        np.array([weights @ effect**power for weights, effect in weighted]) for power in (2, 3)
    )
    variances = seconds * sizes / (sizes - 1)
    together = variances.sum() + _interaction(tasks, statistic, effects)
    if variances.sum() <= np.finfo(float).tiny:
        return Spread(float(np.sqrt(together)), float((sizes - 1).sum()), 0.0)
    freedom = variances.sum() ** 2 / (variances**2 / (sizes - 1)).sum()
    known = sizes > 2
    size = sizes[known]
    skew = (thirds[known] * size**2 / ((size - 1) * (size - 2))).sum() / together**1.5
    # A mean's estimate cannot exceed 1 (one seed stands out); more is a median's jumps, not a tail.
    skew = np.clip(skew, -MOST_SKEWNESS, MOST_SKEWNESS)
    return Spread(float(np.sqrt(together)), float(freedom), float(skew))


def _effect(tasks: Sequence[Array], statistic: Statistic, number: int) -> Array:
    """float[draws]: how far each draw of this task alone moves the statistic off its mean."""
    draws, weights = resamples(tasks[number].size)

    def of(part: Array) -> Array:
        scores = [np.broadcast_to(task, (len(part), task.size)) for task in tasks]
        scores[number] = tasks[number][part]
        return statistic(scores)

    values = np.concatenate([of(part) for part in _parts(draws, tasks)])
    return values - weights @ values


def _parts(draws: Array, tasks: Sequence[Array]) -> list[Array]:
    """The draws in parts of at most MOST_SCORES scores of all tasks."""
    rows = max(1, MOST_SCORES // sum(task.size for task in tasks))
    return [draws[first : first + rows] for first in range(0, len(draws), rows)]


def _interaction(tasks: Sequence[Array], statistic: Statistic, effects: Sequence[Array]) -> float:
    """Variance of the statistic over joint draws that the single effects do not explain."""
    if len(tasks) == 1:
        return 0.0
    rng = np.random.default_rng(len(tasks))
    every = [resamples(task.size) for task in tasks]
    picks = [rng.choice(len(weights), JOINT_RESAMPLES, p=weights) for _, weights in every]
    values = statistic(
        [task[draws[pick]] for task, (draws, _), pick in zip(tasks, every, picks, strict=True)]
    )
    explained = sum(effect[pick] for effect, pick in zip(effects, picks, strict=True))
    return float((values - explained).var())


def bootstrap_interval(scores: Scores, statistic: Statistic, level: float = LEVEL) -> Interval:
    """The statistic with its interval over seeds, tasks given.

    scores: see `strata`. statistic: from one float[..., seeds] per task to float[...].

    The limits are Student's, made unsymmetrical by the estimated skewness (Hall 1992, "On the
    removal of skewness by transformation", JRSS B 54, 221-228), with the standard error and the
    degrees of freedom of `spread`. Over several tasks the skewness rests on all of their seeds; of
    a single task it is a guess from a handful, so there the limits are the wider, at each end, of
    Student's and these. Percentile and basic limits stay too narrow with 3 to 5 seeds even from
    rescaled residuals, because they know neither degrees of freedom nor tasks that vary unequally.

    Assumes independent seeds. No interval knows of an event that no seed has shown (a rare
    divergence, a long tail): see the coverages in docs/statistics.md. Seeds that all agree give an
    interval of no width, one seed an infinite one."""
    tasks = strata(scores)
    estimate = float(statistic(list(tasks)))
    check_level(level)
    if min(task.size for task in tasks) < 2:
        return Interval(estimate, -np.inf, np.inf, level)
    found = spread(tasks, statistic)
    quantile = t_margin(1.0, found.freedom, level)
    # At levels near 0 the transformation alone could put both limits on one side of the estimate.
    below = max(_unskew(quantile, found.skewness), 0.0)
    above = max(-_unskew(-quantile, found.skewness), 0.0)
    if len(tasks) == 1:
        below, above = max(below, quantile), max(above, quantile)
    return Interval(estimate, estimate - found.error * below, estimate + found.error * above, level)


def _unskew(t: float, skewness: float) -> float:
    """The inverse of Hall's cubic (1992), g(T) = T + A T^2 / 3 + A^2 T^3 / 27 + A / 6.

    g rids a t statistic of its skew.
    """
    if abs(skewness) < 1e-3:
        return t
    return float(3 / skewness * (np.cbrt(1 + skewness * (t - skewness / 6)) - 1))
