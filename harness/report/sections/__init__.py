"""Sections of a suite's part, a module each. Every one takes the suite's Writer; one without parts
is left out of the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..content import Section
from . import (
    aggregates,
    architecture,
    batch_sizes,
    breakdown,
    convergence,
    diagnosis,
    initializers,
    learning_rates,
    native,
    profiles,
    random_search,
    regularization,
    schedules,
    step_time,
    summary,
    targets,
    tuning,
)

if TYPE_CHECKING:
    from ..page import Writer

# In the order of the page.
SECTIONS: tuple[Callable[[Writer], Section], ...] = (
    summary.section,
    convergence.section,
    targets.section,
    aggregates.section,
    profiles.section,
    learning_rates.section,
    tuning.tuning,
    batch_sizes.section,
    schedules.section,
    initializers.section,
    regularization.section,
    architecture.section,
    native.section,
    random_search.section,
    diagnosis.diagnosis,
    step_time.section,
    step_time.throughput,
    breakdown.section,
    breakdown.costs,
)
