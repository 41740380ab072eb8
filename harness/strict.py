"""The base of every value from a file, a plug-in or a worker: immutable, no unknown keys, no
guessed types, and harmless texts; and pydantic's errors in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from .output.escaping import clean

# The `max_length` of a text that is no line but a whole script; other texts are cut sooner.
LONG_TEXT = 200_000
_SCALARS = ("bool", "int", "float", "str")


def _make_strict(node: Any) -> None:
    """Makes every scalar below this node of a core schema strict, cleans texts, bounds integers."""
    if isinstance(node, dict):
        if node.get("type") in _SCALARS:
            node["strict"] = True
        if node.get("type") in ("str", "any"):
            _clean_first(node)
            return
        if node.get("type") == "int":
            _bound_last(node)
            return
        if node.get("function") in (_CLEANED, _BOUNDED, _LONG):
            return
        for value in node.values():
            _make_strict(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _make_strict(value)


def _cleaned(value: Any) -> Any:
    """The value with all texts in it made harmless."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(each) for key, each in value.items()}
    return list(map(_cleaned, value)) if isinstance(value, list) else value


def _long(value: Any) -> Any:
    return clean(value, LONG_TEXT) if isinstance(value, str) else value


def _bounded(value: int) -> int:
    if value.bit_length() > 63:
        raise ValueError(f"expected a number of at most 64 bits, not {given(value)}")
    return value


_CLEANED = {"type": "no-info", "function": _cleaned}
_BOUNDED = {"type": "no-info", "function": _bounded}
_LONG = {"type": "no-info", "function": _long}


def _clean_first(node: dict[str, Any]) -> None:
    """Replaces a schema of texts, or of anything, by one that cleans texts first."""
    text, function = dict(node), _LONG if node.get("max_length") == LONG_TEXT else _CLEANED
    node.clear()
    node.update({"type": "function-before", "function": function, "schema": text})


def _bound_last(node: dict[str, Any]) -> None:
    """Replaces a schema of integers by one that refuses more than 64 bits."""
    number = dict(node)
    node.clear()
    node.update({"type": "function-after", "function": _BOUNDED, "schema": number})


class Strict(BaseModel):
    """A frozen model without unknown keys. `true` and "3" are no numbers, 3.0 is no count.

    Texts are made harmless, see escaping.clean. A whole number may stand for a float. Lists may
    stand for tuples, which JSON and TOML lack; pydantic's own strict mode refuses them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        _make_strict(schema)
        return schema


# The expected form by pydantic's type of error; {name} is a part of the error's context.
_EXPECTED = {
    **dict.fromkeys(("int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type", "mapping_type"), "a table"
    ),
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "finite_number": "a finite number",
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
# The patterns of our models, in words.
_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "letters, digits, '_', '.' and '-' after a letter or digit",
    r"^[0-9a-f]{24}$": "24 hexadecimal digits",
    r"^([0-9a-f]{32})?$": "32 hexadecimal digits",
}
# How many characters of a value a message shows.
_SHOWN = 80


def expected(problem: Mapping[str, Any]) -> str | None:
    """The form that one of pydantic's errors wanted, "a whole number"; None if it is about none."""
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
    """A value for a message, cut off if it is long."""
    try:
        text = repr(value)
    # A whole number of thousands of digits has no text.
    except ValueError:
        is_number = isinstance(value, int)
        return f"a number of {value.bit_length()} bits" if is_number else "too long to show"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# pydantic puts names of our models and of types into the place of an error; the user never did.
_OURS = re.compile(r"[A-Z]|.*\[|(str|int|float|bool|list|constrained-\w+|literal)$")


def place_of(problem: Mapping[str, Any]) -> list[int | str]:
    """The place of one of pydantic's errors in the file, as keys and numbers of entries."""
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
