"""The value of a tuning budget: the best score to expect after k of n trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .bootstrap import bootstrap_interval, strata
from .intervals import LEVEL, Array, Interval


class ExpectedBest(NamedTuple):
    """Expected best score after each number of trials.

    trials: int[n]; expected, low, high: float[n]. reliable_up_to: the band holds its level up to a
    quarter of the trials (docs/statistics.md); beyond, a few of them decide, and it is too narrow.
    """

    trials: Array
    expected: Array
    low: Array
    high: Array
    reliable_up_to: int
    level: float


def expected_best(scores: Array, trials: int, higher_is_better: bool) -> Array:
    """float[...]: mean best of `trials` of the scores [..., n], over choices without replacement.

    Unbiased for the best of so many new trials (Tang et al. 2020, "Showing Your Work Doesn't Always
    Work", section 3): the i-th smallest of n is the greatest of k with probability C(i - 1, k - 1)
    / C(n, k). Drawing with replacement (Dodge et al. 2019, "Show Your Work", section 3) promises
    too little. Assumes independent trials, as in random search; under a sampler that learns, the
    curve is of that search in another order, not of a shorter one."""
    ordered = np.sort(np.asarray(scores, dtype=np.float64), axis=-1)
    count = ordered.shape[-1]
    if not 1 <= trials <= count:
        raise UserError(f"the best of {trials} trials cannot be known from {count}")
    weights = np.exp(_log_choose(np.arange(count), trials - 1) - _log_choose(count, trials))
    return ordered @ (weights if higher_is_better else weights[::-1])


def expected_best_curve(
    scores: Array, higher_is_better: bool, trials: Sequence[int] | None = None, level: float = LEVEL
) -> ExpectedBest:
    """The expected best after each number of trials, by default 1 to n, with a bootstrap band.

    scores: float[n], every trial, a diverged one with the worst score. The band is
    `bootstrap_interval`'s over trials at each number, kept within the scores' range.
    """
    checked = strata([scores], "trials")
    found = checked[0]
    numbers = np.arange(1, found.size + 1) if trials is None else np.asarray(trials, dtype=int)
    bands = [_band(checked, int(number), higher_is_better, level) for number in numbers]
    expected, low, high = (
        np.array([getattr(band, name) for band in bands]) for name in ("estimate", "low", "high")
    )
    low, high = np.clip(low, found[0], None), np.clip(high, None, found[-1])
    return ExpectedBest(numbers, expected, low, high, max(1, found.size // 4), level)


def _band(scores: tuple[Array, ...], trials: int, higher_is_better: bool, level: float) -> Interval:
    return bootstrap_interval(
        scores, lambda tasks: expected_best(tasks[0], trials, higher_is_better), level
    )


def _log_choose(n: Array | int, k: int) -> Array:
    """log C(n, k), minus infinity if k exceeds n."""
    from scipy import special

    n = np.asarray(n, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        log_factorial = special.gammaln(n + 1)
        chosen = log_factorial - special.gammaln(k + 1) - special.gammaln(np.maximum(n - k, 0) + 1)
    return np.where(n < k, -np.inf, chosen)
