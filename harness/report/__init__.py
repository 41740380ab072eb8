"""Frames to figures to HTML."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError
from ..frame import Frames
from ..jsonfile import replace_text, writing
from . import run_pages
from .content import Data
from .page import build

__all__ = ["write"]

# Stands in a report's data folder, which is replaced as a whole: nobody else's folder may be.
_MARK = ".gradrace-report"


def write(frames: Frames, folder: Path) -> Path:
    """Writes <folder>/index.html, run.html (the page of any run) and their data: <folder>/data/<suite>/*.csv and *.js,
    <folder>/data/runs/<suite>/<digest>.js; and returns the path of index.html.

    An earlier report there is replaced: the data folder as a whole, then the pages. UserError where the folder cannot be
    written, or where its `data` is not an earlier report's.
    """
    files, data = build(frames)
    pages = {name: text for name, text in files.items() if not name.startswith("data/")}
    scripts = [(name.removeprefix("data/"), text) for name, text in files.items() if name not in pages]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _replace_data(folder, data, scripts, frames)
        for name, text in pages.items():
            replace_text(folder / name, text)
    return folder / "index.html"


def _replace_data(folder: Path, data: Data, scripts: Iterable[tuple[str, str]], frames: Frames) -> None:
    kept, partial = folder / "data", folder / ".data.partial"
    if kept.exists() and not (kept / _MARK).exists():
        raise UserError(f"{kept}: not of an earlier report; move it away, or write the report to another folder")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    (partial / _MARK).touch()
    for name, table in data.items():
        (partial / name).parent.mkdir(exist_ok=True)
        table.to_csv(partial / name, index=False, lineterminator="\n")
    for name, text in scripts:
        (partial / name).write_text(text, encoding="utf-8")
    for suite in frames.plans:
        (partial / "runs" / suite).mkdir(parents=True)
        for digest, text in run_pages.files(frames, suite):
            (partial / "runs" / suite / f"{digest}.js").write_text(text, encoding="utf-8")
    if kept.exists():
        shutil.rmtree(kept)
    os.replace(partial, kept)
