"""Calls of a library's classes as data: made here, or written in a script."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from gradrace.binding import target_of
from gradrace.errors import UserError, nearest
from gradrace.imported.aliases import learning_rate_argument
from gradrace.imported.arguments import missing_arguments
from gradrace.imported.optimizers import optimizer_of
from gradrace.imported.signature import arguments_of
from gradrace.importpath import ImportPath
from gradrace.optimizer import Argument

# Arguments that take another optimizer, in the spellings of Keras and Optax.
INNER = (
    "inner_optimizer",
    "base_optimizer",
    "fast_optimizer",
    "adv_optimizer",
    "optimizer",
    "inner",
    "opt",
    "tx",
)


@dataclass(frozen=True, eq=False)
class ImportedClass:
    """A class or factory and its arguments.

    path: where it is found, for messages and scripts. hands_on: it takes **kwargs, which go to
    another."""

    path: ImportPath
    make: Callable[..., Any]
    arguments: Mapping[str, Argument]
    hands_on: bool = False

    @classmethod
    def of(cls, path: ImportPath, make: Callable[..., Any]) -> Self:
        """Reads the signature."""
        try:
            kinds = {each.kind for each in inspect.signature(make).parameters.values()}
        except (TypeError, ValueError):
            # Written in C: nothing is known.
            kinds = {inspect.Parameter.VAR_KEYWORD}
        return cls(path, make, arguments_of(make), inspect.Parameter.VAR_KEYWORD in kinds)

    @property
    def rate_argument(self) -> str | None:
        """The learning rate's argument, if there is one; a wrapper hands none on."""
        found = learning_rate_argument(self.arguments)
        handed_on = self.hands_on and not self.inner_arguments
        return found or ("learning_rate" if handed_on else None)

    @property
    def inner_arguments(self) -> list[str]:
        """Required arguments that take another optimizer."""
        return [name for name in INNER if name in self.arguments and self.arguments[name].required]

    @property
    def defaults(self) -> dict[str, Any]:
        """Argument -> default, in JSON's types, others as their text."""
        return {name: _in_json(each) for name, each in self.arguments.items() if not each.required}

    @property
    def floats(self) -> dict[str, float]:
        """Argument -> default, of those whose default is a float."""
        given = ((name, each.default) for name, each in self.arguments.items())
        return {name: default for name, default in given if type(default) is float}

    def check(self, hyper: Collection[str], given: Collection[str | None]) -> None:
        """UserError for a name that the signature lacks, or one that it wants and nobody gave.

        given: what it gets beside hyper."""
        for name in hyper:
            if name not in self.arguments:
                known = nearest(name, self.arguments)
                raise UserError(f"{self.path.name} has no argument {name!r}{known}")
        missing = missing_arguments(dict.fromkeys([*hyper, *filter(None, given)]), self.arguments)
        if missing:
            raise UserError(f"{self.path} wants arguments that nobody gave: {', '.join(missing)}")


@dataclass(frozen=True)
class Call:
    """A call by keyword; an argument may be a call too. path: what `make` is called in a script."""

    path: ImportPath
    make: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def made(self) -> Any:
        """What the call gives. Whatever the library raises passes."""
        arguments = {
            name: value.made() if isinstance(value, Call) else value
            for name, value in self.arguments.items()
        }
        return self.make(**arguments)

    def text(self, value_text: Callable[[Any], str] = repr) -> str:
        """Python's text of the call, after the lines of `imports`."""
        each = (
            f"{name}={value.text(value_text) if isinstance(value, Call) else value_text(value)}"
            for name, value in self.arguments.items()
        )
        return f"{self.path.dotted}({', '.join(each)})"

    def imports(self) -> list[str]:
        """The lines of a script that the text needs, each once."""
        inner = (each for each in self.arguments.values() if isinstance(each, Call))
        lines = [line for each in inner for line in each.imports()]
        return list(dict.fromkeys([*lines, *_imports(self.path)]))


@functools.lru_cache(maxsize=256)
def imported_class(path: ImportPath) -> ImportedClass:
    """The same object for each use of a path, since compiled programs are found by it.

    UserError for a path at which there is no callable, or that fails while it is imported.
    ImportError passes."""
    try:
        make = target_of(optimizer_of(path).bindings[path.framework], "native")
    except (UserError, ImportError):
        raise
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{path}: its import fails with {said(error)}") from error
    return ImportedClass.of(path, make)


@functools.lru_cache(maxsize=256)
def class_itself(framework: str, make: Callable[..., Any]) -> ImportedClass:
    """Of a class that was imported elsewhere; also one object for each."""
    name = getattr(make, "__qualname__", type(make).__name__)
    path = ImportPath(framework, f"{getattr(make, '__module__', '')}.{name}")
    return ImportedClass.of(path, make)


def said(error: BaseException) -> str:
    """Type and first line of an error, for a sentence."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def distribution_of(make: Callable[..., Any]) -> str:
    """As "optax 0.2.8"; "" if no distribution has its module."""
    module = str(getattr(make, "__module__", None) or "").partition(".")[0]
    if isinstance(make, functools.partial):
        return distribution_of(make.func)
    return next((f"{name} {importlib.metadata.version(name)}" for name in _owners(module)), "")


@functools.cache
def _owners(module: str) -> list[str]:
    return importlib.metadata.packages_distributions().get(module, [])


def _in_json(argument: Argument) -> Any:
    if argument.default is None and argument.shown != "None":
        return argument.shown
    return list(argument.default) if isinstance(argument.default, tuple) else argument.default


def _imports(path: ImportPath) -> list[str]:
    if path.file:
        folder, module = str(path.file.resolve().parent), path.file.stem
        first = path.dotted.partition(".")[0]
        return ["import sys", f"sys.path.insert(0, {folder!r})", f"from {module} import {first}"]
    return [f"import {_module(path.dotted)}"]


def _module(dotted: str) -> str:
    """The longest start of a dotted path that is a module."""
    parts = dotted.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
    return next((name for name in names if name in sys.modules), parts[0])
