"""Hashes of the source that computes a run, found by following imports: inside the package, and
from a user's files.
"""

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
    """What a user's files lead to. sources: label -> hash of local files, data files named in them
    included, and of gradrace's modules that they import. versions: distribution -> version, "not
    installed" for a module that is nowhere."""

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
    """Follows the imports of a user's files and the dotted paths `names`; see imports.py, also for
    left_out and known.

    python: the interpreter in which they run, if not this one. UserError if it cannot be asked.
    """
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
    """Whether a user's file whose hash is now `found` is the one of which a run's sources hold the
    hash; True if they hold none."""
    label = clean(file.stem)
    planned = {value for name, value in sources.items() if name.partition("#")[0] == label}
    return not planned or found in planned


def hash_of(file: Path) -> str:
    """As `reach` has it."""
    return imports.hash_of(str(file.resolve()))


def _cleaned(found: Mapping[str, str]) -> dict[str, str]:
    """As a record will have it: names of files may be anything."""
    return {clean(name): clean(text) for name, text in found.items()}


def _reached_elsewhere(python: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """As that interpreter finds modules."""
    # By its text: run by its path, its folder would come first where modules are looked for.
    text = Path(imports.__file__).read_text(encoding="utf-8")
    try:
        return ask([python, "-c", text], os.environ, timeout_s=60, given=json.dumps(request))
    except NoAnswer as error:
        raise UserError(f"--python: {python} cannot be used: {error}") from None


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """Name -> hash of these files and of every gradrace module that they import, directly or
    through others.

    A change to the report, the command line or another optimizer's file leaves them as they are.
    """
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
    """Hash of a file and the gradrace files that it imports itself; read again when it was modified
    (a notebook's process outlives many versions of a user's file)."""
    text = file.read_bytes()
    # Within a package's own file one dot is the package itself.
    importer = _name_of(file) + (".__init__" if file.name == "__init__.py" else "")
    return hashlib.sha256(text).hexdigest()[:16], tuple(_imports(_tree(text, importer), importer))


# Statements that begin a line. In our own files no import stands behind something else.
_STATEMENT = re.compile(rb"^[ \t]*((?:from|import)[ \t][^\n(]*(?:\([^)]*\)|[^\n]*))", re.MULTILINE)


def _tree(text: bytes, importer: str) -> ast.AST:
    """What holds all imports of the file; of our own the imports alone, since parsing them all
    would take most of the time of a command that finds everything cached."""
    if importer in _files_by_name() or importer.removesuffix(".__init__") in _files_by_name():
        with suppress(SyntaxError):
            return ast.parse(b"\n".join(_STATEMENT.findall(text)))
    return ast.parse(text)


def _imports(tree: ast.AST, importer: str) -> Iterator[Path]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = importer.split(".")[: -node.level] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            # `from . import data` names a module, `from .data import load` something inside of one.
            candidates = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        else:
            continue
        files = _files_by_name()
        yield from (files[name] for name in candidates if name in files and name != "gradrace")


@cache
def _files_by_name() -> Mapping[str, Path]:
    """Dotted module name -> file, of the package's parts (whose folders lie apart in a checkout)."""
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
