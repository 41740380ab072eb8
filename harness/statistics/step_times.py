"""Step times and the parts of a step from timed blocks: pure functions. Times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .intervals import Array, Interval, difference_scale, ratio_scale


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
