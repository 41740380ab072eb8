"""Figures that are kept beside a report for the next one: <key>.svg in a folder of their own.

The key hashes all that a figure depends on. A file there is trusted no more than others: markup
that draw.svg would not write is drawn anew."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import platform
import re
from collections.abc import Iterable, Mapping
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from ..jsonfile import replace_text, writing
from ..results.columns import words
from ..sources import hashes
from .draw.lazy import Drawn
from .fresh import version_of

_DRAW = Path(__file__).parent / "draw"
_LIBRARIES = ("gradrace", "matplotlib", "numpy", "pandas", "scipy", "seaborn")
_FILE = re.compile(r"[0-9a-f]{64}\.svg")
_ELEMENTS = frozenset(
    words("a circle clipPath defs desc ellipse g image line linearGradient path pattern polygon")
    + words("polyline rect script stop style svg text title tspan use")
)
_TAG = re.compile(r'<(/?)([A-Za-z]+)((?:\s+[A-Za-z0-9:_-]+="[^"<>]*")*)\s*/?>')
_ATTRIBUTE = re.compile(r'([A-Za-z0-9:_-]+)="([^"]*)"')
_LINK = re.compile(r"#|run\.html#|data:image/png;base64,")
# Anything that a style could load, also if it is written in CSS' own escapes.
_OUTSIDE = re.compile(
    r"""url\((?!#)|@import|javascript:|<style[^>]*>[^<]*\\|style="[^"]*\\""", re.IGNORECASE
)
_PLAIN = (str, int, float, bool, type(None), bytes)


class Kept:
    """The figures kept in this folder, which may be missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wanted: dict[str, str] = {}

    def key(self, parts: Iterable[Any]) -> str:
        """64 hex digits; "" for a figure of something whose content cannot be told, or drawn by
        something else than the functions of report.draw."""
        try:
            content = repr([_plain(part) for part in parts])
        except TypeError:
            return ""
        return hashlib.sha256(f"{_source()}{content}".encode()).hexdigest()

    def find(self, key: str) -> str:
        """The figure; "" if it is not kept, or was changed into something else."""
        if not key or self._folder.is_symlink():
            return ""
        try:
            text = (self._folder / f"{key}.svg").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""
        return text if is_drawing(text) else ""

    def want(self, key: str, svg: str) -> None:
        """This figure is to be kept, if its key is one."""
        if key:
            self._wanted[f"{key}.svg"] = svg

    def save(self) -> None:
        """Keeps the figures that are wanted, and removes all others. UserError if the folder cannot
        be written."""
        if self._folder.is_symlink() or (self._folder.exists() and not self._folder.is_dir()):
            return
        with writing(self._folder):
            self._folder.mkdir(exist_ok=True)
            there = {file.name for file in self._folder.iterdir() if _FILE.fullmatch(file.name)}
            for name in there - self._wanted.keys():
                (self._folder / name).unlink(missing_ok=True)
            for name, svg in self._wanted.items():
                file = self._folder / name
                if name not in there or file.stat().st_size != len(svg.encode()):
                    replace_text(file, svg)


def is_drawing(text: str) -> bool:
    """Whether this is markup as draw.svg writes it: neither script nor style that does anything,
    nothing from elsewhere."""
    tags = list(_TAG.finditer(text))
    outside = _TAG.sub("", text)
    return (
        text.startswith("<svg ")
        and "<" not in outside
        and not _OUTSIDE.search(unescape(text))
        and all(tag[1] or _is_harmless(tag[2], tag[3]) for tag in tags)
    )


def _is_harmless(element: str, attributes: str) -> bool:
    pairs = [(name.lower(), value) for name, value in _ATTRIBUTE.findall(attributes)]
    found = dict(pairs)
    links = [value for name, value in found.items() if name.rpartition(":")[2] in ("href", "src")]
    return (
        element in _ELEMENTS
        # Of two with one name a browser takes the first.
        and len(found) == len(pairs)
        and not any(name.startswith("on") for name in found)
        and all(map(_LINK.match, links))
        and (element != "script" or found.get("type") == "application/json")
    )


@functools.cache
def _source() -> str:
    versions = [version_of(name) for name in _LIBRARIES]
    return repr((hashes(sorted(_DRAW.glob("*.py"))), versions, platform.python_version()))


def _plain(value: Any) -> Any:
    """A value whose repr tells all of its content; TypeError if there is none."""
    if isinstance(value, np.generic):
        return type(value).__name__, value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, pd.DataFrame):
        index = ("index", _column(value.index.to_series()))
        return "table", [index, *((name, _column(value[name])) for name in value)]
    if isinstance(value, partial):
        return _plain((value.func, value.args, value.keywords))
    if isinstance(value, Drawn):
        if not value.module.startswith(f"{__package__}.draw."):
            raise TypeError(value)
        return value.module, value.name
    return _gathered(value)


def _gathered(value: Any) -> Any:
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return kind, [(_plain(key), _plain(of)) for key, of in value.items()]
    if isinstance(value, list | tuple):
        return kind, [_plain(of) for of in value]
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(_plain(of)) for of in value)
    if isinstance(value, BaseModel):
        return kind, value.model_dump_json()
    if dataclasses.is_dataclass(value):
        fields = (getattr(value, field.name) for field in dataclasses.fields(value))
        return kind, [_plain(of) for of in fields]
    if isinstance(value, pd.Series):
        return kind, value.name, _column(value)
    if isinstance(value, np.ndarray):
        return kind, value.shape, _column(pd.Series(value.ravel()))
    raise TypeError(value)


def _column(values: pd.Series) -> tuple[str, Any]:
    kind = str(values.dtype)
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biufM":
        return kind, hashlib.sha256(values.to_numpy().tobytes()).hexdigest()
    return kind, [None if value is pd.NA else _plain(value) for value in values.tolist()]
