"""The house: no import circle, no private name across files, folders that name their files."""

from __future__ import annotations

import ast
import graphlib
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"harness": "gradrace", "adapters": "gradrace.adapters", "suites": "gradrace.suites"}


class Import(NamedTuple):
    """One imported name: `target` is the module that is loaded, `name` what is taken from it."""

    target: str
    name: str
    line: int


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, of everything that is installed as gradrace."""
    found = {}
    for folder, package in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found[name] = file
    return found


@cache
def imports(module: str) -> tuple[Import, ...]:
    """Of gradrace's own modules, wherever they stand: at the top, in functions, for types alone."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    return tuple(found for node in ast.walk(tree) for found in _imported(module, node))


def _imported(module: str, node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(a.name, "", node.lineno) for a in node.names if a.name in modules())
    if isinstance(node, ast.ImportFrom):
        base = _absolute(module, node)
        for alias in node.names if base in modules() else ():
            whole = f"{base}.{alias.name}"
            target = whole if whole in modules() else base
            yield Import(target, "" if target == whole else alias.name, node.lineno)


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    above = node.level - (modules()[module].name == "__init__.py")
    return ".".join((*parts[: len(parts) - above], *([node.module] if node.module else [])))


def place(module: str) -> str:
    """The folder of a module; a file of harness/ itself is a place of its own."""
    parts = module.split(".")
    if parts[:2] == ["gradrace", "suites"]:
        return ".".join(parts[:3])
    return ".".join(parts[:2])


def circle(edges: dict[str, set[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_file_imports_itself_in_a_circle() -> None:
    assert not circle({name: {i.target for i in imports(name)} - {name} for name in modules()})


def test_no_folder_imports_itself_in_a_circle() -> None:
    edges: dict[str, set[str]] = {}
    for name in set(modules()) - {"gradrace"}:
        beyond = {place(i.target) for i in imports(name) if i.target != "gradrace"}
        edges.setdefault(place(name), set()).update(beyond - {place(name)})
    assert not circle(edges)


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


@pytest.mark.parametrize("name", sorted(modules()))
def test_private_names_stay_in_their_file(name: str) -> None:
    taken = [i for i in imports(name) if i.name.startswith("_") and not i.name.startswith("__")]
    assert not taken


def rows() -> list[list[str]]:
    """Of the picture in docs/architecture.md, from top to bottom: the names in each row."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = text.split("```")[1].strip("\n").splitlines()
    names = [re.findall(r"[\w/]+", line[12:]) for line in picture if line[:12].strip()]
    return [[name.strip("/").replace("/", ".") for name in row] for row in names]


def test_imports_point_down_the_picture_of_the_folders() -> None:
    row = {f"gradrace.{name}": number for number, names in enumerate(rows()) for name in names}
    places = {place(name) for name in modules()} - {"gradrace"}
    assert row.keys() == places and sum(map(len, rows())) == len(row)
    up = [
        f"{name}:{i.line} imports {i.target}"
        for name in set(modules()) - {"gradrace"}
        for i in imports(name)
        if i.target != "gradrace" and row[place(name)] > row[place(i.target)]
    ]
    assert not up


# Folders of contenders and of checks: their files are found by being there, and not listed.
UNLISTED = ("checks", "optimizers", "tasks", "sections", "suites")
# Lines that the folders with many files take.
LINES = {
    "harness": 16,
    "report": 8,
    "draw": 9,
    "verify": 7,
    "statistics": 7,
    "sweep": 7,
    "tables": 8,
    "torch": 8,
    "jax": 8,
    "tensorflow": 8,
    "paired": 7,
    "history": 8,
}


@pytest.mark.parametrize(
    "folder", sorted({file.parent for file in modules().values()}), ids=lambda f: f.name
)
def test_a_folder_names_its_files_in_a_few_lines(folder: Path) -> None:
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    told = ast.get_docstring(tree) or ""
    stems = {file.stem for file in folder.glob("*.py")} - {"__init__", "__main__"}
    if folder.name not in UNLISTED:
        assert not stems - set(re.findall(r"\w+", told))
    assert 1 <= len(told.splitlines()) <= LINES.get(folder.name, 6)


def test_the_wheel_holds_every_folder() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {
        ".".join((FOLDERS[top], *inner))
        for file in modules().values()
        for top, *inner in [file.parent.relative_to(ROOT).parts]
    }
    assert packages == set(listed["tool"]["setuptools"]["packages"])


NAMED = re.compile(r"(?<![\w/.<-])((?:harness|adapters|tests|suites|docs|examples)/[\w/.-]*\w)")
# Names in docs/architecture.md that begin below harness/, such as `suite/names.py`.
SHORT = re.compile(r"`([a-z_/]+\.py)`")
# As in `harness/optimizers/NAME.py`.
PLACEHOLDER = re.compile(r"\b(NAME|FRAMEWORK)\b")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/tutorials/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_documents_name_files_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    whole = {path for path in NAMED.findall(text) if not PLACEHOLDER.search(path)}
    assert not {path for path in whole if not (ROOT / path).exists()}
    if page.stem == "architecture":
        short = set(SHORT.findall(text))
        assert not {path for path in short - whole if not list(ROOT.glob(f"harness/**/{path}"))}


def test_no_two_modules_of_the_tests_have_one_name() -> None:
    """They are imported by their bare names, from folders that come onto sys.path in any order."""
    folders = [ROOT / "tests" / name for name in ("benchmarks", "device", "helpers", "hostile")]
    names = [file.stem for folder in folders for file in folder.glob("[!t]*.py")]
    assert sorted(names) == sorted(set(names))
