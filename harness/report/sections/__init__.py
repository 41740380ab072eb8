"""Sections of a suite's part, a module each. Every one takes the suite's Writer; one without parts is left out of the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..content import Section
from . import (
    aggregates,
    architecture,
    batch_sizes,
    initializers,
    learning_rates,
    native,
    profiles,
    random_search,
    regularization,
    schedules,
    targets,
)  # fmt: skip

if TYPE_CHECKING:
    from ..page import Writer

# In the order of the page, after the sections of page.py.
ADDED: tuple[Callable[[Writer], Section], ...] = (
    targets.section, aggregates.section, profiles.section, learning_rates.section, batch_sizes.section, schedules.section,
    initializers.section, regularization.section, architecture.section, native.section, random_search.section,
)  # fmt: skip
