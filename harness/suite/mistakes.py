"""Mistakes in a suite's file, in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..errors import nearest
from ..spec import Frozen
from ..strict import expected, explained, given, place_of
from .draws import RangeEntry, SearchEntry
from .file import ConvergenceEntry, GridEntry, OptimizerEntry, ScheduleEntry, SuiteFile, TimingEntry
from .groups import GroupEntry
from .variations import RegularizationEntry

_MODELS = (
    SuiteFile,
    OptimizerEntry,
    GroupEntry,
    GridEntry,
    SearchEntry,
    RangeEntry,
    ScheduleEntry,
    TimingEntry,
    ConvergenceEntry,
    RegularizationEntry,
)


def explain(error: ValidationError, within: str = "") -> str:
    """The most telling of pydantic's errors: the key, the problem, and the nearest valid key.

    within: the keys above, such as "scales.small."."""
    problems = error.errors()
    # Of a union's members, one that looked into the value says more than one that wanted a table.
    telling = sorted(problems, key=lambda p: (-len(place_of(p)), p["type"] == "model_type"))
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    problem = (unknown or telling)[0]
    place = place_of(problem)
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    key = (within + "".join(parts).lstrip(".")).rstrip(".")
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(str(problem['loc'][-1]), _fields(problem, place))}"
    wanted = [text for other in problems if place_of(other) == place and (text := expected(other))]
    value = problem["input"]
    hint = _close(value, re.findall(r"'([^']*)'", " ".join(wanted)))
    if len(wanted) > 1:
        forms = " or ".join(dict.fromkeys(wanted))
        return f"{key}: expected {forms}, not {given(value)}{hint}"
    if problem["type"] == "literal_error":
        return f"{key}: {given(value)} is none of {wanted[0]}{hint}"
    return f"{key}: {explained(problem)}" if key else explained(problem)


def _close(value: Any, choices: list[str]) -> str:
    """A hint at the nearest choice, if one is near."""
    hint = nearest(value, choices) if isinstance(value, str) else ""
    return hint if "did you mean" in hint else ""


_BY_KEY: Mapping[str, type[Frozen]] = {
    "optimizers": OptimizerEntry,
    "schedules": ScheduleEntry,
    "timing": TimingEntry,
    "convergence": ConvergenceEntry,
    "regularization": RegularizationEntry,
    "learning_rate_grid": GridEntry,
    "search": SearchEntry,
}


def _fields(problem: ErrorDetails, place: list[int | str]) -> Any:
    """The valid keys beside an unknown one: of the model that pydantic names, else by the key."""
    if "groups" in place[:-1]:
        return GroupEntry.model_fields
    named = " ".join(map(str, problem["loc"][:-1]))
    key = str(place[0]) if len(place) > 1 else ""
    by_key = _BY_KEY.get(key, SuiteFile)
    return next((model for model in _MODELS if model.__name__ in named), by_key).model_fields
