"""Executes users' files as modules, and says what is wrong with them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from ..errors import UserError, is_file, line_in
from ..jsonfile import first_problem
from ..output.silenced import off_stdout
from .absent import missing_package


def execute(file: Path) -> ModuleType:
    """Runs a user's file as a module; its folder becomes the last on the path of modules.

    Whatever it raises becomes a UserError with the file and line; only Ctrl-C passes."""
    name = _module_name(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"{file}: not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    with loading(str(file), file):
        spec.loader.exec_module(module)
    return module


def run_file(file: Path) -> ModuleType:
    """The module of a user's file, executed once in a process. UserError with its file and line."""
    return plugin_module(file) or execute(file)


def plugin_module(file: Path) -> ModuleType | None:
    """The module of a user's file that was executed, the last time; None if it was not."""
    return sys.modules.get(_module_name(file))


def _module_name(file: Path) -> str:
    """Of two files of one name, the second has a number."""
    place = str(file.resolve())
    stem = file.resolve().parent.name if file.name == "__init__.py" else file.stem
    name, number = f"gradrace_plugin_{stem}", 1
    while _NAMED.setdefault(name, place) != place:
        number += 1
        name = f"gradrace_plugin_{stem}_{number}"
    return name


# Module name -> the user's file, as long as the process lives.
_NAMED: dict[str, str] = {}


def is_user_file(path: str) -> bool:
    """Whether it is a user's file that was executed."""
    return path in _NAMED.values() or str(Path(path).resolve()) in _NAMED.values()


@contextmanager
def loading(source: str, file: Path | None) -> Iterator[None]:
    """A user's code runs inside: it prints to standard error, and raises UserErrors."""
    try:
        with off_stdout():
            yield
    except KeyboardInterrupt:
        raise
    except SyntaxError as error:
        elsewhere = error.filename and not (file and is_file(error.filename, file))
        inside = f": {error.filename}" if elsewhere else ""
        line = f", line {error.lineno}" if error.lineno else ""
        raise UserError(f"{source}{inside}{line}: {error.msg}") from error
    except BaseException as error:
        place = f", line {line_in(error, file) or '?'}" if file else " cannot be loaded"
        raise UserError(f"{source}{place}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    """One line: the missing package, the wrong field of a task, or the error as it is."""
    if package := missing_package(error):
        return f"not installed: {package} (pip install {package})"
    if isinstance(error, ValidationError):
        return f"{error.title}: {first_problem(error)}"
    try:
        text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    # A user's exception may have no text.
    except Exception:
        text = "it has no text"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
