"""Hashes of the source that computes a run: our own files and a user's, found by their imports."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from .errors import UserError
from .output.escaping import clean
from .plugins import imports
from .process import NoAnswer, ask


@dataclass(frozen=True)
class Reach:
    """All that a user's files import.

    sources: label -> hash of local files, of data files named in them, and of gradrace's modules.
    versions: distribution -> version, "not installed" for a module that is nowhere."""

    sources: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def is_own(file: Path) -> bool:
    """Whether the file is one of gradrace's."""
    return file in _own_files()


def reach(
    files: Iterable[Path],
    names: Iterable[str],
    left_out: Iterable[tuple[str, int]],
    known: Iterable[str],
    python: str | None = None,
) -> Reach:
    """Follows the imports of a user's files and of the dotted paths `names`; see plugins/imports.

    python: the interpreter that runs them, if not this one. UserError if it cannot be asked."""
    request = {
        "files": [str(file) for file in files],
        "names": sorted(names),
        "left_out": sorted(left_out),
        "known": sorted(known),
    }
    answer = imports.reached(request) if python is None else _reached_elsewhere(python, request)
    own = _files_by_name()
    imported = [own[name] for name in answer["gradrace"] if name in own and name != "gradrace"]
    return Reach({**hashes(imported), **_cleaned(answer["files"])}, _cleaned(answer["versions"]))


def is_as_planned(file: Path, sources: Mapping[str, str], found: str) -> bool:
    """Whether `found`, the hash of a user's file now, is the one in a run's sources, if any is."""
    label = clean(file.stem)
    planned = {value for name, value in sources.items() if name.partition("#")[0] == label}
    return not planned or found in planned


def hash_of(file: Path) -> str:
    """The hash as in `reach`."""
    return imports.hash_of(str(file.resolve()))


def _cleaned(found: Mapping[str, str]) -> dict[str, str]:
    """Harmless texts, as a record has them: a file may have any name."""
    return {clean(name): clean(text) for name, text in found.items()}


def _reached_elsewhere(python: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """`imports.reached` with the modules of another interpreter."""
    # Its text, not its path: the folder of a script is the first in which Python finds modules.
    text = Path(imports.__file__).read_text(encoding="utf-8")
    try:
        return ask([python, "-c", text], os.environ, timeout_s=60, given=json.dumps(request))
    except NoAnswer as error:
        raise UserError(f"--python: {python} cannot be used: {error}") from None


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """Name -> hash of these files and of all gradrace modules that they import, also indirectly.

    So a change of the report, the command line or another optimizer changes none of them."""
    todo, found = list(files), {}
    while todo:
        file = todo.pop()
        name = _name_of(file)
        if name not in found:
            found[name], imported = _read(file, file.stat().st_mtime_ns)
            todo.extend(imported)
    return dict(sorted(found.items()))


@cache
def _read(file: Path, modified_ns: int) -> tuple[str, tuple[Path, ...]]:
    """Hash of a file and the gradrace files that it imports directly; once for each version."""
    text = file.read_bytes()
    # In a package's __init__ one dot is the package itself.
    importer = _name_of(file) + (".__init__" if file.name == "__init__.py" else "")
    return hashlib.sha256(text).hexdigest()[:16], tuple(_imports(_tree(text, importer), importer))


# Import statements; in our own files each begins a line.
_STATEMENT = re.compile(rb"^[ \t]*((?:from|import)[ \t][^\n(]*(?:\([^)]*\)|[^\n]*))", re.MULTILINE)


def _tree(text: bytes, importer: str) -> ast.AST:
    """A tree with all imports of the file.

    Of our own files only the imports are parsed: to parse them whole would take most of the time of
    a command that finds everything cached."""
    if importer in _files_by_name() or importer.removesuffix(".__init__") in _files_by_name():
        with suppress(SyntaxError):
            return ast.parse(b"\n".join(_STATEMENT.findall(text)))
    return ast.parse(text)


def _imports(tree: ast.AST, importer: str) -> Iterator[Path]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = importer.split(".")[: -node.level] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            # `from . import data` names a module, `from .data import load` an object in one.
            candidates = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        else:
            continue
        files = _files_by_name()
        yield from (files[name] for name in candidates if name in files and name != "gradrace")


@cache
def _files_by_name() -> Mapping[str, Path]:
    """Dotted module name -> file, of both parts of the package, which lie apart in a checkout."""
    import gradrace.adapters

    roots = {
        "gradrace": Path(gradrace.__file__).parent,
        "gradrace.adapters": Path(gradrace.adapters.__file__).parent,
    }
    files = {}
    for prefix, root in roots.items():
        for file in root.rglob("*.py"):
            inner = file.relative_to(root).with_suffix("").parts
            files[".".join([prefix, *(part for part in inner if part != "__init__")])] = file
    return files


@cache
def _own_files() -> frozenset[Path]:
    return frozenset(_files_by_name().values())


@cache
def _name_of(file: Path) -> str:
    for name, known in _files_by_name().items():
        if known == file:
            return name
    return file.stem
