"""Reads the arguments of a library's class; imports no framework, but is given its classes."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..optimizer import Argument
from .aliases import learning_rate_argument

_NO_NAMES = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_LONGEST_TEXT = 200


def arguments_of(target: Callable[..., Any], given: int = 0) -> dict[str, Argument]:
    """Name -> argument, in order, without the first `given`, which the framework gives.

    The names are those of `parameters_of`."""
    found = list(parameters_of(target).values())[given:]
    named = [each for each in found if each.kind is not inspect.Parameter.POSITIONAL_ONLY]
    return {each.name: _argument(each.default) for each in named}


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Name -> parameter, in order. Empty for a target without a signature.

    Names that a class accepts through `**kwargs` count only if a class that it inherits from has
    them: most classes take misspelt ones in silence."""
    found: dict[str, inspect.Parameter] = {}
    for level, parameters in enumerate(_signatures(target)):
        for name, parameter in parameters.items():
            # The inheriting class gives its base what the base cannot do without.
            asked = level == 0 or parameter.default is not inspect.Parameter.empty
            if asked and parameter.kind not in _NO_NAMES:
                found.setdefault(name, parameter)
    return found


def settable(arguments: Mapping[str, Argument]) -> dict[str, Argument]:
    """Without that of the learning rate, which has a place of its own in a suite."""
    rate = learning_rate_argument(arguments)
    return {name: each for name, each in arguments.items() if name != rate}


def _signatures(target: Callable[..., Any]) -> Iterator[Mapping[str, inspect.Parameter]]:
    """The target's own, and those of its bases for as long as `**kwargs` leads to them."""
    levels: list[Any] = [target]
    if inspect.isclass(target):
        bases = target.__mro__[1:-1]
        levels += [vars(base)["__init__"] for base in bases if "__init__" in vars(base)]
    for number, level in enumerate(levels):
        try:
            parameters = dict(inspect.signature(level).parameters)
        except (TypeError, ValueError):
            # Written in C.
            return
        if number:
            parameters.pop(next(iter(parameters), ""), None)
        yield parameters
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            return


def _argument(default: Any) -> Argument:
    if default is inspect.Parameter.empty:
        return Argument(required=True)
    if _is_plain(default):
        return Argument(
            tuple(default) if isinstance(default, list) else default, shown=str(default)
        )
    return Argument(shown=_ADDRESS.sub("", _shown(default))[:_LONGEST_TEXT])


def _is_plain(value: Any) -> bool:
    """Whether JSON has such a value."""
    if type(value) in (list, tuple):
        return all(_is_plain(each) and type(each) not in (list, tuple) for each in value)
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is str:
        return len(value) <= _LONGEST_TEXT
    return value is None or type(value) in (bool, int)


def _shown(value: Any) -> str:
    try:
        return repr(value)
    # A package's object may have no text.
    except Exception:
        return type(value).__name__
