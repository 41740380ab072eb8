"""Finds tasks, data sets, optimizers, schedules and frameworks, built in and a user's.

Nothing needs to be registered: a module in its folder, a file given by --load, or a package with an
entry point in the group `gradrace.plugins` is enough. Adapters are read, not imported (see
adapter.py), so no framework is loaded here.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .dataset import DataSet
from .errors import UserError, nearest
from .imported.optimizers import HERE, optimizer_of
from .importpath import ImportPath, Plugin, plugin_of
from .optimizer import Optimizer
from .plugins.declared import (
    check_data_of,
    check_data_set,
    check_frameworks,
    check_optimizer,
    check_schedule,
    check_task,
)
from .plugins.executed import execute, loading
from .plugins.literals import read_literals
from .schedule import Schedule
from .spec import TaskSpec

# A user's file may define these.
Declared = Optimizer | TaskSpec | Schedule | DataSet
_TABLES = ("data", "optimizer_files", "schedule_files", "task_files")


@dataclass(frozen=True)
class Framework:
    """An adapter, as far as the core knows it without importing it.

    `requires` are distribution names, "a|b" if either will do. `proof_modes`: those in which every
    piece is proven; `looped_modes`: those that compile all steps of a call into one program;
    `alone_modes`: those of which a process can hold one session, and for which versions.
    `memory_mib`: what a worker takes without data; `first_run_s`: seconds to import, to prepare a
    program, and of a step, of small models; None if that is not stated.
    `module` is a dotted name, or None for a user's file."""

    name: str
    title: str
    requires: tuple[str, ...]
    modes: tuple[str, ...]
    convergence_mode: str
    proof_modes: tuple[str, ...]
    looped_modes: tuple[str, ...]
    alone_modes: Mapping[str, str]
    file: Path
    module: str | None
    memory_mib: int | None = None
    first_run_s: tuple[float, float, float] | None = None

    def versions(self) -> dict[str, str] | None:
        """Distribution -> version in this interpreter; None if one is not installed."""
        try:
            return dict(_version(requirement) for requirement in self.requires)
        except importlib.metadata.PackageNotFoundError:
            return None

    def alone(self, mode: str, versions: Mapping[str, str]) -> bool:
        """Whether a session in this mode needs a process for itself under these versions."""
        distribution, _, limit = self.alone_modes.get(mode, "").partition("<")
        return distribution in versions and _release(versions[distribution]) < _release(limit)


@dataclass(frozen=True)
class Registry:
    """Everything by name, and the file that each optimizer, schedule and task came from.

    data: users' data sets; `data.SETS` has ours.
    `loaded`: the names that the user's own files (`plugins`) brought, by the keys of a suite
    (KINDS). `modules`: file -> dotted name, of installed plug-ins."""

    tasks: Mapping[str, TaskSpec]
    optimizers: Mapping[str, Optimizer]
    frameworks: Mapping[str, Framework]
    optimizer_files: Mapping[str, Path]
    plugins: tuple[Plugin, ...] = ()
    loaded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    modules: Mapping[Path, str] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    schedule_files: Mapping[str, Path] = field(default_factory=dict)
    data: Mapping[str, DataSet] = field(default_factory=dict)
    task_files: Mapping[str, Path] = field(default_factory=dict)


# Keys of a suite.
KINDS = ("tasks", "optimizers", "schedules", "frameworks")


def load_registry(plugins: Sequence[Plugin] = ()) -> Registry:
    """The built-in things, those of installed plug-in packages, and those of the user's files.

    An import path adds the optimizer that stands for it, without importing anything.

    UserError names a file that is missing, does not parse, raises, offers nothing, takes a name
    twice or declares something impossible. What a file prints goes to standard error."""
    built_in, plugins = _built_in(), [_plugin(each) for each in plugins]
    registry = replace(
        built_in,
        plugins=tuple(plugins),
        modules={},
        **{name: dict(getattr(built_in, name)) for name in (*KINDS, *_TABLES)},
    )
    for name, module in _installed_plugins():
        file = Path(getattr(module, "__file__", None) or name)
        registry.modules[file.resolve()] = name  # type: ignore[index]
        _add(registry, module, file)
    before = _names(registry)
    files = [plugin for plugin in plugins if isinstance(plugin, Path)]
    for file in _each_once(files):
        framework = read_framework(_readable(file), module=None)
        if framework:
            _take_name(registry.frameworks, framework.name, framework, file)
        else:
            _add(registry, execute(file), file)
    _check_frameworks(registry, built_in.optimizers)
    _check_data(registry, built_in.tasks)
    loaded = {
        key: tuple(name for name in names if name not in before[key])
        for key, names in _names(registry).items()
    }
    for plugin in plugins:
        if isinstance(plugin, ImportPath):
            _add_imported(registry, plugin)
    return replace(registry, loaded=loaded)


