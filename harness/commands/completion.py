"""Names that a shell completes: suites, tasks, optimizers and the like. No framework is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# typer calls it with what was typed so far.
Complete = Callable[[str], list[str]]


def suites(incomplete: str) -> list[str]:
    """Built-in suites, and TOML files."""
    from ..suite import built_in

    folder = incomplete.rpartition("/")[0]
    files = (str(file) for file in sorted(Path(folder or ".").glob("*.toml")))
    return list(_beginning(incomplete, [*built_in(), *files]))


def results(incomplete: str) -> list[str]:
    """The suites that have results in results/, or in the folder that --output names."""
    from ..sweep.store import suites_in

    return list(_quietly(incomplete, lambda: suites_in(_output())))


def runs(incomplete: str) -> list[str]:
    """Digests of the finished runs there."""

    def found() -> Iterator[str]:
        from ..sweep.store import read_plan, suites_in

        for suite in suites_in(_output()):
            yield from read_plan(_output(), suite).digests

    return list(_quietly(incomplete, found))


def named(kind: str) -> Complete:
    """The names of this kind: tasks, optimizers, schedules, frameworks, data or suites."""
    return lambda incomplete: list(_quietly(incomplete, lambda: _names(kind)))


def kinds(incomplete: str) -> list[str]:
    """What `gradrace list` takes first."""
    known = ("tasks", "data", "optimizers", "schedules", "frameworks", "suites", "all")
    return list(_beginning(incomplete, known))


def of_kind(incomplete: str) -> list[str]:
    """What `gradrace list KIND` takes next: the kind is among the words typed before."""
    kind = next((word for word in _words() if word in _KINDS), "")
    return list(_quietly(incomplete, lambda: _names(kind)))


_KINDS = ("tasks", "optimizers", "schedules", "suites")


def _names(kind: str) -> Iterable[str]:
    if kind == "suites":
        from ..suite import built_in

        return built_in()
    if kind == "data":
        from .. import data

        return data.SETS
    from ..registry import load_registry

    return tuple(getattr(load_registry(), kind, ()))


def _beginning(incomplete: str, names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if name.startswith(incomplete))


def _quietly(incomplete: str, names: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Nothing at all if it fails: a traceback in the middle of a line helps nobody."""
    try:
        yield from _beginning(incomplete, names())
    except Exception:
        return


def _words() -> list[str]:
    """The line that is being completed: the scripts of the shells hand it over like this."""
    return (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()


def _output() -> Path:
    words = _words()
    at = [i for i, word in enumerate(words[:-1]) if word in ("-o", "--output")]
    return Path(words[at[-1] + 1]) if at else Path("results")
