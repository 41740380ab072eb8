"""Follows the imports of a user's files: to local files and their hashes, distributions and their
versions.

Nothing is imported: modules are found as Python would find them, and their source is read. Another
interpreter may run this file's text with a request on its standard input, so it needs the standard
library alone.

    request  {"files": [path], "names": [dotted path], "left_out": [[path, line]],
              "known": [distribution]}
    answer   {"files": {label: hash}, "paths": [path of each of these files],
              "versions": {distribution: version or "not installed"}, "gradrace": [module]}

left_out: functions that are not looked into, by the line on which they begin. known: distributions
whose own requirements are not followed.
"""

from __future__ import annotations

import ast
import glob
import hashlib
import importlib.machinery
import importlib.metadata
import json
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, NamedTuple

NOT_INSTALLED = "not installed"
# Functions whose first argument names a module.
_IMPORTERS = ("import_module", "__import__", "run_module", "find_spec", "resolve_name")
# Also of importlib.resources and pkgutil; a user's own functions may have these names.
_RESOURCES = ("files", "read_text", "read_binary", "open_text", "open_binary", "get_data")
# Functions that look for modules by themselves.
_SEARCHERS = ("iter_modules", "walk_packages")
# Functions that write a file.
_WRITERS = (
    *("FileHandler", "RotatingFileHandler", "save", "savez", "savetxt", "savefig", "dump"),
    *("to_csv", "mkdir", "makedirs"),
)
_LONGEST_NAME, _MOST_FILES = 260, 10_000
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class Module(NamedTuple):
    """A module as it lies on disk. origin: its file, None for a namespace; folders: of a package's
    modules; root: the folder of the search path that its first part was found in."""

    name: str
    origin: str | None
    folders: tuple[str, ...]
    root: str


# A text may name a file, match files, or, joined to __file__, name a folder whose files all count.
Kind = Literal["file", "pattern", "folder"]


@dataclass
class _Facts:
    """Of one file. modules: absolute names that it may import; guesses: texts that may be such
    names; paths: (text, kind) that it may read; dynamic: it imports modules that it does not name.
    """

    modules: set[str] = field(default_factory=set)
    guesses: set[str] = field(default_factory=set)
    stars: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    paths: set[tuple[str, Kind]] = field(default_factory=set)
    dynamic: bool = False


