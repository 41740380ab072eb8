"""Many records in one JSON value: what all of them share is said once, then each record's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError

from .record import DataFacts, Machine, RunRecord
from .spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec

# Fields that are models of their own, and so are parted field by field: of a record, then of its
# spec. A dict such as `hyper` is not: its order counts, and a merged one might have another.
_Parts = Mapping[str, Any]
_PARTS: _Parts = {"spec": {"task": {}}}
# Fields that are validated once if all records share them: this takes most of a record's time.
_MODELS: Mapping[str, type[BaseModel]] = {"machine": Machine, "data": DataFacts, "spec": RunSpec}
_SPEC_MODELS: Mapping[str, type[BaseModel]] = {
    "task": TaskSpec,
    "optimizer": OptimizerSpec,
    "schedule": ScheduleSpec,
}


def parted(contents: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """JSON values of records (RunRecord.to_json, or some fields of it) as a head and their rests.

    The head holds the fields that are equal in all of them; `joined` puts them together again."""
    return _parted(contents, _PARTS)


def _parted(
    contents: Sequence[dict[str, Any]], parts: _Parts
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    head: dict[str, Any] = {}
    own: list[dict[str, Any]] = [{} for _ in contents]
    for name, first in contents[0].items() if contents else ():
        values = [content[name] for content in contents]
        if all(_same(value, first) for value in values):
            head[name] = first
            continue
        if name in parts:
            head[name], values = _parted(values, parts[name])
        for rest, value in zip(own, values, strict=True):
            rest[name] = value
    return head, own


def _same(value: Any, first: Any) -> bool:
    """Whether JSON has one text for both: 1 == 1.0 == True, and the order of a dict is not seen."""
    return value is first or (value == first and repr(value) == repr(first))


def joined(head: Any, own: Any, specs: Sequence[RunSpec] | None = None) -> list[RunRecord]:
    """The records that `parted` took apart. specs: those of the records, which then hold none.

    ValueError (pydantic's is one) or TypeError if the values are no records."""
    if not isinstance(head, dict) or not isinstance(own, list):
        raise TypeError("the records have no head, or are no list")
    for rest in own:
        if not isinstance(rest, dict):
            raise TypeError("a record is no table")
    if specs is not None:
        if "spec" in head or len(specs) != len(own):
            raise ValueError(f"{len(own)} records, with specs, for {len(specs)} runs")
        own = [{**rest, "spec": spec} for rest, spec in zip(own, specs, strict=True)]
    elif any("spec" in rest for rest in own):
        own, head = _with_specs(head, own)
    shared = _validated(head, own, _MODELS)
    return [RunRecord.model_validate(shared | rest) for rest in own]


def _with_specs(
    head: dict[str, Any], own: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rests with whole specs, and the head without."""
    rests = [rest.get("spec", {}) for rest in own]
    of_all = head.get("spec", {})
    if not all(isinstance(each, dict) for each in (of_all, *rests)):
        raise TypeError("a spec is no table")
    shared = _validated(of_all, rests, _SPEC_MODELS)
    specs = [_merged(shared, rest, _PARTS["spec"]) for rest in rests]
    whole = [{**rest, "spec": spec} for rest, spec in zip(own, specs, strict=True)]
    return whole, {name: value for name, value in head.items() if name != "spec"}


def _validated(
    head: dict[str, Any], own: Sequence[dict[str, Any]], models: Mapping[str, type[BaseModel]]
) -> dict[str, Any]:
    """The head, with models instead of their JSON if no record has fields of its own there.

    What is none stays: its record is then refused, with the whole place of the problem."""
    found = dict(head)
    for name, model in models.items():
        if name in head and not any(name in rest for rest in own):
            with suppress(ValidationError):
                found[name] = model.model_validate(head[name])
    return found


def _merged(head: dict[str, Any], own: dict[str, Any], parts: _Parts) -> dict[str, Any]:
    """Both, with the parts merged field by field."""
    merged = head | own
    for name in parts:
        first, second = head.get(name), own.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            merged[name] = first | second
    return merged
