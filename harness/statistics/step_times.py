"""From timed blocks to a cell's figures with intervals: pure functions. The launch is the unit;
times in seconds.

Blocks of one launch share its luck (memory layout, neighbours, compiled code), so they are no
independent samples of a
cell: launches of the same code differ by 1 to 3% however many blocks each has. Each launch gives
one figure, and the interval is over these (Kalibera & Jones, 2013, "Rigorous benchmarking in
reasonable time", section 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .intervals import Array, step_time

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


# Differences of two timed figures, which may be zero or below; and what is added up, whose mean is
# the arithmetic one.
_ADDED = ("backward", "remainder", "step_mean")


def parts_of_launch(steps: Array, wall_ns: Array, part: Array) -> dict[str, float]:
    """Where the time of a step goes in one launch, from its blocks (int[n], int[n], str[n]):
    seconds a step.

    forward: the loss alone. backward: gradient - forward. optimizer: the update, timed alone,
    wherever an optimizer's time is spoken of: step - gradient would hold all that the parts do not,
    and subtracts two long times. remainder: step - forward - backward - optimizer, which is below 0
    if the parts together take longer than the whole. covered: (forward + backward + optimizer) /
    step. All are of first quartiles over blocks. Empty if the launch timed no parts; what lacks one
    of its figures is left out."""
    return parts(
        {
            str(name): step_time(steps[part == name], wall_ns[part == name]).p25
            for name in np.unique(part)
        }
    )


def parts(timed: Mapping[str, float]) -> dict[str, float]:
    """The same from the seconds of step, forward, gradient and update, as many of them as were
    timed.
    """
    if set(timed) <= {"step"}:
        return {}
    found: dict[str, float] = {}
    if "forward" in timed:
        found["forward"] = timed["forward"]
    if {"forward", "gradient"} <= set(timed):
        found["backward"] = timed["gradient"] - timed["forward"]
    if "update" in timed:
        found["optimizer"] = timed["update"]
    if {"gradient", "update", "step"} <= set(timed):
        found["remainder"] = timed["step"] - timed["gradient"] - timed["update"]
        found["covered"] = (timed["gradient"] + timed["update"]) / timed["step"]
    return found


def over_launches(name: str, launches: Array) -> Interval:
    """A figure or part over launches, on the scale that fits it."""
    return difference_scale(launches) if name in _ADDED else ratio_scale(launches)
