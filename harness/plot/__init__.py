"""Figures of results for notebooks and papers; read plots.py first, which has one function each.

sections.py takes the drawings from the report's own sections, so that a plot and the report never
differ; chosen.py draws runs of one's choice together. figure.py: the style, the width, and how a
notebook shows it. saving.py: files for papers; latex.py: the summary as a table."""

from __future__ import annotations

from .plots import (
    compare,
    convergence,
    gradients,
    learning_rate_sensitivity,
    paths,
    performance_profile,
    schedules,
    step_times,
    time_to_target,
    tuning,
)

__all__ = [
    "compare",
    "convergence",
    "gradients",
    "learning_rate_sensitivity",
    "paths",
    "performance_profile",
    "schedules",
    "step_times",
    "time_to_target",
    "tuning",
]


def __dir__() -> list[str]:
    return [*__all__, "__doc__"]
