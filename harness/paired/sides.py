"""The two sides of a comparison, ready to run: commits, interpreters, files or choices.

Context managers that leave nothing behind. Each gives (a, b): b is judged against a.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..errors import ExitCode, UserError
from ..importpath import ImportPath, Plugin, files_of
from ..process import NoAnswer, ask
from ..version import __version__
from . import Side

# How to get a base that a shallow clone lacks.
_DEEPEN = "git fetch --unshallow, or in GitHub Actions `fetch-depth: 0` of actions/checkout"
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
_NAMED_FILES = 5


@contextmanager
def against_base(
    ref: str, plugins: Sequence[Plugin] = (), allow_dirty: bool = False
) -> Iterator[tuple[Side, Side]]:
    """The commit `ref` of the current directory's repository, and its working tree.

    A worktree of the commit is made and removed again. In gradrace's own repository each side runs
    its own gradrace, both from copies. In another repository both run the gradrace that is running
    now, and each side imports modules of the repository's top folder and src/ as they are on that
    side. Files of `plugins` inside the repository are the commit's on the base's side.

    UserError: no git, no repository, no such commit, a file that the commit lacks, or changes that
    are not committed (untracked files do not count; allow_dirty lets all pass). Exit code 3 if the
    base cannot be imported."""
    repository = _repository()
    commit = _commit(repository, ref)
    if not allow_dirty:
        _refuse_dirty(repository)
    with ExitStack() as stack:
        worktree = stack.enter_context(_worktree(repository, commit))
        files = [_at_base(file, repository, worktree, ref) for file in plugins]
        roots = {ref: worktree, "working tree": repository}
        if _is_gradrace(repository):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gradrace-sides-"))
            roots = {
                name: _package(Path(folder, str(n)), _checkout(checkout, name))
                for n, (name, checkout) in enumerate(roots.items())
            }
        base, today = roots.values()
        a = Side(ref, sys.executable, base, tuple(files), details={"commit": commit})
        b = Side("working tree", sys.executable, today, tuple(plugins), details=_state(repository))
        ask_frameworks(a)
        yield a, b


@contextmanager
def of_interpreters(
    a: str | None, b: str | None, plugins: Sequence[Plugin] = ()
) -> Iterator[tuple[Side, Side]]:
    """Two interpreters, None for this one; both run the gradrace that is running now.

    UserError (exit code 3) if one cannot be started or lacks what gradrace needs.
    """
    with tempfile.TemporaryDirectory(prefix="gradrace-side-") as folder:
        root = _package(Path(folder), _running())
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
    from .measure import side_path

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


# -- git


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True
        )
    except FileNotFoundError:
        raise UserError(
            "git is not installed, and --base needs it; compare stored results instead"
        ) from None


def _repository() -> Path:
    here = Path.cwd()
    found = _git(here, "rev-parse", "--show-toplevel")
    if found.returncode:
        raise UserError(
            f"{here}: not in a git repository (or not one that git trusts), so --base has no"
            " meaning here"
        )
    return Path(found.stdout.rstrip("\n")).resolve()


def _commit(repository: Path, ref: str) -> str:
    found = _git(
        repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
    )
    if found.returncode == 0:
        return found.stdout.strip()
    shallow = _git(repository, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    deepen = f"this clone is shallow, fetch more of it: {_DEEPEN}"
    hint = deepen if shallow else "`git log --oneline` lists commits"
    raise UserError(f"--base {ref}: no commit of that name in {repository}; {hint}")


def _changed(repository: Path) -> list[str]:
    lines = _git(repository, "status", "--porcelain", "--untracked-files=no").stdout.splitlines()
    return [line[3:] for line in lines]


def _refuse_dirty(repository: Path) -> None:
    changed = _changed(repository)
    if changed:
        named = ", ".join(changed[:_NAMED_FILES]) + (", ..." if len(changed) > _NAMED_FILES else "")
        raise UserError(
            f"{repository}: changes that are not committed would be measured as if they were the"
            f" commit's: {named}; commit or stash them, or say --allow-dirty"
        )


def _state(repository: Path) -> dict[str, str]:
    commit = _git(repository, "rev-parse", "HEAD").stdout.strip()
    return {"commit": commit + (" with changes" if _changed(repository) else "")}


@contextmanager
def _worktree(repository: Path, commit: str) -> Iterator[Path]:
    """The commit's files in a temporary folder, with git's hooks off: those are the user's own."""
    with tempfile.TemporaryDirectory(prefix="gradrace-base-", ignore_cleanup_errors=True) as folder:
        path = Path(folder).resolve() / "worktree"
        try:
            hooks = ("-c", f"core.hooksPath={os.devnull}")
            add = ("worktree", "add", "--detach", "--force", str(path), commit)
            made = _git(repository, *hooks, *add)
            if made.returncode:
                raise UserError(
                    f"git cannot check {commit[:12]} out: {made.stderr.strip()}",
                    ExitCode.NOTHING_MEASURED,
                )
            yield path
        finally:
            _git(repository, "worktree", "remove", "--force", str(path))
            shutil.rmtree(path, ignore_errors=True)
            _git(repository, "worktree", "prune")


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


def _package(folder: Path, parts: Mapping[str, Path]) -> Path:
    """A folder to put on a path: these parts as a package, and nothing else."""
    root = folder.resolve() / "gradrace-side"
    ignore: Callable[..., set[str]] = shutil.ignore_patterns("__pycache__")
    for place, source in parts.items():
        shutil.copytree(source, root / "gradrace" / place, ignore=ignore, dirs_exist_ok=True)
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
