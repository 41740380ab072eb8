"""Expands a suite to its runs, in the order in which they are done."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ..errors import UserError
from ..registry import Registry
from ..spec import OptimizerSpec, RunSpec, ScheduleSpec, step_setting
from .checks import check_names, check_size
from .file import ConvergenceEntry, Suite, TimingEntry, as_list
from .groups import check_groups, named, offered
from .names import told_apart
from .setups import modes_of, setups
from .tasks import tasks, trained
from .updates import Rules, optimizers, updates

_T = TypeVar("_T")


def expand(
    suite: Suite, registry: Registry, tell: Callable[[int], None] = lambda count: None
) -> tuple[RunSpec, ...]:
    """Every run of the suite, in order, each once. `tell`: see `counted`.

    UserError names file, key and nearest valid name of anything unknown or impossible."""
    content = suite.content
    check_names(suite, registry)
    check_size(suite, registry)
    runs: list[RunSpec] = []
    if content.convergence:
        runs += counted(_converging(suite, registry, content.convergence), tell)
    if content.timing:
        runs += counted(_timed(suite, registry, content.timing), tell)
    if not runs:
        why = "both `convergence` and `timing` are off"
        if content.convergence or content.timing:
            why = "no optimizer runs in these frameworks"
        raise UserError(f"{suite.file}: nothing to run: {why}")
    return told_apart(runs, suite.file)


def counted(things: Iterable[_T], tell: Callable[[int], None]) -> Iterator[_T]:
    """The things; `tell` hears their number so far at every thousand."""
    for number, thing in enumerate(things):
        if number % 1000 == 999:
            tell(number + 1)
        yield thing


def _converging(suite: Suite, registry: Registry, entry: ConvergenceEntry) -> Iterator[RunSpec]:
    content = suite.content
    seeds = range(content.seeds) if isinstance(content.seeds, int) else content.seeds
    prepared = list(trained(suite, registry))
    for setup, (draw, task, variations) in itertools.product(setups(content), prepared):
        for optimizer, schedule in updates(suite, registry, as_list(entry.rule), draw):
            check_groups(task, optimizer, f"{suite.file}: optimizers")
            groups = named(optimizer, registry.optimizers)
            frameworks = offered(optimizer, registry.optimizers, content.frameworks)
            for framework, seed in itertools.product(frameworks, seeds):
                for mode in modes_of(content, registry.frameworks[framework], convergence=True):
                    yield RunSpec(
                        task=task,
                        optimizer=optimizer,
                        schedule=schedule,
                        framework=framework,
                        mode=mode,
                        seed=seed,
                        diagnose=content.diagnose,
                        variations={**setup.named, **variations, **draw.named, **groups},
                        **setup.fields,
                    )


def _timed(suite: Suite, registry: Registry, entry: TimingEntry) -> Iterator[RunSpec]:
    """Launch after launch of every cell, then the runs that measure memory."""
    trains = suite.content.convergence if entry.trained else False
    rules = as_list(trains.rule) if trains else []
    found = itertools.chain(
        _cells(suite, registry, entry, [entry.rule], False, bool(rules) and "native" not in rules),
        _cells(suite, registry, entry, rules, convergence=True),
    )
    cells = list({step_setting(cell): cell for cell in found}.values())
    timing = {"measure": "timing", "timing": entry.spec}
    for launch in range(entry.launches):
        yield from (cell.model_copy(update={**timing, "launch": launch}) for cell in cells)
    yield from (cell.model_copy(update={"measure": "memory"}) for cell in cells if entry.memory)


def _cells(
    suite: Suite,
    registry: Registry,
    entry: TimingEntry,
    rules: Rules,
    convergence: bool,
    plain_native: bool = False,
) -> Iterator[RunSpec]:
    """Every setting that is timed under these rules, in the modes that train or are timed.

    Step time does not depend on seed, learning rate, schedule and share of the data: one cell for
    each of the other settings."""
    content = suite.content
    prepared = [
        each
        for each in tasks(suite, registry)
        if entry.tasks is None or each.task.name in entry.tasks
    ]
    for setup, framework in itertools.product(setups(content), content.frameworks):
        modes = modes_of(content, registry.frameworks[framework], convergence)
        for mode, (draw, task, variations) in itertools.product(modes, prepared):
            timed = [
                each
                for each in optimizers(suite, registry, rules, draw, plain_native)
                if entry.optimizers is None or each.name in entry.optimizers
                if offered(each, registry.optimizers, [framework])
            ]
            for optimizer, source in itertools.product(timed, entry.inputs):
                check_groups(task, optimizer, f"{suite.file}: optimizers")
                fed = {} if source == "resident" else {"input": source}
                groups = named(optimizer, registry.optimizers)
                yield RunSpec(
                    task=task,
                    framework=framework,
                    mode=mode,
                    input=source,
                    optimizer=optimizer,
                    schedule=_constant(registry, optimizer),
                    variations={**setup.named, **variations, **fed, **groups},
                    **setup.fields,
                )


def _constant(registry: Registry, optimizer: OptimizerSpec) -> ScheduleSpec:
    rate = registry.optimizers[optimizer.name].learning_rate
    return ScheduleSpec(kind="constant", base_lr=rate)
