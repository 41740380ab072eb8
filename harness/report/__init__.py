"""Frames to figures to HTML."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..errors import UserError
from ..frame import Frames
from .page import Data, build

__all__ = ["write"]

# Stands in a report's data folder, which is replaced as a whole: nobody else's folder may be.
_MARK = ".gradrace-report"


def write(frames: Frames, folder: Path) -> Path:
    """Writes <folder>/index.html and its data, <folder>/data/<suite>/*.csv, and returns the page's path.

    An earlier report there is replaced: the data folder as a whole, then the page. UserError where the folder cannot be
    written, or where its `data` is not an earlier report's.
    """
    html, data = build(frames)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace_data(folder, data)
        partial = folder / ".index.html.partial"
        partial.write_text(html, encoding="utf-8")
        os.replace(partial, folder / "index.html")
    except OSError as error:
        raise UserError(f"{folder}: the report cannot be written: {error.strerror or error}") from error
    return folder / "index.html"


def _replace_data(folder: Path, data: Data) -> None:
    kept, partial = folder / "data", folder / ".data.partial"
    if kept.exists() and not (kept / _MARK).exists():
        raise UserError(f"{kept}: not of an earlier report; move it away, or write the report to another folder")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    (partial / _MARK).touch()
    for name, table in data.items():
        (partial / name).parent.mkdir(exist_ok=True)
        table.to_csv(partial / name, index=False, lineterminator="\n")
    if kept.exists():
        shutil.rmtree(kept)
    os.replace(partial, kept)
