"""A command's options are fields of a frozen dataclass; typer sees a parameter for each.

run.Arguments is an example. A field is Annotated[TYPE, Option(DEFAULT, ...)]; tuple[TYPE, ...] is
an option that may be repeated. A default of the field itself goes before the option's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, Field, fields
from inspect import Parameter, Signature
from types import GenericAlias
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Made = TypeVar("Made")


def expanded(command: Callable[[Any], None]) -> Callable[..., None]:
    """The command as typer takes it: with the fields of its parameter `args` as parameters."""
    kind = get_type_hints(command)["args"]
    hints = get_type_hints(kind, include_extras=True)
    parameters = [_parameter(field, *get_args(hints[field.name])) for field in fields(kind)]

    @functools.wraps(command)
    def call(**values: Any) -> None:
        frozen = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        command(kind(**frozen))

    call.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def fill(kind: type[Made], args: object, **others: Any) -> Made:
    """A dataclass made of `others` and of the fields of `args` that have the same names."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    shared = {name: getattr(args, name) for name in names if hasattr(args, name)}
    return kind(**shared | others)


def _parameter(field: Field[Any], kind: Any, option: Any) -> Parameter:
    if get_origin(kind) is tuple:
        kind = GenericAlias(list, get_args(kind)[:1])
    if field.default is not MISSING:
        option = copy(option)
        option.default = field.default
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=option, annotation=kind)
