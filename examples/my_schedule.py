"""A user's own schedule: a constant rate with a cooldown in the shape of 1 - sqrt.

    gradrace list schedules --load examples/my_schedule.py
    gradrace run quick --load examples/my_schedule.py --seeds 1    beside the suite's own schedules

A suite names it like a built-in one, optionally with parameters and a warm-up:

    schedules = ["cosine", { kind = "sqrt_cooldown", params = { cooldown = 0.4, warmup = 0.05 } }]
"""

from __future__ import annotations

import numpy as np
from gradrace import Schedule, ScheduleParam


def factor(step: np.ndarray, steps: int, cooldown: float) -> np.ndarray:
    """The learning rate of each step, counted from 0, over the base rate."""
    fall = max(1.0, cooldown * steps)
    progress = np.clip((step - (steps - fall)) / fall, 0.0, 1.0)
    return 1.0 - np.sqrt(progress)


SCHEDULE = Schedule(
    name="sqrt_cooldown",
    summary="the base rate, then 1 - sqrt of the progress over the last `cooldown`",
    function=factor,
    params={"cooldown": ScheduleParam(0.2, "share of the run", low=0.0, high=1.0)},
    source=(
        "Hägele et al. (2024), Scaling Laws and Compute-Optimal Training Beyond Fixed Training"
        " Durations, arXiv:2405.18392, 3: the (1-sqrt) cooldown"
    ),
)
