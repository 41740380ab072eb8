"""The optimizers, hyperparameters, learning rates and schedules of a suite."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from .. import schedules
from ..errors import UserError, located
from ..optimizer import Optimizer
from ..registry import Registry
from ..spec import OptimizerSpec, ScheduleSpec, UpdateRule
from .draws import Draw
from .file import OptimizerEntry, ScheduleEntry, Suite, as_list, optimizer_entry

Rules = Sequence[UpdateRule]


def updates(
    suite: Suite, registry: Registry, rules: Rules, draw: Draw
) -> Iterator[tuple[OptimizerSpec, ScheduleSpec]]:
    """Every optimizer x rule x hyperparameters x learning rate x schedule that is trained."""
    for given, rule in itertools.product(suite.content.optimizers, rules):
        entry = optimizer_entry(given)
        if rule == "native" and (entry.hyper or draw.hyper):
            raise UserError(
                f"{suite.file}: optimizers: {entry.name}: the native rule takes the library's own"
                " hyper"
            )
        rates = _rates(suite, entry, registry.optimizers[entry.name], draw)
        for spec in _hypers(suite, registry, entry, rule, draw):
            for rate, schedule in itertools.product(rates, suite.content.schedules):
                yield spec, _schedule(suite, registry, schedule, rate)


def optimizers(
    suite: Suite, registry: Registry, rules: Rules, draw: Draw
) -> Iterator[OptimizerSpec]:
    """Every optimizer x rule x hyperparameters."""
    for given, rule in itertools.product(suite.content.optimizers, rules):
        yield from _hypers(suite, registry, optimizer_entry(given), rule, draw)


def _hypers(
    suite: Suite, registry: Registry, entry: OptimizerEntry, rule: UpdateRule, draw: Draw
) -> Iterator[OptimizerSpec]:
    """Every combination of an entry's hyperparameters; none of them under the native rule."""
    if rule == "native":
        yield OptimizerSpec(name=entry.name, rule=rule)
        return
    hyper = {**entry.hyper, **draw.hyper}
    for combination in itertools.product(*map(as_list, hyper.values())):
        with located(f"{suite.file}: optimizers"):
            given = dict(zip(hyper, combination, strict=True))
            chosen = registry.optimizers[entry.name].hypers(given)
        yield OptimizerSpec(name=entry.name, rule=rule, hyper=chosen)


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
