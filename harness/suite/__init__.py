"""Suites: TOML files that say what is swept, validated and expanded to RunSpecs; read `file` first.

`file`: the content. `mistakes`: its errors in our words. `origin`: which file a suite came from.
`paths`: its import paths. `expansion`: from a suite to its runs, after `checks`: `tasks` with their
`variations`, `updates` (optimizers with their `hyper` and `groups`, rates, schedules), `setups`
(hardware, modes), `draws` (random search), `names`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import data, limits
from ..errors import UserError, nearest
from ..jsonfile import read_text, shown, there
from ..registry import Registry
from .expansion import counted, expand
from .file import (
    ConvergenceEntry,
    OptimizerEntry,
    ScheduleEntry,
    Suite,
    SuiteFile,
    TimingEntry,
    as_list,
)
from .mistakes import explain
from .origin import BUILT_IN, Origin
from .paths import with_classes, with_paths

__all__ = [
    "ConvergenceEntry",
    "OptimizerEntry",
    "ScheduleEntry",
    "Suite",
    "SuiteFile",
    "TimingEntry",
    "at_scale",
    "built_in",
    "counted",
    "entry_name",
    "expand",
    "make_suite",
    "read_suite",
    "with_classes",
    "with_content",
    "with_data_at_hand",
    "with_named_timing",
    "with_paths",
    "with_plugins",
]


def built_in() -> Mapping[str, Path]:
    """Name -> file of the suites that come with gradrace."""
    import gradrace.suites

    folder = Path(gradrace.suites.__file__).parent
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def read_suite(name_or_file: str) -> Suite:
    """A built-in suite by name, or any TOML file by path. UserError names file and key."""
    known = built_in()
    file = known.get(name_or_file, Path(name_or_file))
    if name_or_file not in known and not there(file):
        raise UserError(
            f"no suite {shown(file)!r}{nearest(name_or_file[:100], known)}; a file's path is"
            " fine too"
        )
    suite = make_suite(file.stem, _toml(file), str(file))
    assert suite.origin, "make_suite gives it one"
    path = file.resolve()
    is_built_in = file.stem in known and path == known[file.stem].resolve()
    source = BUILT_IN if is_built_in else str(path)
    return suite.model_copy(update={"origin": suite.origin.model_copy(update={"source": source})})


def _toml(file: Path) -> dict[str, Any]:
    """The content of a TOML file. UserError if it is none, cannot be read, or is too large."""
    try:
        return tomllib.loads(read_text(file, limits.SUITE_BYTES))
    except tomllib.TOMLDecodeError as error:
        why = str(error)
    except RecursionError:
        why = "its tables or lists lie too deep within each other"
    # Python reads no whole number of more than 4300 digits.
    except ValueError as error:
        why = str(error).partition(";")[0]
    raise UserError(f"{file}: not valid TOML: {why}")


def make_suite(name: str, content: Mapping[str, Any], file: str = "the suite") -> Suite:
    """A suite from plain values, with the same checks as from a file."""
    valid = _validated(content, file)
    origin = Origin.of("", valid.model_dump(mode="json", exclude_unset=True))
    suite = Suite(name=name, file=file, content=valid, origin=origin)
    for scale in suite.content.scales:
        at_scale(suite, scale)
    return suite


def at_scale(suite: Suite, name: str) -> Suite:
    """The suite with the keys of this scale instead of its own. UserError: no such scale."""
    content = suite.content.model_dump(exclude_unset=True)
    scales = content.pop("scales", {})
    if name not in scales:
        known = nearest(name, scales) if scales else " (it has none)"
        raise UserError(f"{suite.file}: no scale {name!r}{known}")
    for key in ("title", "question", "scales"):
        if key in scales[name]:
            raise UserError(
                f"{suite.file}: scales.{name}.{key}: a scale changes what is swept, not this"
            )
    scaled = _validated({**content, **scales[name]}, suite.file, f"scales.{name}.")
    return suite.model_copy(update={"content": scaled})


def with_named_timing(suite: Suite) -> Suite:
    """The suite, timed only under the rule that its timing part names."""
    content = suite.content.model_dump(exclude_unset=True)
    if not isinstance(content.get("timing"), dict):
        return suite
    return with_content(suite, {**content, "timing": {**content["timing"], "trained": False}})


def with_content(suite: Suite, content: Mapping[str, Any]) -> Suite:
    """The same suite with other content, checked like the file."""
    return make_suite(suite.name, content, suite.file).model_copy(update={"origin": suite.origin})


def with_plugins(suite: Suite, registry: Registry, alone: bool = False) -> Suite:
    """The suite with the names from the user's own files, unless it names some of them itself.

    Kind by kind: beside the suite's own tasks, optimizers, schedules and frameworks, or with
    `alone` instead of them. A timing part with names of its own gets the same names."""
    content = suite.content.model_dump(exclude_unset=True)
    timing = content["timing"] if isinstance(content.get("timing"), dict) else {}
    for kind, names in registry.loaded.items():
        own = content.get(kind, getattr(suite.content, kind))
        if not names or {entry_name(entry) for entry in own} & set(names):
            continue
        content[kind] = own
        for part in (content, timing):
            if part.get(kind) is not None:
                part[kind] = [*names] if alone else [*part[kind], *names]
    return with_content(suite, content)


def entry_name(entry: str | Mapping[str, Any]) -> str:
    """The name in an entry of a suite's tasks, optimizers, schedules or frameworks."""
    return entry if isinstance(entry, str) else str(entry.get("name") or entry.get("kind"))


def with_data_at_hand(suite: Suite, registry: Registry) -> Suite:
    """The suite with its `instead` for tasks whose data are not on this machine: of several the
    first whose data are here, and the last if none are.

    Its title says so."""
    instead = {name: as_list(others) for name, others in suite.content.instead.items()}
    named = [("instead", task) for task in instead]
    named += [(f"instead.{task}", other) for task, others in instead.items() for other in others]
    for key, task in named:
        if task not in registry.tasks:
            raise UserError(f"{suite.file}: {key}: no task {task!r}{nearest(task, registry.tasks)}")
    chosen = {
        name: _at_hand(instead[name], registry)
        for name in suite.content.tasks
        if name in instead and data.missing(registry.tasks[name].data)
    }
    if not chosen:
        return suite
    content = suite.content.model_dump(exclude_unset=True)
    content["tasks"] = list(dict.fromkeys(chosen.get(name, name) for name in content["tasks"]))
    said = [
        f"{other} for want of {name} (gradrace fetch {registry.tasks[name].data})"
        for name, other in chosen.items()
    ]
    content["title"] = f"{content['title']}: {', '.join(said)}"
    return with_content(suite, content)


def _at_hand(tasks: Sequence[str], registry: Registry) -> str:
    here = (name for name in tasks if not data.missing(registry.tasks[name].data))
    return next(here, tasks[-1])


def _validated(content: Mapping[str, Any], file: str, within: str = "") -> SuiteFile:
    try:
        return SuiteFile.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{file}: {explain(error, within)}") from None
