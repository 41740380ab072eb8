"""The base of every value that a file, a plug-in or a worker may bring: immutable, no unknown keys,
no guessed types, and texts that are harmless."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from .output.escaping import clean

_SCALARS = ("bool", "int", "float", "str")


def _make_strict(node: Any) -> None:
    """Marks every scalar below this node of a core schema, lets texts through `clean`, and keeps
    whole numbers in 64 bits.
    """
    if isinstance(node, dict):
        if node.get("type") in _SCALARS:
            node["strict"] = True
        if node.get("type") in ("str", "any"):
            _clean_first(node)
            return
        if node.get("type") == "int":
            _bound_last(node)
            return
        if node.get("function") in (_CLEANED, _BOUNDED):
            return
        for value in node.values():
            _make_strict(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _make_strict(value)


def _cleaned(value: Any) -> Any:
    """The value with the texts in it made harmless; anything may hold some."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(each) for key, each in value.items()}
    return list(map(_cleaned, value)) if isinstance(value, list) else value


def _bounded(value: int) -> int:
    if value.bit_length() > 63:
        raise ValueError(f"expected a number of at most 64 bits, not {given(value)}")
    return value


_CLEANED = {"type": "no-info", "function": _cleaned}
_BOUNDED = {"type": "no-info", "function": _bounded}


def _clean_first(node: dict[str, Any]) -> None:
    """Replaces a schema of texts, or of anything, by one that cleans them first."""
    text = dict(node)
    node.clear()
    node.update({"type": "function-before", "function": _CLEANED, "schema": text})


def _bound_last(node: dict[str, Any]) -> None:
    """Replaces a schema of whole numbers by one that refuses what no array can hold."""
    number = dict(node)
    node.clear()
    node.update({"type": "function-after", "function": _BOUNDED, "schema": number})


class Strict(BaseModel):
    """A frozen model without unknown keys, whose numbers are numbers: `true` and "3" are not, and
    3.0 is no count.

    Texts are made harmless, see escaping.clean. A whole number may stand for a float. Lists may
    stand for tuples, as JSON and TOML have no others; pydantic's own strict mode refuses them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        _make_strict(schema)
        return schema


# What a value should have been, by pydantic's type of error; {name} are parts of the error's
# context.
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "finite_number": "a finite number",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "mapping_type": "a table",
    "literal_error": "{expected}",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "multiple_of": "a multiple of {multiple_of}",
    "string_pattern_mismatch": "text like {pattern}",
}
# What the patterns of our models mean.
_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "letters, digits, '_', '.' and '-' after a letter or digit",
    r"^[0-9a-f]{24}$": "24 hexadecimal digits",
}
# As much of a value as a message shows, in characters.
_SHOWN = 80


def expected(problem: Mapping[str, Any]) -> str | None:
    """What one of pydantic's errors wanted, for people: "a whole number". None if it is not about a
    value's form.
    """
    text = _EXPECTED.get(problem["type"])
    if text is None:
        return None
    if problem["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(problem["ctx"]["pattern"], text.format(**problem["ctx"]))
    context = {
        key: f"{v:g}" if isinstance(v, float) else v for key, v in problem.get("ctx", {}).items()
    }
    return (
        text.format(**context)
        .replace("at least 1 entries", "at least one entry")
        .replace("False", "false")
    )


def given(value: Any) -> str:
    """A value as a message shows it, cut off if it is long."""
    try:
        text = repr(value)
    # A whole number of thousands of digits has no text.
    except ValueError:
        text = (
            f"a number of {value.bit_length()} bits"
            if isinstance(value, int)
            else "something too long to show"
        )
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# Names of our models and of types, which pydantic puts into the place of an error.
_OURS = re.compile(r"[A-Z]|.*\[|(str|int|float|bool|list|constrained-\w+|literal)$")


def place_of(problem: Mapping[str, Any]) -> list[int | str]:
    """Where one of pydantic's errors is, as keys and numbers of entries that stand in the file."""
    return [part for part in problem["loc"] if isinstance(part, int) or not _OURS.match(str(part))]


def explained(problem: Mapping[str, Any]) -> str:
    """One of pydantic's errors in our words, without its place."""
    if problem["type"] == "missing":
        return "is missing"
    if problem["type"] == "extra_forbidden":
        return "unknown key"
    if wanted := expected(problem):
        return f"expected {wanted}, not {given(problem['input'])}"
    return str(problem["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