def _add_imported(registry: Registry, path: ImportPath) -> None:
    """UserError: an unknown framework, or two files of one name."""
    if path.framework not in registry.frameworks:
        known = nearest(path.framework, registry.frameworks)
        raise UserError(f"{path}: no framework {path.framework!r}{known}")
    if path.file and not path.file.is_file():
        raise UserError(f"{path}: no such file: {path.file}")
    optimizer, file = optimizer_of(path), path.file or Path(HERE)
    known_file = registry.optimizer_files.get(path.name, file)
    if known_file.resolve() != file.resolve():
        raise UserError(f"{path}: {known_file} has the same name; rename one of the files")
    registry.optimizers[path.name] = optimizer  # type: ignore[index]
    registry.optimizer_files[path.name] = file  # type: ignore[index]


def _each_once(files: Iterable[Path]) -> list[Path]:
    """A file that is named twice is loaded once, by its first name."""
    found: dict[Path, Path] = {}
    for file in files:
        found.setdefault(file.resolve(), file)
    return list(found.values())


def _check_frameworks(registry: Registry, built_in: Mapping[str, Optimizer]) -> None:
    """After everything is loaded: a file may name the framework of a later one."""
    for name, optimizer in registry.optimizers.items():
        if name not in built_in:
            with _named(registry.optimizer_files[name]):
                check_frameworks(optimizer, registry.frameworks)


def _check_data(registry: Registry, built_in: Mapping[str, TaskSpec]) -> None:
    """Makes users' data known to this process; a task may name those of a later file."""
    from . import data

    data.use(registry.data)
    for name, task in registry.tasks.items():
        if name not in built_in:
            with _named(registry.task_files[name]):
                check_data_of(task, registry.data)


def _names(registry: Registry) -> dict[str, tuple[str, ...]]:
    return {kind: tuple(getattr(registry, kind)) for kind in KINDS}


def import_adapter(framework: Framework) -> Any:
    """The framework's Adapter. This loads the framework, so only workers call it."""
    module = (
        importlib.import_module(framework.module) if framework.module else execute(framework.file)
    )
    if not hasattr(module, "ADAPTER"):
        raise UserError(
            f"{framework.file}: an adapter must define ADAPTER, an object as gradrace.adapter"
            " describes it"
        )
    return module.ADAPTER


@cache
def _built_in() -> Registry:
    from . import optimizers, schedules, tasks

    registry = Registry({}, {}, {}, {})
    for schedule in schedules.SCHEDULES.values():
        _add_one(registry, schedule, Path(schedules.__file__), check=False)
    for package in (tasks, optimizers):
        for info in pkgutil.iter_modules(package.__path__):
            if not info.name.startswith("_"):
                module = importlib.import_module(f"{package.__name__}.{info.name}")
                _add(registry, module, Path(module.__file__ or ""), check=False)
    for framework in sorted(_own_frameworks(), key=lambda framework: framework.title):
        _take_name(registry.frameworks, framework.name, framework, framework.file)
    return registry


def _own_frameworks() -> Iterator[Framework]:
    """Those of the modules and packages in adapters/ that state a FRAMEWORK."""
    import gradrace.adapters

    folder = Path(gradrace.adapters.__file__).parent
    for info in pkgutil.iter_modules([str(folder)]):
        file = folder / info.name / "__init__.py" if info.ispkg else folder / f"{info.name}.py"
        framework = read_framework(file, module=f"gradrace.adapters.{info.name}")
        if framework:
            yield framework


