"""Whether two states of a repository want other packages: both run with those that are installed.

setup.py is a program, and is not read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

_PYPROJECT = "pyproject.toml"
_NAMING = (
    "dependencies",
    "optional-dependencies",
    "requires-python",
    "group",
    "dependency-groups",
    "build-system",
)
_LISTS = ("requirements*.txt", "constraints*.txt", "environment*.y*ml")
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pixi.lock", "Pipfile.lock", "setup.cfg")


def changed(a: Path, b: Path) -> tuple[str, ...]:
    """The files in these two folders' tops that name other dependencies, in order of their names.

    Of pyproject.toml only the parts that name packages count, and of lists no comments."""
    patterns = (_PYPROJECT, *_LISTS, *_LOCKS)
    names = {file.name for folder in (a, b) for each in patterns for file in folder.glob(each)}
    return tuple(name for name in sorted(names) if _wanted(a / name) != _wanted(b / name))


def _wanted(file: Path) -> Any:
    """The part of a file that names packages; None without the file."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if file.name == _PYPROJECT:
        return _declared(text)
    return [line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]


def _declared(text: str) -> Any:
    """The tables of a pyproject.toml that name packages; the whole text if it cannot be read."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return text
    parts = {
        (*path, name): _at(found, *path).get(name)
        for path in ((), ("project",), ("tool", "poetry"))
        for name in _NAMING
    }
    # A file without any of them says as much as none.
    return {path: part for path, part in parts.items() if part is not None} or None


def _at(table: Any, *path: str) -> dict[str, Any]:
    """The table at this path; {} if there is none."""
    for name in path:
        table = table.get(name) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}
