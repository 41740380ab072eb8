"""Step times and the parts of a step from timed blocks: pure functions. Times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .intervals import Array, Interval, difference_scale, ratio_scale


class StepTime(NamedTuple):
    """Seconds per step over the blocks of one launch.

    p25 compares: it moves least between launches. mean adds up, slow steps included."""

    p25: float
    median: float
    p99: float
    mean: float


def step_time(steps: Array, wall_ns: Array) -> StepTime:
    """From blocks (steps int[n], wall_ns int[n]) to seconds per step.

    Between launches of a contended machine p25 moves by 0.4 to 0.9%, the median by 0.5 to 1.3%, the
    mean by 2 to 8%. Interpolated linearly between blocks (Hyndman & Fan 1996, definition 7). The
    mean is all time over all steps: longer blocks count for more."""
    steps, wall = np.asarray(steps), np.asarray(wall_ns) * 1e-9
    p25, median, p99 = (float(value) for value in np.percentile(wall / steps, [25, 50, 99]))
    return StepTime(p25, median, p99, float(wall.sum() / steps.sum()))


# One tick of /proc/stat on all common Linux systems (USER_HZ is 100).
TICK_NS = 10_000_000


def contended(
    wall_ns: Array, cpu_ns: Array, involuntary_switches: Array, steal_ticks: Array | None = None
) -> bool:
    """Whether others disturbed the timing.

    In more than half of the blocks the worker was pushed off its core, by another process or by the
    hypervisor, and got less than 95% of it; or the hypervisor took more than 5% of all blocks' time
    (a tick is long against a block). Waiting for a sleep or a device is no contention.
    """
    wall = np.asarray(wall_ns)
    stolen = np.zeros(len(wall)) if steal_ticks is None else np.asarray(steal_ticks)
    starved = np.asarray(cpu_ns) < 0.95 * wall
    pushed = (np.asarray(involuntary_switches) > 0) | (stolen > 0)
    often = np.mean(starved & pushed) > 0.5
    return bool(often or float(stolen.sum()) * TICK_NS > 0.05 * float(wall.sum()))


# Differences of two times, which may be 0 or below, and sums: their mean is the arithmetic one.
_ADDED = ("backward", "remainder", "step_mean")


def parts_of_launch(steps: Array, wall_ns: Array, part: Array) -> dict[str, float]:
    """Seconds of each part of a step in one launch, from its blocks (int[n], int[n], str[n]).

    forward: the loss alone. backward: gradient - forward. optimizer: the update, timed alone:
    subtracting two long times (step - gradient) would be noisier, and would hold the remainder.
    remainder: step - forward - backward - optimizer, below 0 if the parts together take longer than
    the whole. covered: (forward + backward + optimizer) / step. All are of first quartiles over
    blocks. A part without all of its figures is left out; empty if the launch timed no parts."""
    names = {str(name): part == name for name in np.unique(part)}
    return parts({name: step_time(steps[own], wall_ns[own]).p25 for name, own in names.items()})


def parts(timed: Mapping[str, float]) -> dict[str, float]:
    """The same from the seconds of step, forward, gradient and update that were timed."""
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
