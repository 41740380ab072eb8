"""The two sides of a comparison, ready to run: commits, interpreters, files or choices.

Context managers that leave nothing behind. Each gives (a, b): b is judged against a.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from .. import git
from ..errors import ExitCode, UserError
from ..importpath import ImportPath, Plugin, files_of
from ..process import NoAnswer, ask
from ..version import COPIED, __version__, of_checkout
from . import Side
from .dependencies import changed

# Asked of a side's own interpreter. Interface between commits: every gradrace that may be a base
# must have these names, see tests/core/test_interface_between_commits.py.
QUESTION = """
import json, sys
from pathlib import Path
from gradrace.registry import load_registry
registry = load_registry([Path(file) for file in json.loads(sys.argv[1])])
print(json.dumps({name: framework.versions() for name, framework in registry.frameworks.items()}))
"""
_ANSWER_TIMEOUT_S = 120.0
# How the user names the two commits.
_OPTIONS = ("--base", "--head")


@contextmanager
def against_base(
    ref: str, plugins: Sequence[Plugin] = (), allow_dirty: bool = False
) -> Iterator[tuple[Side, Side]]:
    """The commit `ref` of the current directory's repository, and its working tree.

    UserError as `of_commits`, and for changes that are not committed (untracked files do not count;
    allow_dirty lets all pass)."""
    if not allow_dirty:
        git.refuse_dirty(git.repository())
    with of_commits(ref, None, plugins) as both:
        yield both


@contextmanager
def of_commits(
    a: str, b: str | None, plugins: Sequence[Plugin] = (), options: tuple[str, str] = _OPTIONS
) -> Iterator[tuple[Side, Side]]:
    """Two commits of the current directory's repository; None is its working tree.

    A worktree of each commit is made and removed again; no environment is built. In gradrace's own
    repository each side runs its own gradrace, both from copies. In another repository both run the
    gradrace that is running now, and each side imports modules of the repository's top folder and
    src/ as they are on that side. Files of `plugins` inside the repository are those of each side's
    commit. options: how the user names the two. If the two want other packages, b's details say so.

    UserError: no git, no repository, no such commit, a file that a commit lacks. Exit code 3 if one
    side's commit cannot be imported."""
    repository = git.repository(options[0])
    commits = [
        None if ref is None else git.commit(repository, ref, option)
        for ref, option in _named(a, b, options)
    ]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gradrace-sides-")))
        roots = [
            stack.enter_context(git.worktree(repository, commit)) if commit else repository
            for commit in commits
        ]
        sides = [
            _side(ref, commit, repository, root, folder / str(number), plugins)
            for number, (ref, commit, root) in enumerate(zip((a, b), commits, roots, strict=True))
        ]
        sides[1].details.update(_other_dependencies(a, *roots))
        for side, ref in zip(sides, (a, b), strict=True):
            if ref:
                ask_frameworks(side)
        yield sides[0], sides[1]


def _other_dependencies(label: str, a: Path, b: Path) -> dict[str, str]:
    """A detail of side b, if its repository wants other packages than that of a."""
    files = ", ".join(changed(a, b))
    said = f"differ from those of {label} ({files}), but both sides run with what is installed"
    return {"dependencies": f"{said}; --a-python and --b-python give each its own"} if files else {}


def _named(a: str, b: str | None, options: tuple[str, str]) -> tuple[tuple[str | None, str], ...]:
    return ((a, options[0]), (b, options[1]))


def _side(
    ref: str | None,
    commit: str | None,
    repository: Path,
    root: Path,
    copy: Path,
    plugins: Sequence[Plugin],
) -> Side:
    """A side on the files in `root`: those of a commit, or the repository's own. copy: the folder
    that a copy of gradrace is put into, if the repository is gradrace's."""
    label = ref or "working tree"
    files = [_at_base(file, repository, root, label) for file in plugins] if ref else plugins
    details = {"commit": commit} if commit else git.state(repository)
    if _is_gradrace(repository):
        root = _package(copy, _checkout(root, label), of_checkout(root))
    return Side(label, sys.executable, root, tuple(files), details=details)


@contextmanager
def of_interpreters(
    a: str | None, b: str | None, plugins: Sequence[Plugin] = ()
) -> Iterator[tuple[Side, Side]]:
    """Two interpreters, None for this one; both run the gradrace that is running now.

    UserError (exit code 3) if one cannot be started or lacks what gradrace needs.
    """
    with tempfile.TemporaryDirectory(prefix="gradrace-side-") as folder:
        root = _package(Path(folder), _running(), __version__)
        sides = []
        for python in (a, b):
            found = _found(python) if python else sys.executable
            sides.append(Side(python or "this interpreter", found, root, tuple(plugins)))
            ask_frameworks(sides[-1])
        yield sides[0], sides[1]


