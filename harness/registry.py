"""Finds what there is to run: tasks, optimizers and frameworks, built in and from the user's own files.

Nothing needs to be registered: a module in its folder, a file given by --load, or a package with an entry point in the
group `gradrace.plugins` is enough. Adapters are read, not imported (see adapter.py), so no framework is loaded here.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import UserError
from .optimizer import Optimizer
from .spec import TaskSpec

_LITERALS = ("FRAMEWORK", "TITLE", "REQUIRES", "MODES", "CONVERGENCE_MODE")
_OPTIONAL = ("PROOF_MODES", "LOOPED_MODES")


@dataclass(frozen=True)
class Framework:
    """What the core knows of an adapter without importing it. `module` is a dotted name, or None for a user's file.

    `requires` are distribution names, "a|b" where either will do. `proof_modes` are those in which every piece is proven,
    `looped_modes` those that compile all the steps of a call into one program.
    """

    name: str
    title: str
    requires: tuple[str, ...]
    modes: tuple[str, ...]
    convergence_mode: str
    proof_modes: tuple[str, ...]
    looped_modes: tuple[str, ...]
    file: Path
    module: str | None

    def versions(self) -> dict[str, str] | None:
        """Distribution -> installed version in this interpreter; None when one is not installed."""
        try:
            return dict(_version(requirement) for requirement in self.requires)
        except importlib.metadata.PackageNotFoundError:
            return None


@dataclass(frozen=True)
class Registry:
    """Everything by name, and the file that each optimizer came from.

    `loaded` names what the user's own files (`plugins`) brought, by the keys of a suite: tasks, optimizers, frameworks.
    """

    tasks: Mapping[str, TaskSpec]
    optimizers: Mapping[str, Optimizer]
    frameworks: Mapping[str, Framework]
    optimizer_files: Mapping[str, Path]
    plugins: tuple[Path, ...] = ()
    loaded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def load_registry(plugins: Sequence[Path] = ()) -> Registry:
    """The built-in things, those of installed plug-in packages, and those of the user's files.

    UserError names a file that is missing, does not parse, raises, offers nothing or takes a name twice.
    """
    tasks, optimizers, frameworks, files = _built_in()
    registry = Registry(dict(tasks), dict(optimizers), dict(frameworks), dict(files), tuple(plugins))
    for module in _installed_plugins():
        _add(registry, module, Path(module.__file__ or module.__name__))
    before = _names(registry)
    for file in plugins:
        framework = _read_framework(_readable(file), module=None)
        if framework:
            _take_name(registry.frameworks, framework.name, framework, file)
        else:
            _add(registry, _execute(file), file)
    loaded = {key: tuple(name for name in names if name not in before[key]) for key, names in _names(registry).items()}
    return replace(registry, loaded=loaded)


def _names(registry: Registry) -> dict[str, tuple[str, ...]]:
    kinds = ("tasks", "optimizers", "frameworks")
    return {kind: tuple(getattr(registry, kind)) for kind in kinds}


def import_adapter(framework: Framework) -> Any:
    """The framework's Adapter; this is what loads the framework, so only workers call it."""
    module = importlib.import_module(framework.module) if framework.module else _execute(framework.file)
    return module.ADAPTER


@cache
def _built_in() -> tuple[dict[str, Any], dict[str, Any], dict[str, Framework], dict[str, Path]]:
    import gradrace.adapters

    from . import optimizers, tasks

    registry = Registry({}, {}, {}, {})
    for package in (tasks, optimizers):
        for info in pkgutil.iter_modules(package.__path__):
            if not info.name.startswith("_"):
                module = importlib.import_module(f"{package.__name__}.{info.name}")
                _add(registry, module, Path(module.__file__ or ""))
    for file in sorted(Path(gradrace.adapters.__file__).parent.glob("*.py")):
        framework = _read_framework(file, module=f"gradrace.adapters.{file.stem}")
        if framework:
            _take_name(registry.frameworks, framework.name, framework, file)
    return registry.tasks, registry.optimizers, registry.frameworks, registry.optimizer_files  # type: ignore[return-value]


def _installed_plugins() -> Iterable[ModuleType]:
    for entry in importlib.metadata.entry_points(group="gradrace.plugins"):
        try:
            yield entry.load()
        except Exception as error:
            raise UserError(f"the installed plug-in {entry.value!r} cannot be loaded: {error!r}") from error


def _add(registry: Registry, module: ModuleType, file: Path) -> None:
    """Takes every Optimizer and TaskSpec that the module defines."""
    found = 0
    for value in vars(module).values():
        if isinstance(value, Optimizer):
            _take_name(registry.optimizers, value.name, value, file)
            registry.optimizer_files[value.name] = file  # type: ignore[index]
            found += 1
        elif isinstance(value, TaskSpec):
            _take_name(registry.tasks, value.name, value, file)
            found += 1
    if not found:
        raise UserError(f"{file}: defines neither a gradrace.Optimizer nor a gradrace.TaskSpec")


def _take_name(taken: Any, name: str, value: Any, file: Path) -> None:
    if name in taken and taken[name] is not value:
        raise UserError(f"{file}: the name {name!r} is taken already; choose another one")
    taken[name] = value


def _readable(file: Path) -> Path:
    if not file.is_file():
        raise UserError(f"{file}: no such file (--load takes a Python file)")
    return file


def _execute(file: Path) -> ModuleType:
    """Runs a user's file as a module. Whatever it raises becomes a UserError with the file and line."""
    name = f"gradrace_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"{file}: not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{file}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{file}, line {_line_in(error, file)}: {type(error).__name__}: {error}") from error
    return module


def _line_in(error: BaseException, file: Path) -> int | str:
    """The line of `file` that raised, deepest frame last."""
    line: int | str = "?"
    trace = error.__traceback__
    while trace:
        if Path(trace.tb_frame.f_code.co_filename) == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _read_framework(file: Path, module: str | None) -> Framework | None:
    """The literals at the top of an adapter's file; None when it is not an adapter."""
    try:
        text = file.read_text(encoding="utf-8")
        # Most files are not, and parsing takes its time.
        if "FRAMEWORK" not in text:
            return None
        tree = ast.parse(text)
    except SyntaxError as error:
        raise UserError(f"{file}, line {error.lineno}: {error.msg}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as Python: {error}") from error
    literals, named = {}, (*_LITERALS, *_OPTIONAL)
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in named:
            literals[node.targets[0].id] = ast.literal_eval(node.value)
    if "FRAMEWORK" not in literals:
        return None
    missing = [name for name in _LITERALS if name not in literals]
    if missing:
        raise UserError(f"{file}: an adapter must also state {', '.join(missing)} as literals at its top")
    return Framework(
        name=literals["FRAMEWORK"],
        title=literals["TITLE"],
        requires=literals["REQUIRES"],
        modes=literals["MODES"],
        convergence_mode=literals["CONVERGENCE_MODE"],
        proof_modes=literals.get("PROOF_MODES", literals["MODES"]),
        looped_modes=literals.get("LOOPED_MODES", ()),
        file=file,
        module=module,
    )


@cache
def _version(requirement: str) -> tuple[str, str]:
    """(distribution, version) of the first installed one of 'a|b|c'."""
    for distribution in requirement.split("|"):
        try:
            return distribution, importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise importlib.metadata.PackageNotFoundError(requirement)
