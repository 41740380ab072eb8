"""From names and numbers on a command line to a study that can be run, or a UserError that says
what cannot be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import data, limits, schedules
from ..errors import UserError, nearest
from ..jsonfile import first_problem
from ..optimizer import Optimizer
from ..registry import Registry, load_registry, plugin_module
from ..spec import ScheduleSpec, TaskSpec
from ..strict import given as shown_value
from .samplers import check_sampler
from .space import spaces_of
from .study import Combination, SpaceFile, StudyFile

FILE = re.compile(r"^(?P<file>.+\.py)(?::(?P<name>[A-Za-z0-9_.-]+))?$")


@dataclass(frozen=True)
class StudyRequest:
    """What the user asks for. optimizers: names, or FILE.py:NAME; nested: '5x3'; others: fields of
    StudyFile.
    """

    tasks: tuple[str, ...]
    optimizers: tuple[str, ...]
    frameworks: tuple[str, ...]
    spaces: tuple[str, ...] = ()
    nested: str | None = None
    load: tuple[Path, ...] = ()
    others: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PreparedStudy:
    """A study with its searches and everything that they are made of."""

    study: StudyFile
    cells: tuple[Combination, ...]
    registry: Registry


def prepare(wish: StudyRequest) -> PreparedStudy:
    """Checks everything before anything runs. UserError for whatever is unknown, impossible or
    contradictory.
    """
    others = dict(wish.others or {})
    _check_numbers(others)
    check_sampler(others["sampler"])
    files = dict.fromkeys(
        [*wish.load, *(Path(m["file"]) for name in wish.optimizers if (m := FILE.fullmatch(name)))]
    )
    registry = load_registry(tuple(files))
    optimizers = _optimizers(wish.optimizers, registry)
    frameworks = _frameworks(wish.frameworks, registry)
    nested = _folds(wish.nested)
    tasks = [_task(name, registry, others) for name in _some(wish.tasks, "--task")]
    found = spaces_of(optimizers, wish.spaces)
    for task in tasks:
        _check_schedule(others["schedule"], optimizers[0], task, registry)
    study = _study(
        tasks=[task.name for task in tasks],
        optimizers=[optimizer.name for optimizer in optimizers],
        frameworks=frameworks,
        nested=nested,
        spaces={name: SpaceFile.of(space) for name, space in found.items()},
        **others,
    )
    for task in tasks:
        _check_data(task, study)
    folds: Sequence[int | None] = range(nested[0]) if nested else [None]
    cells = tuple(
        Combination(task, optimizer, registry.frameworks[framework], fold, registry.schedules)
        for task in tasks
        for framework in frameworks
        for optimizer in optimizers
        for fold in folds
    )
    return PreparedStudy(study, cells, registry)


def _check_numbers(others: Mapping[str, Any]) -> None:
    least = {
        "budget": 1,
        "seeds": 1,
        "fresh_seeds": 1,
        "seed": 0,
        "steps": 1,
        "batch_size": 1,
        "threads": 1,
    }
    for name, low in least.items():
        value = others.get(name)
        if value is not None and value < low:
            why = ": a search needs at least one trial" if name == "budget" else ""
            raise UserError(f"--{name.replace('_', '-')} {value}: at least {low}{why}")


def _study(**fields: Any) -> StudyFile:
    try:
        return StudyFile.model_validate(fields)
    except ValidationError as error:
        raise UserError(f"the study cannot be: {first_problem(error)}") from None


def _some(names: Sequence[str], option: str) -> tuple[str, ...]:
    """The names, each once."""
    if not names:
        raise UserError(f"{option}: at least one is needed")
    return tuple(dict.fromkeys(names))


def _optimizers(names: Sequence[str], registry: Registry) -> list[Optimizer]:
    found: dict[str, Optimizer] = {}
    for name in _some(names, "--optimizer"):
        chosen = (
            _of_file(name, registry)
            if FILE.fullmatch(name)
            else [_known(name, registry.optimizers, "optimizer")]
        )
        found |= {optimizer.name: optimizer for optimizer in chosen}
    return list(found.values())


def _of_file(text: str, registry: Registry) -> list[Optimizer]:
    """The optimizer that a user's file keeps under this variable or name; all of the file's where
    none is named.
    """
    matched = FILE.fullmatch(text)
    assert matched, "the caller has seen that it is a file"
    file, wanted = Path(matched["file"]), matched["name"]
    own = [
        registry.optimizers[name]
        for name, origin in registry.optimizer_files.items()
        if origin.resolve() == file.resolve()
    ]
    if not own:
        raise UserError(f"--optimizer {text}: {file} defines no gradrace.Optimizer")
    if wanted is None:
        return own
    variable = getattr(plugin_module(file), wanted, None)
    chosen = [optimizer for optimizer in own if optimizer is variable or optimizer.name == wanted]
    if not chosen:
        raise UserError(
            f"--optimizer {text}: no such"
            f" optimizer{nearest(wanted, [optimizer.name for optimizer in own])}"
        )
    return chosen


def _known(name: str, things: Mapping[str, Any], kind: str) -> Any:
    if name not in things:
        raise UserError(f"--{kind}: no {kind} {name!r}{nearest(name, things)}")
    return things[name]


def _frameworks(names: Sequence[str], registry: Registry) -> list[str]:
    """Those named; else the first that is installed."""
    for name in names:
        _known(name, registry.frameworks, "framework")
    return (
        list(dict.fromkeys(names))
        or [name for name, known in registry.frameworks.items() if known.versions()][:1]
    )


def _folds(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    matched = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text)
    numbers = (int(matched[1]), int(matched[2])) if matched else (0, 0)
    if not all(2 <= number <= limits.FOLDS for number in numbers):
        raise UserError(
            f"--nested-cv {shown_value(text)}: expected OUTERxINNER, each from 2 to {limits.FOLDS},"
            " such as 5x3"
        )
    return numbers


def _task(name: str, registry: Registry, others: Mapping[str, Any]) -> TaskSpec:
    """The task with the study's own length and batch size."""
    task: TaskSpec = _known(name, registry.tasks, "task")
    given = {key: others.get(key) for key in ("steps", "batch_size")}
    task = task.model_copy(update={key: value for key, value in given.items() if value is not None})
    limits.check_indices(name, task.steps, task.batch_size)
    return task