def _installed_plugins() -> Iterable[tuple[str, ModuleType]]:
    """Dotted name and module of each entry point, which may name something inside a module."""
    for entry in importlib.metadata.entry_points(group="gradrace.plugins"):
        with loading(f"the installed plug-in {entry.value!r}", None):
            entry.load()
            module = sys.modules[entry.module]
        yield entry.module, module


def _add(registry: Registry, module: ModuleType, file: Path, check: bool = True) -> None:
    """Takes every Optimizer, TaskSpec, Schedule and DataSet that the module defines. check: they
    are a user's, and may be wrong."""
    found = 0
    for value in list(vars(module).values()):
        if isinstance(value, Declared):
            found += 1
            with _named(file) if check else nullcontext():
                _add_one(registry, value, file, check)
    if not found:
        raise UserError(
            f"{file}: defines no gradrace.Optimizer, gradrace.TaskSpec, gradrace.Schedule or"
            " gradrace.DataSet"
        )


def _add_one(registry: Registry, value: Declared, file: Path, check: bool) -> None:
    checked, taken, files = _places(registry, value)
    if check:
        checked(value)
    _take_name(taken, value.name, value, file)
    # A file may import an optimizer of another one, to build upon it.
    files.setdefault(value.name, file)


def _places(registry: Registry, value: Declared) -> tuple[Callable[[Any], None], Any, Any]:
    """The check of such a value, the table that it belongs to, and that of its file."""
    match value:
        case TaskSpec():
            return check_task, registry.tasks, registry.task_files
        case DataSet():
            return check_data_set, registry.data, {}
        case Schedule():
            return check_schedule, registry.schedules, registry.schedule_files
    return check_optimizer, registry.optimizers, registry.optimizer_files


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """UserErrors begin with the file."""
    try:
        yield
    except UserError as error:
        text = str(error)
        raise UserError(
            text if text.startswith(str(file)) else f"{file}: {text}", error.exit_code
        ) from None


def _take_name(taken: Any, name: str, value: Any, file: Path) -> None:
    if name in taken and taken[name] is not value:
        raise UserError(f"{file}: the name {name!r} is taken already; choose another one")
    taken[name] = value


def _readable(file: Path) -> Path:
    if not file.is_file():
        raise UserError(f"{file}: no such file (--load takes a Python file)")
    return file


def _plugin(given: Plugin) -> Plugin:
    """A package is known by its `__init__.py`. An import path may come as a Path of its text, which
    is all that a worker of another commit can make of it."""
    plugin = plugin_of(str(given))
    if isinstance(plugin, ImportPath):
        return plugin
    inner = plugin / "__init__.py"
    return inner if inner.is_file() else plugin


def read_framework(file: Path, module: str | None) -> Framework | None:
    """The literals at the top of an adapter's file; None if it is none. Errors: literals.py."""
    stated = read_literals(file)
    if stated is None:
        return None
    return Framework(
        name=stated["FRAMEWORK"],
        title=stated["TITLE"],
        requires=tuple(stated["REQUIRES"]),
        modes=tuple(stated["MODES"]),
        convergence_mode=stated["CONVERGENCE_MODE"],
        proof_modes=tuple(stated.get("PROOF_MODES", stated["MODES"])),
        looped_modes=tuple(stated.get("LOOPED_MODES", ())),
        alone_modes=dict(stated.get("ALONE_MODES", {})),
        memory_mib=stated.get("MEMORY_MIB"),
        first_run_s=stated.get("FIRST_RUN_S"),
        file=file,
        module=module,
    )


def _release(version: str) -> list[int]:
    """The numbers at the front of a version: 2.11.0+cu130 gives 2, 11, 0."""
    numbers = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return [int(part) for part in numbers[0].split(".")] if numbers else []


@cache
def _version(requirement: str) -> tuple[str, str]:
    """(distribution, version) of the first installed one of 'a|b|c'."""
    for distribution in requirement.split("|"):
        try:
            return distribution, importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise importlib.metadata.PackageNotFoundError(requirement)