def reached(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request, see above."""
    walk = _Walk(request)
    for file in request["files"]:
        walk.take_file(
            os.path.abspath(file), os.path.splitext(os.path.basename(file))[0], None, False
        )
    for name in request["names"]:
        walk.take_name(name, needed=True)
    walk.finish()
    return {
        "files": walk.labelled(),
        "paths": sorted(walk.found),
        "versions": dict(sorted(walk.versions.items())),
        "gradrace": sorted(walk.gradrace),
    }


class _Walk:
    """From file to file. found: path -> (label, hash)."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.found: dict[str, tuple[str, str]] = {}
        self.versions: dict[str, str] = {}
        self.gradrace: set[str] = set()
        self._known = {_normal(name) for name in request["known"]}
        self._left_out = {(os.path.abspath(file), line) for file, line in request["left_out"]}
        self._folders = [os.path.dirname(os.path.abspath(file)) for file in request["files"]]
        # A worker's path: with -m the current folder comes first; a file's own folder comes last.
        here = [os.getcwd(), *(os.path.abspath(entry) for entry in sys.path if entry)]
        self._path = tuple(dict.fromkeys([*here, *self._folders]))
        self._seen: set[str] = set()
        self._todo: list[tuple[str, str | None, bool]] = []
        # Modules not found so far; folders that a file names, in order.
        self._absent: list[str] = []
        self._named: dict[str, None] = {}
        # Folders in which a file's texts may name others, its own first.
        self._texts: list[tuple[list[str], set[tuple[str, Kind]]]] = []

    def take_file(self, file: str, label: str, module: str | None, package: bool) -> None:
        """Notes a local file; what it imports is followed by `finish`."""
        if file not in self.found:
            self.found[file] = label, hash_of(file)
            if file.endswith((".py", ".pyw")):
                self._todo.append((file, module, package))

    def finish(self) -> None:
        """Follows the imports of all files noted, and of those that they lead to."""
        while self._todo:
            while self._todo:
                self._follow(*self._todo.pop())
            self._look_again()
        for name in self._absent:
            self.versions[name.partition(".")[0]] = NOT_INSTALLED

    def _follow(self, file: str, module: str | None, package: bool) -> None:
        lines = frozenset(line for other, line in self._left_out if other == file)
        facts = _facts(file, _stamp(file), module, package, lines)
        for name in sorted(facts.modules):
            self.take_name(name, needed=True)
        for name in sorted(facts.guesses):
            self.take_name(name, needed=False)
        for name in sorted(facts.stars):
            self._take_all_of(name)
        if facts.dynamic:
            name = module or ""
            self._take_guesses(facts, name if package else name.rpartition(".")[0])
        packages = (_chain(name, self._path)[-1:] for name in sorted(facts.guesses))
        folders = (folder for chain in packages for package in chain for folder in package.folders)
        own = os.path.dirname(file)
        self._texts.append(([*dict.fromkeys([own, os.getcwd(), *folders])], facts.paths))

    def _look_again(self) -> None:
        """For data files, and for absent modules in named folders, which may be on the path."""
        texts, self._texts = self._texts, []
        for folders, paths in texts:
            for text, kind in sorted(paths):
                for base in folders:
                    self._take_data(os.path.join(base, os.path.expanduser(text)), folders[0], kind)
        absent, self._absent = self._absent, []
        self._seen -= set(absent)
        self._path = tuple(dict.fromkeys([*self._path, *self._named]))
        for name in absent:
            self.take_name(name, needed=True)

    def take_name(self, name: str, needed: bool) -> None:
        """Notes a module and its packages; the last parts of the name may be attributes.

        needed: a module that is not found is noted as not installed."""
        if name in self._seen:
            return
        self._seen.add(name)
        top = name.partition(".")[0]
        if top == "gradrace":
            self.gradrace.add(name)
            return
        chain = _chain(name, self._path)
        if not chain:
            if needed and top not in sys.stdlib_module_names:
                self._absent.append(name)
            return
        if _is_standard(chain[0]):
            return
        distributions = (
            (top,) if _normal(top) in self._known and _is_there(top) else _distributions_of(top)
        )
        for distribution in distributions:
            self._take_distribution(distribution)
        if not (distributions and _is_installed(chain[0], distributions)):
            for module in chain:
                if module.origin:
                    self.take_file(module.origin, module.name, module.name, bool(module.folders))

    def _take_distribution(self, name: str) -> None:
        """Notes an installed distribution and those that it requires."""
        if _normal(name) == "gradrace" or _normal(name) in map(_normal, self.versions):
            return
        with suppress(importlib.metadata.PackageNotFoundError):
            found = importlib.metadata.distribution(name)
            self.versions[_normal(name)] = exact_version(found)
            if _normal(name) not in self._known:
                for required in _required(found):
                    self._take_distribution(required)

    def _take_all_of(self, package: str) -> None:
        """All modules of a package: `from package import *` may import any of them."""
        chain = _chain(package, self._path)
        if chain and chain[-1].name == package:
            for folder in chain[-1].folders:
                for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                    stem = entry.partition(".")[0]
                    if stem.isidentifier() and stem != "__init__" and not stem.startswith("__"):
                        self.take_name(f"{package}.{stem}", needed=False)

    def _take_guesses(self, facts: _Facts, package: str) -> None:
        """For a dynamic file: all of its package, and every module that its strings name."""
        if package:
            self._take_all_of(package)
        for text in sorted(facts.strings):
            if _DOTTED.fullmatch(text) and text.partition(".")[0] not in sys.stdlib_module_names:
                self.take_name(text, needed=False)

    def _take_data(self, place: str, folder: str, kind: Kind) -> None:
        """The file, or files, at this place; `folder` is that of the file that names it."""
        place = os.path.normpath(place)
        for path in _existing(place, kind):
            inside = os.path.relpath(path, folder)
            label = os.path.basename(path) if inside.startswith("..") else inside
            self.take_file(path, label, None, False)
        with suppress(OSError, ValueError):
            if os.path.isdir(place):
                self._named[place] = None

    def labelled(self) -> dict[str, str]:
        """Label -> hash. Two files of one label are numbered."""
        labels: dict[str, str] = {}
        for _, (label, value) in sorted(self.found.items(), key=lambda entry: (entry[1], entry[0])):
            unique, number = label, 1
            while unique in labels:
                number += 1
                unique = f"{label}#{number}"
            labels[unique] = value
        return labels


# -- one file


@cache
def _facts(
    file: str, stamp: tuple[int, int], module: str | None, package: bool, left_out: frozenset[int]
) -> _Facts:
    """Read again if the file was modified."""
    facts = _Facts()
    try:
        with open(file, "rb") as opened, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(opened.read())
    except (SyntaxError, ValueError, RecursionError, OSError):
        # Its import will fail; as data it counts by its hash.
        return facts
    parts = (module or "").split(".") if module else []
    base = parts if package else parts[:-1]
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and _first_line(node) in left_out
        ):
            continue
        if not _is_docstring(node):
            _take_node(node, base, facts)
            # A file that is written does not affect the computation.
            written = node.args[0] if isinstance(node, ast.Call) and _writes(node) else None
            todo.extend(inner for inner in ast.iter_child_nodes(node) if inner is not written)
    return facts


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _take_node(node: ast.AST, base: list[str], facts: _Facts) -> None:
    match node:
        case ast.Import():
            facts.modules.update(alias.name for alias in node.names)
        case ast.ImportFrom():
            _take_from(node, base, facts)
        case ast.Call():
            _take_call(node, base, facts)
        case ast.BinOp(op=ast.Div()):
            _take_path(_joined(node), "folder" if _mentions_file(node) else "file", facts)
        case ast.Constant(value=str() as text):
            if 0 < len(text) <= _LONGEST_NAME and "\n" not in text and "\0" not in text:
                facts.strings.add(text)
                facts.paths.add((text, "file"))