@contextmanager
def of_files(a: Path, b: Path, plugins: Sequence[Plugin] = ()) -> Iterator[tuple[Side, Side]]:
    """Two files with optimizers, as --load takes them; other `plugins` are given to both sides."""
    labels = (a.name, b.name) if a.name != b.name else (str(a), str(b))
    yield (
        Side(labels[0], sys.executable, None, (*plugins, a), details={"file": str(a)}),
        Side(labels[1], sys.executable, None, (*plugins, b), details={"file": str(b)}),
    )


@contextmanager
def of_cells(a: str, b: str, plugins: Sequence[Plugin] = ()) -> Iterator[tuple[Side, Side]]:
    """This interpreter and source on both sides; the pairs differ. a, b: labels."""
    yield (
        Side(a, sys.executable, None, tuple(plugins)),
        Side(b, sys.executable, None, tuple(plugins)),
    )


def ask_frameworks(side: Side) -> dict[str, dict[str, str] | None]:
    """Framework -> the versions in the side's interpreter, None if one is not installed.

    UserError (exit code 3) if this side's gradrace cannot be imported or its files not loaded."""
    from .processes import side_path

    files = json.dumps([str(file.resolve()) for file in files_of(side.plugins)])
    try:
        answer = ask(
            [side.python, "-P", "-c", QUESTION, files],
            side_path(side, os.environ),
            _ANSWER_TIMEOUT_S,
        )
        return {name: _versions(found) for name, found in answer.items()}
    except NoAnswer as error:
        raise _unusable(side, f"cannot be used: {error}") from None
    except TypeError:
        raise _unusable(side, f"cannot be used: {side.python} answers something else") from None


def _versions(found: object) -> dict[str, str] | None:
    """From an interpreter's answer. TypeError if it is something else."""
    if found is None:
        return None
    if not isinstance(found, dict):
        raise TypeError(found)
    return {str(name): str(version) for name, version in found.items()}


# -- the user's files


def _at_base(file: Plugin, repository: Path, worktree: Path, ref: str) -> Plugin:
    """The user's file at the base; a file outside the repository is the same on both sides."""
    if isinstance(file, ImportPath):
        return replace(file, file=file.file and _file_at_base(file.file, repository, worktree, ref))
    return _file_at_base(file, repository, worktree, ref)


def _file_at_base(file: Path, repository: Path, worktree: Path, ref: str) -> Path:
    absolute = file.resolve()
    if not absolute.is_relative_to(repository):
        return file
    inside = absolute.relative_to(repository)
    if not (worktree / inside).is_file():
        raise UserError(
            f"--load {file}: {ref} has no {inside}; there is nothing to compare it with"
        )
    return worktree / inside


# -- gradrace itself


def _running() -> dict[str, Path]:
    """The folders of the running package: place in the package -> folder."""
    import gradrace.adapters
    import gradrace.suites

    named = {".": gradrace, "adapters": gradrace.adapters, "suites": gradrace.suites}
    return {place: Path(module.__file__ or "").resolve().parent for place, module in named.items()}


def _of_checkout(folder: Path) -> dict[str, Path]:
    return {".": folder / "harness", "adapters": folder / "adapters", "suites": folder / "suites"}


def _checkout(folder: Path, name: str) -> dict[str, Path]:
    parts = _of_checkout(folder)
    for part in parts.values():
        if not part.is_dir():
            raise UserError(
                f"{name}: it has no {part.name}/, so there is no gradrace to run",
                ExitCode.NOTHING_MEASURED,
            )
    return parts


def _is_gradrace(repository: Path) -> bool:
    """Whether this is a repository of gradrace, the running one or another."""
    return (repository / "harness" / "registry.py").is_file() and all(
        p.is_dir() for p in _of_checkout(repository).values()
    )


def _package(folder: Path, parts: Mapping[str, Path], version: str) -> Path:
    """A folder to put on a path: these parts as a package of that version, and nothing else."""
    root = folder.resolve() / "gradrace-side"
    ignore: Callable[..., set[str]] = shutil.ignore_patterns("__pycache__")
    for place, source in parts.items():
        shutil.copytree(source, root / "gradrace" / place, ignore=ignore, dirs_exist_ok=True)
    (root / "gradrace" / COPIED).write_text(version + "\n", encoding="utf-8")
    return root


def _found(python: str) -> str:
    """The interpreter's path, unresolved: a virtual environment is its link to a Python."""
    path = shutil.which(python)
    if path is None:
        raise UserError(
            f"{python}: no such interpreter, or not executable", ExitCode.NOTHING_MEASURED
        )
    with suppress(OSError):
        # Path.absolute keeps `..`, and resolve() follows the link.
        return os.path.abspath(path)  # noqa: PTH100
    return path


def _unusable(side: Side, why: str) -> UserError:
    return UserError(f"{side.label}: {why} (gradrace {__version__})", ExitCode.NOTHING_MEASURED)
