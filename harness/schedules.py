"""Learning-rate schedules: pure functions from the step to the learning rate, in float64.

Every framework is handed the same table, so no library's own schedule (and its rounding, or its off-by-one) takes
part. `t` counts updates from 0; `steps` is the length of the run. Lengths may be given in steps (1 or more) or as a
fraction of the run (below 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .errors import nearest
from .spec import ScheduleSpec

Array = np.ndarray


@dataclass(frozen=True)
class Schedule:
    """A schedule: its function (t float64[n], steps, base_lr, **params) -> float64[n], and its parameters' defaults."""

    name: str
    summary: str
    function: Callable[..., Array]
    params: Mapping[str, float]
    source: str


def in_steps(length: float, steps: int) -> float:
    """A length below 1 is a fraction of the run, else a number of steps; at least 1."""
    return max(1.0, round(length * steps) if length < 1 else length)


def _constant(t: Array, steps: int, base_lr: float) -> Array:
    return np.full_like(t, base_lr)


def _step(t: Array, steps: int, base_lr: float, every: float, factor: float) -> Array:
    return base_lr * factor ** np.floor(t / in_steps(every, steps))


def _exponential(t: Array, steps: int, base_lr: float, every: float, factor: float) -> Array:
    return base_lr * factor ** (t / in_steps(every, steps))


def _cosine(t: Array, steps: int, base_lr: float, final_fraction: float) -> Array:
    progress = np.minimum(t / steps, 1.0)
    return base_lr * (final_fraction + (1.0 - final_fraction) * 0.5 * (1.0 + np.cos(np.pi * progress)))


def _warmup_cosine(t: Array, steps: int, base_lr: float, warmup: float, final_fraction: float) -> Array:
    rise = in_steps(warmup, steps)
    # (t + 1) / rise: the first update already moves; a first rate of 0 would be a wasted step.
    fall = _cosine(t - rise, int(max(1.0, steps - rise)), base_lr, final_fraction)
    return np.where(t < rise, base_lr * (t + 1.0) / rise, fall)


_ALL = (
    Schedule("constant", "the base rate throughout", _constant, {}, "-"),
    Schedule(
        "step", "times `factor` every `every`", _step, {"every": 1 / 3, "factor": 0.1}, "He et al. (2016), 3.4"
    ),
    Schedule(
        "exponential", "times `factor` per `every`, continuously", _exponential, {"every": 1 / 3, "factor": 0.3}, "-"
    ),
    Schedule(
        "cosine",
        "half a cosine down to `final_fraction` of the base rate",
        _cosine,
        {"final_fraction": 0.0},
        "Loshchilov & Hutter (2017), arXiv:1608.03983, eq. 5, one cycle",
    ),
    Schedule(
        "warmup_cosine",
        "linear rise over `warmup`, then half a cosine",
        _warmup_cosine,
        {"warmup": 0.1, "final_fraction": 0.0},
        "Goyal et al. (2017), arXiv:1706.02677, 2.2, then cosine",
    ),
)
SCHEDULES: Mapping[str, Schedule] = {schedule.name: schedule for schedule in _ALL}

_RANGES = {"every": (1e-9, np.inf), "warmup": (1e-9, np.inf), "factor": (1e-12, 1.0), "final_fraction": (0.0, 1.0)}


def complete(spec: ScheduleSpec) -> ScheduleSpec:
    """The spec with every parameter filled in. ValueError names an unknown schedule or parameter, or a bad value."""
    if spec.kind not in SCHEDULES:
        raise ValueError(f"no schedule {spec.kind!r}{nearest(spec.kind, SCHEDULES)}")
    defaults = SCHEDULES[spec.kind].params
    for key, value in spec.params.items():
        if key not in defaults:
            raise ValueError(f"schedule {spec.kind} has no parameter {key!r}{nearest(key, defaults)}")
        low, high = _RANGES[key]
        if not low <= value <= high:
            raise ValueError(f"schedule {spec.kind}: {key} = {value:g} is outside [{low:g}, {high:g}]")
    return spec.model_copy(update={"params": {**defaults, **spec.params}})


def table(spec: ScheduleSpec, steps: int) -> Array:
    """The learning rate of every update: float64[steps]."""
    full = complete(spec)
    t = np.arange(steps, dtype=np.float64)
    return SCHEDULES[spec.kind].function(t, steps, full.base_lr, **full.params)
