"""Where in a user's file an error came about: 'mine.py, line 12', for messages of errors."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import Any, TypeVar

from ..errors import UserError
from .executed import is_user_file

Made = TypeVar("Made")
# A note of an error that begins so becomes part of its message.
FOR = "for "


def place_in(error: BaseException) -> str:
    """The deepest line of a user's file that the error went through, also on its way to the error
    that it was made of; '' if it went through none."""
    for each in _chain(error):
        found, trace = "", each.__traceback__
        while trace:
            if is_user_file(trace.tb_frame.f_code.co_filename):
                found = _shown(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
            trace = trace.tb_next
        if found:
            return found
    return ""


def place_of(function: Any) -> str:
    """Where a function, or a class's constructor, is defined, if that is in a user's file."""
    code = _code(function)
    inside = code is not None and is_user_file(code.co_filename)
    return _shown(code.co_filename, code.co_firstlineno) if code and inside else ""


def said(error: BaseException, whole: bool = False) -> str:
    """'mine.py, line 12: KeyError: 'm''; of a UserError its text alone. Its first line, or all."""
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(FOR)]
    end = f" ({notes[0]})" if notes else ""
    if isinstance(error, UserError):
        return f"{error}{end}"
    try:
        text = str(error)
    # An exception of a user's own may have no text.
    except Exception:
        text = ""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
    place = place_in(error)
    beginning = f"{place}: " if place and not text.startswith(place) else ""
    return f"{beginning}{type(error).__name__}: {text if whole else first}{end}"


def made(
    make: Callable[..., Made], rate: str, hint: str, given: tuple[Any, ...], by: Mapping[str, Any]
) -> Made:
    """make(*given, **by): an optimizer of the user's or a library's class.

    rate: the argument that takes the learning rate. hint: what the framework wants, for the
    message. UserError if the signature does not fit."""
    try:
        return make(*given, **by)
    except TypeError as error:
        problem = _misfit(make, given, by)
        if not problem:
            raise
        name = getattr(make, "__name__", type(make).__name__)
        place = place_of(make)
        others = [key for key in by if key != rate]
        wants = f"; it is given {' and '.join([rate, *others])}"
        if rate not in inspect.signature(make).parameters:
            wants += f": {hint}"
        raise UserError(f"{place}{': ' if place else ''}{name}: {problem}{wants}") from error


def _misfit(make: Callable[..., Any], given: tuple[Any, ...], by: Mapping[str, Any]) -> str:
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*given, **by)
    except TypeError as error:
        return str(error)
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        yield at
        seen.append(at)
        at = at.__cause__ or at.__context__


def _code(function: Any) -> CodeType | None:
    if isinstance(function, type):
        function = vars(function).get("__init__")
    try:
        function = inspect.unwrap(function)
    except ValueError:
        return None
    return getattr(function, "__code__", None)


def _shown(file: str, line: int) -> str:
    """The file relative to the current folder, if it lies there."""
    inside = os.path.relpath(file)
    return f"{file if inside.startswith(os.pardir) else inside}, line {line}"
