"""Sections of a suite's part, a module each. Every one takes the suite's Writer; one without parts is left out of the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..content import Section
from . import breakdown, convergence, diagnosis, rates, step_time, summary, target, tuning

if TYPE_CHECKING:
    from ..page import Writer

STANDARD: tuple[Callable[[Writer], Section], ...] = (
    summary.section, convergence.section, target.section, step_time.section, step_time.throughput, breakdown.section,
    breakdown.costs, rates.section,
)  # fmt: skip
# In the order of the page, after the standard ones.
ADDED: tuple[Callable[[Writer], Section], ...] = (tuning.tuning, diagnosis.diagnosis)
