"""Pure functions from arrays to numbers. Times in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class StepTime(NamedTuple):
    """Seconds per step over the blocks of one launch: first quartile, median, 99th percentile,
    mean.

    p25 compares: it moves least between launches. mean adds up: so many steps take so many times
    it, slow ones included."""

    p25: float
    median: float
    p99: float
    mean: float


def step_time(steps: Array, wall_ns: Array) -> StepTime:
    """From blocks (steps int[n], wall_ns int[n]) to seconds per step.

    p25 compares because it moves least between launches of a contended machine: 0.4 to 0.9% against
    0.5 to 1.3% for the median and 2 to 8% for the mean. Interpolated linearly between blocks
    (Hyndman & Fan 1996, definition 7). The mean is all time over all steps, so that longer blocks
    count for more."""
    steps, wall = np.asarray(steps), np.asarray(wall_ns) * 1e-9
    p25, median, p99 = (float(value) for value in np.percentile(wall / steps, [25, 50, 99]))
    return StepTime(p25, median, p99, float(wall.sum() / steps.sum()))


# What one tick of /proc/stat counts for on all common Linux systems (USER_HZ is 100).
TICK_NS = 10_000_000


def contended(
    wall_ns: Array, cpu_ns: Array, involuntary_switches: Array, steal_ticks: Array | None = None
) -> bool:
    """Whether others disturbed the timing: in more than half of the blocks the worker was pushed
    off its core, by another process or by the hypervisor, and got less than 95% of it; or the
    hypervisor took more than 5% of all blocks' time.

    Waiting of its own accord (a sleep, a device) is not contention. A tick is long against a block,
    so stolen time is also judged over all of them.
    """
    wall, stolen = (
        np.asarray(wall_ns),
        (np.zeros(len(wall_ns)) if steal_ticks is None else np.asarray(steal_ticks)),
    )
    starved, pushed = (
        np.asarray(cpu_ns) < 0.95 * wall,
        (np.asarray(involuntary_switches) > 0) | (stolen > 0),
    )
    return bool(
        np.mean(starved & pushed) > 0.5 or float(stolen.sum()) * TICK_NS > 0.05 * float(wall.sum())
    )


def first_reaching(steps: Array, metric: Array, target: float) -> int | None:
    """The first step whose metric is at least the target (larger is better), or None."""
    reached = np.flatnonzero(np.asarray(metric) >= target)
    return int(steps[reached[0]]) if reached.size else None


def median_time(times: Array | Sequence[float], reached: Array | Sequence[bool]) -> float:
    """The median of censored times: where the Kaplan-Meier curve falls below one half, as R's
    survfit has it.

    times: float[runs], when a run reached the target, or how long it was trained without (infinity:
    longer than any that arrived). reached: bool[runs]. If the curve
    is exactly one half over an interval, the median is the middle of the interval; infinite if no
    later arrival ends it, or if the curve stays above one half. So it is the ordinary median when
    nothing is censored, and that of times with infinity for a miss when all were trained equally
    long. Runs are counted in whole numbers: no rounding decides. NaN for no runs."""
    times, reached = np.asarray(times, dtype=np.float64), np.asarray(reached, dtype=bool)
    if not times.size:
        return float("nan")
    at, arrived = np.unique(times[reached], return_counts=True)
    at_risk = times.size - np.searchsorted(np.sort(times), at, side="left")
    remaining, half, began = Fraction(1), Fraction(1, 2), float("nan")
    for time, count, risk in zip(at.tolist(), arrived.tolist(), at_risk.tolist(), strict=True):
        # What remains is exactly one half from `began` until this arrival.
        at_half = remaining == half
        remaining *= Fraction(risk - count, risk)
        if at_half:
            return (began + time) / 2
        if remaining < half:
            return float(time)
        began = time
    return float("inf")
