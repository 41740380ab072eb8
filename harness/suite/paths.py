"""Import paths among a suite's optimizers: found, renamed as registries name them, completed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ..describing import described
from ..errors import UserError
from ..importpath import ImportPath, is_import_path
from ..registry import Registry
from .file import (
    ConvergenceEntry,
    OptimizerEntry,
    Suite,
    SuiteFile,
    TimingEntry,
    as_list,
    optimizer_entry,
)


def with_paths(suite: Suite) -> tuple[Suite, tuple[ImportPath, ...]]:
    """The suite with its import paths under their names in a registry, and these paths, each once.

    UserError for a text that looks like an import path and is none."""
    content = suite.content.model_dump(exclude_unset=True)
    found: dict[ImportPath, None] = {}
    for place, table, key in _places(content):
        text = table.get(key) if isinstance(table, dict) else table[key]
        if isinstance(text, str) and is_import_path(text):
            path = _parsed(f"{suite.file}: {place}", text)
            found[path] = None
            table[key] = path.name
    if not found:
        return suite, ()
    return suite.model_copy(update={"content": _valid(suite, content)}), tuple(found)


def _valid(suite: Suite, content: Mapping[str, Any]) -> SuiteFile:
    try:
        return SuiteFile.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{suite.file}: {error.errors()[0]['msg']}") from None


def _parsed(place: str, text: str) -> ImportPath:
    try:
        return ImportPath.parse(text)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None


def _places(content: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(where it stands, table or list, key or index) of every name of an optimizer."""
    timing = content.get("timing")
    for where, of in (("", content), ("timing.", timing if isinstance(timing, dict) else {})):
        names = of.get("optimizers") or []
        for index, entry in enumerate(names):
            if isinstance(entry, dict):
                yield f"{where}optimizers", entry, "name"
                for group in entry.get("groups") or ():
                    yield f"{where}optimizers.groups", group, "optimizer"
            else:
                yield f"{where}optimizers", names, index


def with_classes(
    suite: Suite, registry: Registry, interpreters: Mapping[str, str] | None = None
) -> Registry:
    """The registry with import paths complete (see `describing`), and with the native classes of
    other optimizers that the suite gives hyperparameters under the native rule."""
    content = suite.content
    entries = [pair for each in content.optimizers for pair in _hypers(optimizer_entry(each))]
    search = content.search
    searched = bool(search and (search.hyper or search.published))
    hypers: dict[str, dict[str, Any]] = {}
    for optimizer, hyper in entries:
        first = {name: as_list(value)[0] for name, value in hyper.items()}
        hypers.setdefault(optimizer, {}).update(first)
    named = [optimizer for optimizer, hyper in entries if hyper or searched]
    natives = itertools.product(content.frameworks, named) if _is_native(content) else ()
    known = [(framework, name) for framework, name in natives if _binds(registry, name, framework)]
    return described(registry, interpreters, hypers, known)


def _hypers(entry: OptimizerEntry) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(optimizer, its hyperparameters) of an entry and of its groups."""
    yield entry.name, entry.hyper
    for group in entry.groups:
        yield group.optimizer or entry.name, group.hyper


def _is_native(content: SuiteFile) -> bool:
    trained, timed = content.convergence, content.timing
    rules = as_list(trained.rule) if isinstance(trained, ConvergenceEntry) else []
    return "native" in [*rules, timed.rule if isinstance(timed, TimingEntry) else ""]


def _binds(registry: Registry, name: str, framework: str) -> bool:
    optimizer = registry.optimizers.get(name)
    return bool(optimizer and not optimizer.imported and framework in optimizer.bindings)
