"""Aggregates of scores over tasks: each turns one array of seeds per task into one number.

Scores of different tasks must share a scale before they are pooled: see `normalised`. Every
aggregate takes a sequence of float[..., seeds], one per task, works on the last axis and gives
float[...]; tasks weigh the same, however many seeds they have.
`bootstrap.bootstrap_interval(scores, interquartile_mean)` gives the interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import UserError
from .intervals import LEVEL, Array, Interval, check_level


def interquartile_mean(tasks: Sequence[Array]) -> Array:
    """Mean of the middle half of all scores (Agarwal et al. 2021, section 4.3). Any direction.

    Scores on the border of a quarter count by their share inside, so that tasks weigh the same with
    unequal numbers of seeds; equals scipy.stats.trim_mean(scores, 0.25) if four divides the number
    of scores."""
    values = np.concatenate([np.asarray(task, dtype=np.float64) for task in tasks], axis=-1)
    weights = np.concatenate(
        [np.full(task.shape[-1], 1 / (len(tasks) * task.shape[-1])) for task in tasks]
    )
    if len({task.shape[-1] for task in tasks}) == 1:
        return np.sort(values, axis=-1) @ _inside(weights)
    order = np.argsort(values, axis=-1, kind="stable")
    return (np.take_along_axis(values, order, axis=-1) * _inside(weights[order])).sum(axis=-1)


def _inside(weights: Array) -> Array:
    """The part of each weight [..., n], in the order of the scores, between the quarters; sum 1."""
    above = np.cumsum(weights, axis=-1)
    return 2 * np.clip(np.minimum(above, 0.75) - np.maximum(above - weights, 0.25), 0, None)


def median_of_means(tasks: Sequence[Array]) -> Array:
    """Median over tasks of the mean over seeds: rliable's "median". Any direction.

    Agarwal et al. 2021, section 4.3. Says nothing of the worse half of the tasks, and one diverged
    seed moves its task's mean."""
    return np.median(_means(tasks), axis=0)


def median_of_medians(tasks: Sequence[Array]) -> Array:
    """Median over tasks of the median seed: unmoved if less than half of a task's seeds diverge."""
    return np.median(np.stack([np.median(task, axis=-1) for task in tasks]), axis=0)


def mean(tasks: Sequence[Array]) -> Array:
    """Mean over tasks of the mean over seeds. Any direction."""
    return _means(tasks).mean(axis=0)


def optimality_gap(tasks: Sequence[Array], goal: float = 1.0) -> Array:
    """Mean shortfall of scores (higher is better) from the goal; surpluses do not make up for it.

    The lower the better, 0 at best (Agarwal et al. 2021, section 4.3).
    """
    return _means([np.clip(goal - np.asarray(task), 0, None) for task in tasks]).mean(axis=0)


def normalised(score: Array | float, worst: float, best: float) -> Array:
    """Scores rescaled: `worst` (chance, the untrained loss) is 0, `best` (target, best known) is 1.

    Higher is better afterwards in any case; nothing is clipped. UserError if both ends are equal.
    """
    if worst == best or not np.isfinite([worst, best]).all():
        raise UserError(
            f"scores need two different finite ends to be put on one scale, not worst {worst} and"
            f" best {best}"
        )
    return (np.asarray(score, dtype=np.float64) - worst) / (best - worst)


def share_of_runs(count: int, runs: int, level: float = LEVEL) -> Interval:
    """A share of independent, equal runs, with Clopper and Pearson's exact interval (1934).

    UserError for no runs, or a count above their number.
    """
    if not (runs > 0 and 0 <= count <= runs):
        raise UserError(
            f"a share needs a count between 0 and the number of runs, not {count} of {runs}"
        )
    # Not scipy.stats.binomtest, which says the same: scipy.stats takes half a second to import.
    from scipy import special

    tail = (1 - check_level(level)) / 2
    low = special.betaincinv(count, runs - count + 1, tail) if count else 0.0
    high = special.betaincinv(count + 1, runs - count, 1 - tail) if count < runs else 1.0
    return Interval(count / runs, float(low), float(high), level)


def share_of_samples(share: float, samples: int, level: float = LEVEL) -> Interval:
    """An accuracy on so many independent samples, with Wilson's score interval (1927).

    It covers other samples of that size, and has a width even at 0 and 1. The share may be a mean
    over seeds that were scored on the same samples. UserError for no samples, or a share outside
    of 0 to 1.
    """
    if not (samples > 0 and 0 <= share <= 1):
        raise UserError(
            f"an accuracy needs samples and a share between 0 and 1, not {share} of {samples}"
        )
    from scipy import special

    z = float(special.ndtri((1 + check_level(level)) / 2))
    shrunk = 1 + z**2 / samples
    middle = (share + z**2 / (2 * samples)) / shrunk
    half = z * np.sqrt(share * (1 - share) / samples + z**2 / (4 * samples**2)) / shrunk
    return Interval(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)), level)


def _means(tasks: Sequence[Array]) -> Array:
    return np.stack([np.asarray(task).mean(axis=-1) for task in tasks])