def _check_schedule(kind: str, optimizer: Optimizer, task: TaskSpec, registry: Registry) -> None:
    spec = ScheduleSpec(kind=kind, base_lr=optimizer.learning_rate)
    try:
        schedules.table(spec, task.steps, registry.schedules)
    except ValueError as error:
        raise UserError(f"--schedule: {error}") from None


def _check_data(task: TaskSpec, study: StudyFile) -> None:
    """Folds can be made, nothing in a run chooses by an outer fold, and a batch fits into the
    smallest training split.
    """
    if study.nested is None:
        samples = data.training_samples(task.data)
    else:
        _check_foldable(task, study.schedule)
        outer, inner = study.nested
        try:
            names = [
                data.Folds(outer, o, inner, i).name(task.data)
                for o in range(outer)
                for i in range(inner)
            ]
            samples = min(data.training_samples(name) for name in names)
        except ValueError as error:
            raise UserError(f"--nested-cv {outer}x{inner}: {task.name}: {error}") from None
    if task.batch_size > samples:
        raise UserError(
            f"{task.name}: batch size {task.batch_size} is larger than the {samples} training"
            " samples; --batch-size"
        )


def _check_foldable(task: TaskSpec, schedule: str) -> None:
    if not data.can_fold(task.data):
        raise UserError(
            f"--nested-cv: no folds can be made of {task.data}, the data of {task.name}; its splits"
            " are given"
        )
    if schedule == "plateau" or task.early_stopping:
        what = "the schedule plateau" if schedule == "plateau" else f"early stopping of {task.name}"
        raise UserError(
            f"--nested-cv: {what} follows the validation loss, and an outer fold must not choose"
            " anything"
        )
