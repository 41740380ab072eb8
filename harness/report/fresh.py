"""Tells whether a report is still right: writing one of thousands of runs takes many seconds.

A report depends on the results folder, its own source and the libraries that draw. One hash of them
all is kept beside the page, with each suite's summary for the terminal. A report is fresh if the
hash is equal and the pages are as they were written.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..errors import UserError
from ..jsonfile import read_model, replace_text, writing
from ..sources import hashes
from ..spec import Frozen, canonical_json
from ..sweep.population import NAME
from ..sweep.stored import DIGEST
from .names import OF_REPORT

_FILE = ".fresh.json"
# Its source; nothing of it is imported here, since that takes as long as all the rest.
_REPORT = Path(__file__).parent
_LIBRARIES = ("gradrace", "pandas", "numpy", "scipy", "matplotlib", "seaborn", "jinja2", "pyarrow")


class Fresh(Frozen):
    """The hash of everything that a report depends on, and by suite the rows of its summary for a
    terminal."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    made_of: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    pages: dict[str, tuple[int, int]]
    summaries: dict[str, list[dict[str, str]]]


def made_of(output: Path) -> str:
    """64 hex digits of everything that a report of this folder depends on. Files are known by size
    and time of change."""
    # Sections are found by being there, so no import leads to them.
    sections = (_REPORT / "sections").glob("*.py")
    found = {
        "files": sorted(_files(output)),
        "source": hashes([_REPORT / "writer.py", *sections]),
        "templates": sorted(_stamps(_REPORT / "templates")),
        "versions": {name: version_of(name) for name in _LIBRARIES},
        "plugins": sorted(f"{e.value} {e.dist and e.dist.version}" for e in _plugins()),
    }
    return hashlib.sha256(canonical_json(found).encode()).hexdigest()


def fresh(folder: Path, now: str) -> Mapping[str, list[dict[str, str]]] | None:
    """The summaries of the report in `folder` if its hash is `now` (see made_of); else None."""
    try:
        kept = read_model(Fresh, folder / _FILE, 1, "a report's stamp", "it is made anew")
    except UserError:
        return None
    return kept.summaries if (kept.made_of, kept.pages) == (now, _pages(folder)) else None


def keep(folder: Path, made: str, summaries: Mapping[str, list[dict[str, str]]]) -> None:
    """Keeps beside the page the hash `made`, taken before the results were read."""
    rows = {name: list(of) for name, of in summaries.items()}
    found = Fresh(made_of=made, pages=_pages(folder), summaries=rows)
    with writing(folder):
        replace_text(folder / _FILE, found.model_dump_json(by_alias=True))


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """What is written inside to the pages of a fresh report leaves it fresh."""
    try:
        kept = read_model(Fresh, folder / _FILE, 1, "a report's stamp", "it is made anew")
    except UserError:
        kept = None
    was = kept is not None and kept.pages == _pages(folder)
    yield
    if kept and was:
        keep(folder, kept.made_of, kept.summaries)


def _files(output: Path) -> Iterator[tuple[str, int, int]]:
    """Hidden files are locks, logs of workers and files that are just being written."""
    yield from _stamps(output, folders=False)
    runs = output / "runs"
    for suite in sorted(runs.iterdir()) if runs.is_dir() else ():
        yield from _stamps(suite, folders=False)
        for run in suite.iterdir() if suite.is_dir() else ():
            if DIGEST.fullmatch(run.name) or NAME.fullmatch(run.name):
                yield from _stamps(run, folders=False)


def _stamps(folder: Path, folders: bool = True) -> Iterator[tuple[str, int, int]]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and (folders or not entry.is_dir()):
                stat = entry.stat(follow_symlinks=False)
                yield entry.path, stat.st_size, stat.st_mtime_ns


def _pages(folder: Path) -> dict[str, tuple[int, int]]:
    stamps = {Path(path).name: (size, changed) for path, size, changed in _stamps(folder)}
    return {name: of for name, of in stamps.items() if name == "data" or OF_REPORT.fullmatch(name)}


def _plugins() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group="gradrace.plugins")


def version_of(name: str) -> str:
    """Of an installed distribution, without importing it; "" if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
