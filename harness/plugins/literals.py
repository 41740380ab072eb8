"""Reads the literals at the top of an adapter's file, without importing it: see adapter.py."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..strict import given

REQUIRED = ("FRAMEWORK", "TITLE", "REQUIRES", "MODES", "CONVERGENCE_MODE")
_OPTIONAL = ("PROOF_MODES", "LOOPED_MODES", "ALONE_MODES", "MEMORY_MIB", "FIRST_RUN_S")
_LISTS = ("REQUIRES", "MODES", "PROOF_MODES", "LOOPED_MODES")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_BELOW = re.compile(rf"{_NAME.pattern}<[0-9]+(\.[0-9]+)*")


def read_literals(file: Path) -> dict[str, Any] | None:
    """Name -> value; None if the file states no FRAMEWORK and so is no adapter.

    UserError: not Python, or a value that is missing, no literal, or of a wrong type."""
    text = _text(file)
    # Most files are no adapters, and parsing takes time.
    if "FRAMEWORK" not in text:
        return None
    found: dict[str, tuple[Any, int]] = {}
    for name, value, line in _assigned(_parsed(file, text)):
        try:
            found[name] = ast.literal_eval(value) if value is not None else None, line
        except (ValueError, TypeError, SyntaxError, RecursionError):
            found[name] = None, line
        if found[name][0] is None:
            raise UserError(
                f"{file}, line {line}: {name} must be written as a literal, such as"
                f" {_example(name)}: adapters are read without being imported"
            )
    if "FRAMEWORK" not in found:
        return None
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        raise UserError(
            f"{file}: an adapter must also state {', '.join(missing)} as literals at its top"
        )
    for name, (value, line) in found.items():
        if not _fits(name, value):
            raise UserError(
                f"{file}, line {line}: {name}: expected {_form(name)}, not {given(value)}"
            )
    stated = {name: value for name, (value, _) in found.items()}
    _check_modes(file, stated)
    return stated


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as Python: {error}") from error


def _parsed(file: Path, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise UserError(f"{file}, line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{file}: cannot be read as Python: {error}") from error


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr | None, int]]:
    """Name, value and line of each assignment at the top; value None for a name in a tuple."""
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            for inner in ast.walk(target):
                if isinstance(inner, ast.Name) and inner.id in (*REQUIRED, *_OPTIONAL):
                    yield inner.id, node.value if inner is target else None, node.lineno


def _fits(name: str, value: Any) -> bool:
    if name in _LISTS:
        is_list = isinstance(value, tuple | list) and bool(value or name != "MODES")
        return is_list and all(_is_name(entry, name) for entry in value)
    if name == "ALONE_MODES":
        return isinstance(value, dict) and all(
            _is_name(mode, name) and isinstance(below, str) and _BELOW.fullmatch(below)
            for mode, below in value.items()
        )
    if name == "MEMORY_MIB":
        return type(value) is int and 0 < value < 2**24
    if name == "FIRST_RUN_S":
        return isinstance(value, tuple) and len(value) == 3 and all(map(_is_duration, value))
    return isinstance(value, str) if name == "TITLE" else _is_name(value, name)


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 3600


def _is_name(value: Any, of: str) -> bool:
    # A distribution may be "a|b": either will do.
    parts = str(value).split("|") if of == "REQUIRES" else [value]
    return isinstance(value, str) and all(_NAME.fullmatch(part) for part in parts)


def _form(name: str) -> str:
    if name in _LISTS:
        return "a tuple of names" + (", at least one" if name == "MODES" else "")
    if name == "ALONE_MODES":
        return f"a dict such as {_example(name)}"
    if name == "MEMORY_MIB":
        return "a whole number of MiB above 0"
    if name == "FIRST_RUN_S":
        return "three durations in seconds"
    return "text" if name == "TITLE" else "a name of letters, digits, '_', '.' and '-'"


def _example(name: str) -> str:
    if name == "ALONE_MODES":
        return '{"a": "distribution<2.0"}'
    if name == "MEMORY_MIB":
        return "250"
    if name == "FIRST_RUN_S":
        return "(1.0, 0.1, 5e-4)"
    return '("a", "b")' if name in _LISTS else '"a"'


def _check_modes(file: Path, stated: dict[str, Any]) -> None:
    modes = stated["MODES"]
    for below in stated.get("ALONE_MODES", {}).values():
        distribution = below.partition("<")[0]
        if not any(distribution in each.split("|") for each in stated["REQUIRES"]):
            raise UserError(
                f"{file}: ALONE_MODES names {distribution!r}, which is not one of REQUIRES"
                f" ({', '.join(stated['REQUIRES'])})"
            )
    for name in ("CONVERGENCE_MODE", "PROOF_MODES", "LOOPED_MODES", "ALONE_MODES"):
        named = stated.get(name, ())
        for mode in [named] if isinstance(named, str) else named:
            if mode not in modes:
                raise UserError(
                    f"{file}: {name} names {mode!r}, which is not one of MODES ({', '.join(modes)})"
                )
