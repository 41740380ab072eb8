"""Checks of a suite before it is expanded: all names are known, and its runs are not too many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .. import limits
from ..errors import UserError, nearest
from ..importpath import ImportPath
from ..registry import Registry
from .file import Suite, SuiteFile, as_list, optimizer_entry
from .hyper import swept
from .setups import modes_of, setups


def check_names(suite: Suite, registry: Registry) -> None:
    """UserError: file, key, and nearest valid name of an unknown one."""
    for key, kind, names, known in _named(suite.content, registry):
        for name in names:
            if name not in known:
                raise UserError(f"{suite.file}: {key}: no {kind} {name!r}{nearest(name, known)}")
    by_framework = {} if suite.content.modes == "all" else suite.content.modes
    for framework, modes in by_framework.items():
        offered = registry.frameworks[framework].modes
        for mode in modes:
            if mode not in offered:
                raise UserError(
                    f"{suite.file}: modes.{framework}: no mode {mode!r}{nearest(mode, offered)}"
                )


Named = tuple[str, str, Sequence[str], Mapping[str, object]]


def _named(content: SuiteFile, registry: Registry) -> Iterator[Named]:
    """(key, kind, names given, names known)."""
    optimizers = [optimizer_entry(each).name for each in content.optimizers]
    yield "tasks", "task", content.tasks, registry.tasks
    yield "frameworks", "framework", content.frameworks, registry.frameworks
    if content.modes != "all":
        yield "modes", "framework", list(content.modes), registry.frameworks
    yield "optimizers", "optimizer", optimizers, registry.optimizers
    if timing := content.timing:
        own = dict.fromkeys(content.tasks)
        yield "timing.tasks", "task of this suite", timing.tasks or (), own
        own = dict.fromkeys(optimizers)
        yield "timing.optimizers", "optimizer of this suite", timing.optimizers or (), own


def check_paths(suite: Suite, paths: Iterable[ImportPath], more: Iterable[str] = ()) -> None:
    """UserError: an import path of a framework that is not among the suite's, or `more`."""
    known = [*suite.content.frameworks, *more]
    for path in paths:
        if path.framework not in known:
            raise UserError(
                f"{suite.file}: optimizers: {path}: the suite's frameworks lack {path.framework},"
                f" the only one that can run it ({', '.join(known)})"
            )


def check_size(suite: Suite, registry: Registry) -> None:
    """UserError if there are more runs than limits.RUNS. Counts them without making them."""
    count = _count(suite.content, registry)
    if count > limits.RUNS:
        raise UserError(
            f"{suite.file}: {count:,} runs are more than can be planned, {limits.RUNS:,}; take"
            " fewer seeds, launches, rates or variations, or split the suite"
        )


# Keys whose lists are crossed with each other.
_CROSSED = (
    *("tasks", "batch_sizes", "activation", "initializer", "hidden", "depth", "normalization"),
    *("regularization", "train_fractions", "schedules"),
)


def _count(content: SuiteFile, registry: Registry) -> int:
    rates = content.learning_rate_grid.points if content.learning_rate_grid else 1
    updates = sum(
        (len(entry.learning_rate) if isinstance(entry.learning_rate, list) else rates)
        * math.prod(
            len(swept(registry.optimizers[entry.name], name, value))
            for name, value in entry.hyper.items()
        )
        for entry in map(optimizer_entry, content.optimizers)
    )
    settings = updates * len(setups(content))
    settings *= math.prod(len(getattr(content, name) or (1,)) for name in _CROSSED)
    settings *= content.search.draws if content.search else 1
    modes = (modes_of(content, registry.frameworks[name], True) for name in content.frameworks)
    settings *= sum(map(len, modes))
    count = 0
    if content.convergence:
        seeds = content.seeds if isinstance(content.seeds, int) else len(content.seeds)
        count += settings * len(as_list(content.convergence.rule)) * seeds
    if content.timing:
        count += settings * content.timing.launches * len(content.timing.inputs)
    return count
