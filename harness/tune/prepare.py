"""From names and numbers on a command line to a study that can run, or to a UserError."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import data, limits, schedules
from ..describing import described
from ..errors import UserError, located, nearest
from ..imported.arguments import check_hyper
from ..importpath import ImportPath, Plugin, is_import_path
from ..jsonfile import first_problem
from ..optimizer import Optimizer
from ..plugins.executed import plugin_module
from ..registry import Registry, load_registry
from ..spec import ScheduleSpec, TaskSpec
from ..strict import given as shown_value
from ..suite.hyper import offered
from .samplers import check_sampler
from .space import spaces_of
from .study import Combination, SpaceFile, StudyFile

FILE = re.compile(r"^(?P<file>.+\.py)(?::(?P<name>[A-Za-z0-9_.-]+))?$")


@dataclass(frozen=True)
class StudyRequest:
    """optimizers: names, import paths, or FILE.py:NAME; nested: '5x3'; others: fields of StudyFile.

    interpreters: as of sweep.Options."""

    tasks: tuple[str, ...]
    optimizers: tuple[str, ...]
    frameworks: tuple[str, ...]
    spaces: tuple[str, ...] = ()
    nested: str | None = None
    load: tuple[Path, ...] = ()
    others: Mapping[str, Any] | None = None
    interpreters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PreparedStudy:
    """A study with its searches and their parts."""

    study: StudyFile
    combinations: tuple[Combination, ...]
    registry: Registry


def prepare(request: StudyRequest) -> PreparedStudy:
    """Checks everything before anything runs. UserError for the unknown and the impossible."""
    others = dict(request.others or {})
    _check_numbers(others)
    check_sampler(others["sampler"])
    registry = _registry(request)
    optimizers = _optimizers(request.optimizers, registry)
    frameworks = _frameworks(request.frameworks, registry, optimizers)
    nested = _folds(request.nested)
    tasks = [_task(name, registry, others) for name in _some(request.tasks, "--task")]
    found = spaces_of(optimizers, request.spaces)
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
    combinations = tuple(
        Combination(task, optimizer, registry.frameworks[framework], fold, registry.schedules)
        for task in tasks
        for framework in frameworks
        for optimizer in optimizers
        if offered(optimizer, [framework])
        for fold in folds
    )
    return PreparedStudy(study, combinations, registry)


def _registry(request: StudyRequest) -> Registry:
    """With all files and import paths that are named, each of these looked at by its framework."""
    plugins: list[Plugin] = [*request.load]
    for name in request.optimizers:
        if is_import_path(name):
            plugins.append(_path(name))
        elif matched := FILE.fullmatch(name):
            plugins.append(Path(matched["file"]))
    return described(load_registry(tuple(dict.fromkeys(plugins))), request.interpreters)


def _path(name: str) -> ImportPath:
    try:
        return ImportPath.parse(name)
    except UserError as error:
        raise UserError(f"--optimizer {error}") from None


def _check_numbers(others: Mapping[str, Any]) -> None:
    for name in ("budget", "seeds", "fresh_seeds", "seed", "steps", "batch_size", "threads"):
        value, low = others.get(name), 0 if name == "seed" else 1
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
    chosen = (_named(name, registry) for name in _some(names, "--optimizer"))
    return list({each.name: each for group in chosen for each in group}.values())


def _named(name: str, registry: Registry) -> list[Optimizer]:
    if is_import_path(name):
        found: Optimizer = registry.optimizers[_path(name).name]
        with located("--optimizer"):
            check_hyper(found, _path(name).framework, {})
        return [found]
    if FILE.fullmatch(name):
        return _of_file(name, registry)
    return [_known(name, registry.optimizers, "optimizer")]


def _of_file(text: str, registry: Registry) -> list[Optimizer]:
    """The optimizer of a user's file by variable or name; all of the file's if none is named."""
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
        hint = nearest(wanted, [optimizer.name for optimizer in own])
        raise UserError(f"--optimizer {text}: no such optimizer{hint}")
    return chosen


def _known(name: str, things: Mapping[str, Any], kind: str) -> Any:
    if name not in things:
        raise UserError(f"--{kind}: no {kind} {name!r}{nearest(name, things)}")
    return things[name]


def _frameworks(
    names: Sequence[str], registry: Registry, optimizers: Sequence[Optimizer]
) -> list[str]:
    """The named frameworks, or those of the import paths, or the first that is installed.

    UserError for an import path of another framework."""
    for name in names:
        _known(name, registry.frameworks, "framework")
    paths = [each.imported for each in optimizers if each.imported]
    if paths and not names:
        return list(dict.fromkeys(path.framework for path in paths))
    for path in paths:
        if path.framework not in names:
            raise UserError(
                f"--optimizer {path}: only {path.framework} can run it, and --framework says"
                f" {', '.join(names)}"
            )
    installed = (name for name, known in registry.frameworks.items() if known.versions())
    return list(dict.fromkeys(names)) or [*installed][:1]


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
    """Folds exist, no run chooses by an outer fold, a batch fits the smallest training split."""
    if study.nested is None:
        samples = data.training_samples(task.data)
    else:
        _check_foldable(task, study.schedule)
        outer, inner = study.nested
        pairs = itertools.product(range(outer), range(inner))
        try:
            names = [data.Folds(outer, o, inner, i).name(task.data) for o, i in pairs]
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
            " are given, or go by time"
        )
    if schedule == "plateau" or task.early_stopping:
        what = "the schedule plateau" if schedule == "plateau" else f"early stopping of {task.name}"
        raise UserError(
            f"--nested-cv: {what} follows the validation loss, and an outer fold must not choose"
            " anything"
        )
