"""Calls of a library's classes as data: made here, or written in a script."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradrace.binding import target_of
from gradrace.errors import UserError, nearest
from gradrace.imported.aliases import learning_rate_argument
from gradrace.imported.optimizers import optimizer_of
from gradrace.importpath import ImportPath

# Arguments that take another optimizer, in the spellings of Keras and Optax.
_INNER = (
    "inner_optimizer",
    "base_optimizer",
    "fast_optimizer",
    "adv_optimizer",
    "optimizer",
    "inner",
    "opt",
    "tx",
)
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class ImportedClass:
    """A class or factory by its import path, and its signature.

    parameters: those that can be given by name; of a class that hands **kwargs to its base, the
        base's too."""

    path: ImportPath
    make: Callable[..., Any]
    parameters: Mapping[str, inspect.Parameter]

    @property
    def rate_argument(self) -> str | None:
        """The learning rate's argument, if there is one."""
        return learning_rate_argument(self.parameters)

    @property
    def inner_arguments(self) -> list[str]:
        """Required arguments that take another optimizer."""
        return [name for name in _INNER if name in self.parameters and _required(self, name)]

    @property
    def defaults(self) -> dict[str, Any]:
        """Argument -> default, in JSON's types, others as their repr."""
        empty = inspect.Parameter.empty
        given = ((name, each.default) for name, each in self.parameters.items())
        return {name: _in_json(default) for name, default in given if default is not empty}

    @property
    def floats(self) -> dict[str, float]:
        """Argument -> default, of those whose default is a float."""
        given = ((name, each.default) for name, each in self.parameters.items())
        return {name: default for name, default in given if type(default) is float}

    def check(self, hyper: Iterable[str]) -> None:
        """UserError for a name that the signature lacks."""
        for name in hyper:
            if name not in self.parameters:
                known = nearest(name, self.parameters)
                raise UserError(f"{self.path.name} has no argument {name!r}{known}")

    def missing(self, given: Collection[str | None]) -> list[str]:
        """Required arguments that are not among these."""
        return [name for name in self.parameters if _required(self, name) and name not in given]


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


@functools.lru_cache(maxsize=64)
def imported_class(path: ImportPath) -> ImportedClass:
    """The same object for each use of a path, since compiled programs are found by it.

    UserError for a path at which there is no callable, or that fails while it is imported.
    ImportError passes."""
    try:
        make = target_of(optimizer_of(path).bindings[path.framework], "native")
        parameters = dict(_parameters(make))
    except (UserError, ImportError):
        raise
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{path}: its import fails with {said(error)}") from error
    return ImportedClass(path, make, parameters)


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


def _required(imported: ImportedClass, name: str) -> bool:
    return imported.parameters[name].default is inspect.Parameter.empty


def _parameters(make: Callable[..., Any]) -> Iterator[tuple[str, inspect.Parameter]]:
    """Named parameters, in order; each name once, from the most derived class that has it."""
    seen = set()
    for each in _signatures(make):
        for name, parameter in each.parameters.items():
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and name != "self" and name not in seen:
                seen.add(name)
                yield name, parameter
        if all(each.kind != each.VAR_KEYWORD for each in each.parameters.values()):
            return


def _signatures(make: Callable[..., Any]) -> list[inspect.Signature]:
    """Of a class, that of its own __init__ and those of its bases'."""
    bases = make.__mro__[:-1] if inspect.isclass(make) else ()
    own = [vars(base)["__init__"] for base in bases if "__init__" in vars(base)]
    return list(map(inspect.signature, own or [make]))


def _in_json(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_in_json(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _in_json(each) for key, each in value.items()}
    return value if isinstance(value, _PLAIN) else repr(value)


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
