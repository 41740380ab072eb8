"""The optimizers, hyperparameters, learning rates and schedules of a suite."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from .. import schedules
from ..errors import located
from ..optimizer import Optimizer
from ..plugins.space import RATE, published
from ..registry import Registry
from ..spec import OptimizerSpec, ScheduleSpec, UpdateRule
from . import draws
from .draws import Draw
from .file import OptimizerEntry, ScheduleEntry, Suite, as_list, optimizer_entry
from .groups import with_groups
from .hyper import combinations, rules_of

Rules = Sequence[UpdateRule]


def updates(
    suite: Suite, registry: Registry, rules: Rules, draw: Draw
) -> Iterator[tuple[OptimizerSpec, ScheduleSpec]]:
    """Every optimizer x rule x hyperparameters x learning rate x schedule that is trained."""
    for entry, rule in _entries(suite, registry, rules):
        own = _own(suite, registry, entry, draw)
        rates = _rates(suite, entry, registry.optimizers[entry.name], own)
        for spec in _hypers(suite, registry, entry, rule, own):
            for rate, schedule in itertools.product(rates, suite.content.schedules):
                yield spec, _schedule(suite, registry, schedule, rate)


def optimizers(
    suite: Suite, registry: Registry, rules: Rules, draw: Draw, plain_native: bool = False
) -> Iterator[OptimizerSpec]:
    """Every optimizer x rule x hyperparameters. plain_native: the native rule of our own optimizers
    has the libraries' numbers alone, since the entries' are of the canonical rule."""
    for entry, rule in _entries(suite, registry, rules):
        own = _own(suite, registry, entry, draw)
        if plain_native and rule == "native" and not registry.optimizers[entry.name].imported:
            entry = entry.model_copy(update={"hyper": {}})
            own = replace(own, hyper={})
        yield from _hypers(suite, registry, entry, rule, own)


def _own(suite: Suite, registry: Registry, entry: OptimizerEntry, draw: Draw) -> Draw:
    """The draw as this optimizer has it."""
    rate = set() if entry.learning_rate is None else {RATE}
    space = published(registry.optimizers[entry.name])
    return draws.own(suite.content.search, draw, space, {*entry.hyper, *rate})


def _entries(
    suite: Suite, registry: Registry, rules: Rules
) -> Iterator[tuple[OptimizerEntry, UpdateRule]]:
    for entry in map(optimizer_entry, suite.content.optimizers):
        for rule in rules_of(registry.optimizers[entry.name], rules):
            yield entry, rule


def _hypers(
    suite: Suite, registry: Registry, entry: OptimizerEntry, rule: UpdateRule, draw: Draw
) -> Iterator[OptimizerSpec]:
    """Every combination of an entry's hyperparameters; those not named are the library's own under
    the native rule."""
    hyper, place = {**entry.hyper, **draw.hyper}, f"{suite.file}: optimizers"
    optimizer, frameworks = registry.optimizers[entry.name], suite.content.frameworks
    for chosen in combinations(optimizer, rule, hyper, frameworks, place):
        spec = OptimizerSpec(name=entry.name, rule=rule, hyper=chosen)
        yield with_groups(spec, entry.groups, registry.optimizers, frameworks, place)


def _rates(suite: Suite, entry: OptimizerEntry, optimizer: Optimizer, draw: Draw) -> list[float]:
    """The drawn rate, else the entry's, else the optimizer's; with the suite's grid around it."""
    if draw.learning_rate is not None:
        return [draw.learning_rate]
    own = optimizer.learning_rate if entry.learning_rate is None else entry.learning_rate
    grid = suite.content.learning_rate_grid
    return grid.around(own) if grid and not isinstance(own, list) else as_list(own)


def _schedule(
    suite: Suite, registry: Registry, given: str | ScheduleEntry, rate: float
) -> ScheduleSpec:
    entry = ScheduleEntry(kind=given) if isinstance(given, str) else given
    spec = ScheduleSpec(kind=entry.kind, base_lr=rate, params=entry.params)
    with located(f"{suite.file}: schedules"):
        return schedules.complete(spec, registry.schedules)
