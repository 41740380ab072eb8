"""Which cases cover the cells of a suite, the most telling first: before a deadline the last ones
may be left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from ..importpath import is_import_path
from ..registry import Registry
from ..spec import RunSpec, TaskSpec
from . import cases as tables
from .cases import Case, Selection
from .compared import compared_runs, is_known
from .verdict import REFEREE, Side


def frameworks(specs: Sequence[RunSpec]) -> tuple[str, ...]:
    """Of the suite, and the referee."""
    return tuple(dict.fromkeys([*(spec.framework for spec in specs), REFEREE]))


def selection(registry: Registry, specs: Sequence[RunSpec]) -> Selection:
    """The cases of a suite's runs. No cells: nothing in it can be compared."""
    specs = compared_runs(specs)
    everyone = frameworks(specs)
    if len(everyone) < 2:
        return Selection(frameworks=everyone)
    known = {case.id: case for case in tables.everything(registry)}
    found = chain(_rules(specs), _tasks(registry, specs, known), _trained(registry, specs))
    wanted = tuple(name for name in dict.fromkeys(found) if name in known)
    return Selection(frameworks=everyone, cells=wanted)


def _rules(specs: Sequence[RunSpec]) -> Iterator[str]:
    """Each optimizer's update rule, and each schedule's rates."""
    for name, rule in dict.fromkeys(
        (name, spec.optimizer.rule) for spec in specs for name in spec.optimizer.names
    ):
        if not is_import_path(name):
            yield f"updates/{name}/{rule}/decaying"
            yield f"updates/{name}/{rule}/decaying/matrices"
    for kind in dict.fromkeys(spec.schedule.kind for spec in specs):
        yield f"rates/{kind}/float64"


def _tasks(
    registry: Registry, specs: Sequence[RunSpec], known: Mapping[str, Case]
) -> Iterator[str]:
    """Each task trained by one optimizer; layer by layer, with its loss, if it is a varied one."""
    optimizers = [*(spec.optimizer.name for spec in specs), *tables.CORE_OPTIMIZERS]
    for task in _distinct(specs):
        trained = [f"trajectories/{task.name}/{name}" for name in dict.fromkeys(optimizers)]
        possible = [name for name in trained if name in known]
        if possible and is_known(task, registry.tasks):
            yield possible[0]
            continue
        kinds = {layer.kind for layer in task.model}
        for case in known.values():
            piece = case.name.partition("/")[0]
            if case.level == "layers" and piece in kinds and case.name in tables.QUICK_LAYERS:
                yield case.id
            if case.level == "losses" and piece == task.loss:
                yield case.id


def _trained(registry: Registry, specs: Sequence[RunSpec]) -> Iterator[str]:
    """Every task trained by each of its optimizers, an optimizer after the other."""
    pairs = {(spec.optimizer.name, spec.task.name): spec for spec in specs}
    for (optimizer, task), spec in sorted(pairs.items(), key=lambda pair: pair[0][0]):
        if spec.optimizer.rule == "canonical" and is_known(spec.task, registry.tasks):
            yield f"trajectories/{task}/{optimizer}"


def _distinct(specs: Sequence[RunSpec]) -> list[TaskSpec]:
    """Tasks that compute different things."""
    found = {(spec.task.name, spec.task.model, spec.task.loss): spec.task for spec in specs}
    return list(found.values())


def sides(case: Case, registry: Registry, names: Sequence[str]) -> list[Side]:
    """Of a case on CPUs."""
    from .compute import modes

    return [
        Side(framework=name, mode=mode)
        for name in registry.frameworks
        if name in names
        for mode in modes(case, registry.frameworks[name])
    ]