def _take_from(node: ast.ImportFrom, base: list[str], facts: _Facts) -> None:
    above = base[: len(base) - node.level + 1] if node.level else []
    name = ".".join([*above, *([node.module] if node.module else [])])
    if name:
        facts.modules.add(name)
    for alias in node.names:
        if alias.name == "*":
            facts.stars.add(name)
        else:
            # `from . import data` names a module, `from .data import load` an object in one.
            facts.modules.add(f"{name}.{alias.name}" if name else alias.name)


def _take_call(node: ast.Call, base: list[str], facts: _Facts) -> None:
    called, texts = _called(node), _arguments(node)
    if called in _SEARCHERS:
        facts.dynamic = True
    elif called in _IMPORTERS:
        first = texts[0] if texts and isinstance(node.args[0], ast.Constant) else None
        if first is None:
            facts.dynamic = True
        else:
            dots = len(first) - len(first.lstrip("."))
            above = base[: len(base) - dots + 1] if dots else []
            name = ".".join([*above, *([first.lstrip(".")] if first.strip(".") else [])])
            if _DOTTED.fullmatch(name):
                facts.modules.add(name)
    elif called in _RESOURCES and texts and _DOTTED.fullmatch(texts[0]):
        facts.guesses.add(texts[0])
    elif called in ("join", "joinpath", "Path", "with_name") and texts:
        _take_path("/".join(texts), "folder" if _mentions_file(node) else "file", facts)
    elif called in ("glob", "rglob", "iglob") and texts:
        inner = _texts_of(node.func.value) if isinstance(node.func, ast.Attribute) else []
        below = ["**"] if called == "rglob" else []
        _take_path("/".join([*inner, *below, *texts]), "pattern", facts)


def _called(node: ast.Call) -> str:
    """The name of the function or method."""
    func = node.func
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")


def _arguments(node: ast.Call) -> list[str]:
    """Its positional arguments that are strings."""
    constants = (arg.value for arg in node.args if isinstance(arg, ast.Constant))
    return [value for value in constants if isinstance(value, str)]


def _texts_of(node: ast.AST) -> list[str]:
    """['data'] of Path("data"), and of Path(__file__).parent / "data"."""
    if isinstance(node, ast.Call):
        return _arguments(node)
    joined = _joined(node)
    return [joined] if joined else []


def _writes(node: ast.Call) -> bool:
    """Whether it writes to the file that its first argument names."""
    if not node.args:
        return False
    named = (keyword.value for keyword in node.keywords if keyword.arg == "mode")
    modes = [mode.value for mode in (*node.args[1:2], *named) if isinstance(mode, ast.Constant)]
    writes = any(isinstance(mode, str) and set(mode) & set("wax") for mode in modes)
    return (writes and _called(node) == "open") or _called(node) in _WRITERS


def _joined(node: ast.AST) -> str:
    """'data/x.npy' of Path(__file__).parent / "data" / "x.npy"; '' if its end is not a string."""
    parts: list[str] = []
    while (
        isinstance(node, ast.BinOp)
        and isinstance(node.right, ast.Constant)
        and isinstance(node.right.value, str)
    ):
        parts.insert(0, node.right.value)
        node = node.left
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        parts.insert(0, node.value)
    return "/".join(parts)


def _mentions_file(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.Name) and inner.id == "__file__" for inner in ast.walk(node))


def _take_path(text: str, kind: Kind, facts: _Facts) -> None:
    if 0 < len(text) <= _LONGEST_NAME and "\n" not in text and "\0" not in text:
        facts.paths.add((text, kind))


def _existing(path: str, kind: Kind) -> Iterator[str]:
    """The file of this name, those of this pattern, or those in the folder of this name."""
    with suppress(OSError, ValueError):
        if os.path.isfile(path):
            yield path
        elif kind == "pattern":
            found = sorted(glob.glob(path, recursive=True))[:_MOST_FILES]
            yield from (file for file in found if os.path.isfile(file))
        elif kind == "folder" and os.path.isdir(path):
            inside = (os.path.join(at, name) for at, _, names in os.walk(path) for name in names)
            some = [file for file, _ in zip(inside, range(_MOST_FILES), strict=False)]
            yield from sorted(file for file in some if "__pycache__" not in file)


