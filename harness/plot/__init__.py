"""Figures of results for notebooks and papers; read plots.py first, which has one function each.

sections.py takes the drawings from the report's own sections, so that a plot and the report never
differ; chosen.py draws runs of one's choice together. figure.py: the style, the width, and how a
notebook shows it. saving.py: files for papers; latex.py: the summary as a table."""

from __future__ import annotations

from .plots import compare as compare
from .plots import convergence as convergence
from .plots import gradients as gradients
from .plots import learning_rate_sensitivity as learning_rate_sensitivity
from .plots import paths as paths
from .plots import performance_profile as performance_profile
from .plots import schedules as schedules
from .plots import step_times as step_times
from .plots import time_to_target as time_to_target
from .plots import tuning as tuning
