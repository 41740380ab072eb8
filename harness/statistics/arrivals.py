"""Steps to a target, reached or not: the first arrival of one run, and the median over runs."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

Array = np.ndarray


def first_reaching(steps: Array, metric: Array, target: float) -> int | None:
    """The first step whose metric is at least the target (larger is better), or None."""
    reached = np.flatnonzero(np.asarray(metric) >= target)
    return int(steps[reached[0]]) if reached.size else None


def median_time(times: Array | Sequence[float], reached: Array | Sequence[bool]) -> float:
    """The median of censored times: the Kaplan-Meier curve falls below one half, as R's survfit.

    times: float[runs], the time of arrival, or the length of a training without (infinity: longer
    than any that arrived). reached: bool[runs]. If the curve is exactly one half over an interval,
    the median is the middle of the interval; infinite if no later arrival ends it, or if the curve
    stays above one half. So it is the ordinary median if nothing is censored, and that of times
    with infinity for a miss if all were trained equally long. Runs are counted in whole numbers: no
    rounding decides. NaN for no runs."""
    times, reached = np.asarray(times, dtype=np.float64), np.asarray(reached, dtype=bool)
    if not times.size:
        return float("nan")
    at, arrived = np.unique(times[reached], return_counts=True)
    at_risk = times.size - np.searchsorted(np.sort(times), at, side="left")
    remaining, half, began = Fraction(1), Fraction(1, 2), float("nan")
    for time, count, risk in zip(at.tolist(), arrived.tolist(), at_risk.tolist(), strict=True):
        # The curve is exactly one half from `began` until this arrival.
        at_half = remaining == half
        remaining *= Fraction(risk - count, risk)
        if at_half:
            return (began + time) / 2
        if remaining < half:
            return float(time)
        began = time
    return float("inf")
