"""Writes a report into a folder, in place of an earlier one."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import UserError
from ..jsonfile import reading, replace_text, writing
from ..output.escaping import csv_table
from ..results.frame import Frames
from ..turns import turn
from . import beside
from .content import Data
from .kept import Kept
from .names import OF_REPORT
from .page import build
from .scripts import runs

__all__ = ["alone", "replace", "write"]

# Marks a report's data folder, which is replaced as a whole: nobody else's folder may be.
_MARK = ".gradrace-report"
# Marks of a report's pages (the second of earlier versions): nobody else's page may be replaced.
_PAGE_MARKS = (b'<meta name="generator" content="gradrace', b'<p class="brand">gradrace <span>')
# Of this version and of earlier ones.
_LEFTOVER = re.compile(r"\.data(-[0-9a-f]{8})?\.partial")


def write(frames: Frames, folder: Path) -> Path:
    """Writes <folder>/index.html, suite-<name>.html, run.html (the page of any run),
    compare.html (of several) and their data:
    <folder>/data/<suite>/*.csv and *.js, <folder>/data/runs/<suite>/<digest>.js; and returns the
    path of index.html.

    An earlier report there is replaced: the data folder as a whole, then the pages; pages of suites
    that are gone are removed. UserError if the folder cannot be written, or if its `data` or a page
    of these names is not an earlier report's. Of two that write at once the later one waits for the
    other."""
    with alone(folder):
        return replace(frames, folder)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes the folder of a report, and waits until nobody else writes there."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with turn(folder / "index.html"):
        yield


def replace(frames: Frames, folder: Path) -> Path:
    """As `write`, inside `alone`."""
    kept = Kept(folder / ".figures")
    files, data = build(frames, kept)
    pages = {name: text for name, text in files.items() if not name.startswith("data/")}
    scripts = {name: text for name, text in files.items() if name not in pages}
    with writing(folder):
        _check_ours(folder, pages)
        _discard_leftovers(folder)
        _replace_data(folder, data, scripts, frames)
        for name, text in pages.items():
            replace_text(folder / name, text)
        _discard_pages(folder, pages)
    beside.link(folder)
    kept.save()
    return folder / "index.html"


def _check_ours(folder: Path, pages: Iterable[str]) -> None:
    mend = "move it away, or write the report to another folder with --html"
    kept = folder / "data"
    if kept.is_symlink() or (kept.exists() and not (kept / _MARK).exists()):
        raise UserError(f"{kept}: not of an earlier report; {mend}")
    for name in pages:
        page = folder / name
        if page.is_symlink() or (page.exists() and not _is_our_page(page)):
            raise UserError(f"{page}: not a page of an earlier report; {mend}")


def _is_our_page(page: Path) -> bool:
    with reading(page) as opened:
        begin = opened.read(2**16)
    return any(mark in begin for mark in _PAGE_MARKS)


def _replace_data(folder: Path, data: Data, scripts: dict[str, str], frames: Frames) -> None:
    kept, partial = folder / "data", folder / f".data-{secrets.token_hex(4)}.partial"
    partial.mkdir()
    (partial / _MARK).touch()
    for name, table in data.items():
        (partial / name).parent.mkdir(exist_ok=True)
        csv_table(table).to_csv(partial / name, index=False, lineterminator="\n")
    for name, text in scripts.items():
        (partial / name.removeprefix("data/")).write_text(text, encoding="utf-8")
    for suite in frames.plans:
        (partial / "runs" / suite).mkdir(parents=True)
        for digest, text in runs.files(frames, suite):
            (partial / "runs" / suite / f"{digest}.js").write_text(text, encoding="utf-8")
    if kept.exists():
        # Removed under another name: half of it would be nobody's report.
        os.replace(kept, folder / f".data-{secrets.token_hex(4)}.partial")
    os.replace(partial, kept)
    _discard_leftovers(folder)


def _discard_pages(folder: Path, written: Iterable[str]) -> None:
    """Removes an earlier report's pages of suites that are gone."""
    for page in folder.iterdir():
        is_report = OF_REPORT.fullmatch(page.name) and page.name not in written
        if is_report and page.is_file() and not page.is_symlink() and _is_our_page(page):
            page.unlink(missing_ok=True)


def _discard_leftovers(folder: Path) -> None:
    """Removes the earlier data folder, and those of writers that were killed."""
    for entry in folder.iterdir():
        if _LEFTOVER.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)
