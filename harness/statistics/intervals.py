"""Intervals: the value, Student's t limits, and means over launches.

The launch is the unit: blocks of one launch share its luck (memory layout, neighbours, compiled
code), and launches of the same code differ by 1 to 3% however many blocks each has. So each launch
gives one figure, and the interval is over these (Kalibera & Jones 2013, "Rigorous benchmarking in
reasonable time", section 6)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..errors import UserError

Array = np.ndarray

LEVEL = 0.95
# With two launches a 95% t interval is 25 times their spread: not worth the name.
FEWEST_LAUNCHES = 3


class Interval(NamedTuple):
    """An estimate with its confidence limits at `level`.

    If the data say nothing of the spread, limits of scores are infinite (one seed) and limits of
    times NaN (fewer than three launches)."""

    estimate: float
    low: float
    high: float
    level: float = LEVEL

    def excludes(self, value: float) -> bool:
        """Whether the value lies outside of the limits."""
        return not self.low <= value <= self.high


def check_level(level: float) -> float:
    """The level itself. UserError unless it lies strictly between 0 and 1."""
    if not (math.isfinite(level) and 0 < level < 1):
        raise UserError(f"a confidence level lies between 0 and 1, not at {level}; 0.95 is usual")
    return level


def t_margin(error: float, freedom: float, level: float = LEVEL) -> float:
    """Half the width of Student's two-sided interval, from a standard error."""
    from scipy import special

    return float(special.stdtrit(freedom, (1.0 + level) / 2.0) * error)


def t_interval(values: Array, level: float = LEVEL) -> Interval:
    """The mean of independent values float64[n], n >= 2, with Student's limits."""
    mean, error = float(values.mean()), values.std(ddof=1) / np.sqrt(len(values))
    margin = t_margin(error, len(values) - 1, level)
    return Interval(mean, mean - margin, mean + margin, level)


def ratio_scale(launches: Array, level: float = LEVEL) -> Interval:
    """Geometric mean of positive figures, one a launch, with a t interval on their logarithms.

    Times are skewed to the right and change by factors; their logarithms are nearer to normal.
    """
    logs = difference_scale(np.log(np.asarray(launches, dtype=np.float64)), level)
    estimate, low, high = map(math.exp, logs[:3])
    return Interval(estimate, low, high, level)


def difference_scale(launches: Array, level: float = LEVEL) -> Interval:
    """Mean of figures that may be zero or negative, one a launch, with a t interval."""
    values = np.asarray(launches, dtype=np.float64)
    if len(values) >= FEWEST_LAUNCHES:
        return t_interval(values, level)
    return Interval(float(values.mean()) if len(values) else math.nan, math.nan, math.nan, level)