def _stamp(file: str) -> tuple[int, int]:
    status = os.stat(file)
    return status.st_mtime_ns, status.st_size


def hash_of(file: str) -> str:
    """16 hex digits of the file's present content."""
    return _hash_of(file, _stamp(file))


@cache
def _hash_of(file: str, stamp: tuple[int, int]) -> str:
    """Once for each file and state."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


# -- where modules lie


def _chain(name: str, path: tuple[str, ...]) -> list[Module]:
    """A module's packages and the module itself, as far as its name leads to files."""
    top, *rest = name.split(".")
    first = _on_path(top, top, path) or _of_finders(top)
    chain = [first] if first else []
    for part in rest:
        if not chain or not chain[-1].folders:
            break
        found = _on_path(part, f"{chain[-1].name}.{part}", chain[-1].folders)
        if not found:
            break
        chain.append(found._replace(root=chain[0].root))
    return chain


def _on_path(part: str, name: str, path: Iterable[str]) -> Module | None:
    """From the first of these folders that has it, in Python's order: packages, then extensions,
    source and bytecode."""
    portions: list[str] = []
    for folder in path:
        inner = os.path.join(folder, part)
        for suffix in importlib.machinery.all_suffixes():
            if os.path.isfile(os.path.join(inner, f"__init__{suffix}")):
                return Module(name, os.path.join(inner, f"__init__{suffix}"), (inner,), folder)
        for suffix in importlib.machinery.all_suffixes():
            if os.path.isfile(inner + suffix):
                return Module(name, inner + suffix, (), folder)
        if os.path.isdir(inner):
            portions.append(inner)
    return Module(name, None, tuple(portions), os.path.dirname(portions[0])) if portions else None


def _of_finders(top: str) -> Module | None:
    """As editable installs and archives on the path find it."""
    if top in sys.builtin_module_names:
        return Module(top, None, (), "")
    for finder in sys.meta_path:
        # A finder is somebody else's code.
        with suppress(Exception):
            spec = finder.find_spec(top, None)
            if spec is not None:
                folders = tuple(map(str, spec.submodule_search_locations or ()))
                origin = _real_file(spec.origin)
                return Module(top, origin, folders, os.path.dirname(origin or ""))
    return None


def _real_file(origin: str | None) -> str | None:
    """The file itself, or its archive; None if it is built in."""
    while origin and not os.path.isfile(origin):
        above = os.path.dirname(origin)
        origin = above if above != origin else None
    return origin


def _is_standard(module: Module) -> bool:
    if module.name in sys.builtin_module_names:
        return True
    place = module.origin or (module.folders[0] if module.folders else "")
    return not _in_site(module.root) and any(
        place.startswith(folder + os.sep) for folder in _standard_folders()
    )


@cache
def _standard_folders() -> tuple[str, ...]:
    found = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    return tuple({os.path.abspath(folder) for folder in found if folder})


def _in_site(folder: str) -> bool:
    return any(part in ("site-packages", "dist-packages") for part in folder.split(os.sep))


# -- distributions


@cache
def _modules_to_distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _is_there(distribution: str) -> bool:
    try:
        return bool(importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return False


def _distributions_of(top: str) -> tuple[str, ...]:
    """Those with a top-level module of this name; one without a list of files by its own name."""
    found = {_normal(name) for name in _modules_to_distributions().get(top, ())}
    if not found:
        with suppress(importlib.metadata.PackageNotFoundError):
            found = {_normal(importlib.metadata.distribution(top).metadata["Name"] or top)}
    return tuple(sorted(found))


def _is_installed(module: Module, distributions: Iterable[str]) -> bool:
    """Whether an installer put the files there, so that the version stands for them."""
    if not module.root:
        return False
    for name in distributions:
        with suppress(importlib.metadata.PackageNotFoundError):
            found = importlib.metadata.distribution(name)
            beside = os.path.abspath(str(found.locate_file(""))) == os.path.abspath(module.root)
            if beside and (
                found.read_text("RECORD")
                or (_in_site(module.root) and not found.read_text("direct_url.json"))
            ):
                return True
    return False


def exact_version(found: importlib.metadata.Distribution) -> str:
    """Its version, with a hash of its list of files if it comes from a folder or a repository."""
    record = found.read_text("RECORD") if found.read_text("direct_url.json") else None
    if not record:
        return found.version
    return f"{found.version} ({hashlib.sha256(record.encode()).hexdigest()[:12]})"


def _required(found: importlib.metadata.Distribution) -> Iterator[str]:
    for line in found.requires or ():
        name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
        if name and not re.search(r"\bextra\s*==", line):
            yield name[0]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    print(json.dumps(reached(json.load(sys.stdin))))
