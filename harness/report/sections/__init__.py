"""The sections of a suite, found by being here; each has `section` (Builder -> Section) and PLACE.

In order: fairness, summary, convergence, targets, aggregates, baseline, profiles, learning_rates,
tuning, batch_sizes, schedules, initializers, regularization, architecture, native, random_search,
diagnosis, step_time, throughput, breakdown, costs, compared, data. The page leaves out empty
ones."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from ..builder import Builder
from ..content import Section


def _found() -> tuple[Callable[[Builder], Section], ...]:
    names = (info.name for info in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(module.section for module in sorted(modules, key=lambda module: module.PLACE))


# In the order of the page.
SECTIONS = _found()
