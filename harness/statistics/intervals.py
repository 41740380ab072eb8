"""Means of launches with t intervals. The launch is the unit: blocks of one launch share its luck
(memory layout, neighbours, compiled code), and launches of the same code differ by 1 to 3% however
many blocks each has. So each launch gives one figure, and the interval is over these (Kalibera &
Jones, 2013, "Rigorous benchmarking in reasonable time", section 6).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

Array = np.ndarray

# Fewer launches have no interval worth the name: with two, a 95% t interval is 25 times their
# spread.
FEWEST_LAUNCHES = 3


class Interval(NamedTuple):
    """An estimate with its confidence limits, NaN where there are too few launches."""

    value: float
    low: float
    high: float


def ratio_scale(launches: Array, level: float = 0.95) -> Interval:
    """Geometric mean of positive figures, one a launch, with a t interval on their logarithms.

    Times are skewed to the right and change by factors; their logarithms are nearer to normal.
    """
    return Interval(
        *(
            math.exp(limit)
            for limit in _t_interval(np.log(np.asarray(launches, dtype=np.float64)), level)
        )
    )


def difference_scale(launches: Array, level: float = 0.95) -> Interval:
    """Mean of figures that may be zero or negative, one a launch, with a t interval."""
    return _t_interval(np.asarray(launches, dtype=np.float64), level)


def _t_interval(values: Array, level: float) -> Interval:
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(values.mean())
    if len(values) < FEWEST_LAUNCHES:
        return Interval(mean, math.nan, math.nan)
    from scipy import stats

    margin = float(
        stats.t.ppf((1.0 + level) / 2.0, len(values) - 1)
        * values.std(ddof=1)
        / math.sqrt(len(values))
    )
    return Interval(mean, mean - margin, mean + margin)
