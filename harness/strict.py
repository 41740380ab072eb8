"""The base of every value that a file, a plug-in or a worker may bring: immutable, no unknown keys, no guessed types."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

_SCALARS = ("bool", "int", "float", "str")


def _make_strict(node: Any) -> None:
    """Marks every scalar below this node of a core schema."""
    if isinstance(node, dict):
        if node.get("type") in _SCALARS:
            node["strict"] = True
        for value in node.values():
            _make_strict(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _make_strict(value)


class Strict(BaseModel):
    """A frozen model without unknown keys, whose numbers are numbers: `true` and "3" are not, and 3.0 is no count.

    A whole number may stand for a float. Lists may stand for tuples, as JSON and TOML have no others; pydantic's own strict
    mode refuses them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _make_strict(schema)
        return schema
