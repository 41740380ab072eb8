"""Sides of a comparison made ready with real git repositories and interpreters; what they leave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.paired import sides
from paths import ROOT
from repositories import commit, git

OPTIMIZER = """
from gradrace import Optimizer, ReferenceRule

def update(p, g, state, lr, t, hyper):
    return p - lr * g, state

MINE = Optimizer(
    name="mine", title="{title}", paper="-", learning_rate=0.1, hyper={{}}, bindings={{}},
    rule=ReferenceRule(init=lambda p, hyper: {{}}, update=update),
)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty repository, being worked in; temporary files land beside it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    monkeypatch.chdir(folder)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return folder


@pytest.fixture
def repository(folder):
    """A user's repository with two commits of one optimizer file."""
    for title in ("first", "second"):
        (folder / "mine.py").write_text(OPTIMIZER.format(title=title))
        (folder / "helper.py").write_text(f"STATE = {title!r}\n")
        commit(folder, title)
    return folder


def nothing_left(repository: Path) -> bool:
    left = list((repository.parent / "temporary").iterdir())
    return len(git(repository, "worktree", "list").splitlines()) == 1 and not left


def test_a_users_file_at_a_commit_against_the_file_now(repository):
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {repository}/hooked\n")
    hook.chmod(0o755)
    with sides.against_base("HEAD~1", [Path("mine.py")]) as (a, b):
        for side, title in ((a, "first"), (b, "second")):
            assert side.plugins[0].read_text().count(title) == 1
        assert (a.label, a.details["commit"]) == ("HEAD~1", git(repository, "rev-parse", "HEAD~1"))
        assert b.details["commit"] == git(repository, "rev-parse", "HEAD")
        code = "import gradrace, helper; print(gradrace.__file__); print(helper.STATE)"
        told = [imported(side, code) for side in (a, b)]
        # Each side finds its own state of the repository.
        assert [lines[1] for lines in told] == ["first", "second"]
        assert told[0][0] == told[1][0], "both run the gradrace that is installed"
        assert len(git(repository, "worktree", "list").splitlines()) == 2
    assert nothing_left(repository) and not (repository / "hooked").exists()


def imported(side, code: str) -> list[str]:
    from gradrace.paired.processes import side_path

    command, env = [side.python, "-P", "-c", code], side_path(side, os.environ)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


def refused(message: str, base: str, *files: list[Path]) -> int:
    """The exit code of a base that is refused with this message."""
    with pytest.raises(UserError, match=message) as caught:
        sides.against_base(base, *files).__enter__()
    return caught.value.exit_code


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError])
def test_worktrees_are_removed_after_errors_and_interrupts(repository, error):
    with pytest.raises(error), sides.against_base("HEAD~1") as (a, _):
        assert a.root is not None and a.root.is_dir()
        raise error("in the middle")
    assert nothing_left(repository)


def test_a_file_that_does_not_load_at_the_base(repository):
    (repository / "mine.py").write_text("def")
    commit(repository, "broken")
    (repository / "mine.py").write_text(OPTIMIZER.format(title="third"))
    commit(repository, "mended")
    invalid = r"HEAD~1: .* line 1: invalid syntax"
    assert refused(invalid, "HEAD~1", [Path("mine.py")]) == 3 and nothing_left(repository)


def changed(repository: Path) -> None:
    (repository / "mine.py").write_text("# changed")


def staged(repository: Path) -> None:
    (repository / "new.py").write_text("")
    git(repository, "add", "new.py")


@pytest.mark.parametrize(("soil", "named"), [(changed, "mine.py"), (staged, "new.py")])
def test_changes_that_are_not_committed_are_refused_unless_allowed(repository, soil, named):
    soil(repository)
    assert refused(rf"not committed.*: {named}; .*--allow-dirty", "HEAD~1") == 2
    with sides.against_base("HEAD~1", allow_dirty=True) as (_, b):
        assert b.details["commit"].endswith(" with changes")
    assert nothing_left(repository)


def test_files_that_git_does_not_follow_do_not_count(repository):
    (repository / "notes.txt").write_text("")
    with sides.against_base("HEAD") as (a, b):
        assert a.details == b.details


def test_bad_bases(repository, tmp_path, monkeypatch):
    (repository / "late.py").write_text(OPTIMIZER.format(title="late"))
    absent = r"--load late.py: HEAD~1 has no late.py"
    for arguments, message in (
        (("no-such-branch",), r"no commit of that name .*git log"),
        (("--output=x",), r"no commit of that name"),
        (("HEAD~1", [Path("late.py")]), absent),
    ):
        assert refused(message, *arguments) == 2 and nothing_left(repository)
    monkeypatch.chdir(tmp_path)
    refused("not in a git repository", "HEAD")


def test_a_shallow_clone_says_how_to_get_the_base(repository, tmp_path, monkeypatch):
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    refused(r"shallow, fetch more of it: git fetch --unshallow.*fetch-depth: 0", "HEAD~1")


def test_without_git(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert refused("git is not installed", "HEAD") == 2


# -- gradrace's own repository


@pytest.fixture
def own(folder):
    """A small history of gradrace itself: a base with a version of its own, and a change."""
    for part in ("harness", "adapters", "suites"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for version, message in (("0.0.1", "base"), ("0.0.2", "now")):
        (folder / "harness" / "version.py").write_text(f'__version__ = "{version}"\n')
        commit(folder, message)
    return folder


def test_each_side_runs_its_own_gradrace(own):
    """Before the installed one, which in a development environment is an editable install."""
    code = (
        "import gradrace, gradrace.adapters.numpy as n, gradrace.suites;"
        " print(gradrace.__version__, n.__file__)"
    )
    with sides.against_base("HEAD~1") as (a, b):
        told = [imported(side, code) for side in (a, b)]
        assert [lines[0] for lines in told] == ["0.0.1", "0.0.2"]
        for side, lines in zip((a, b), told, strict=True):
            assert side.root is not None and Path(lines[1]).is_relative_to(side.root)
    assert nothing_left(own)


NOT_TODAY = "raise RuntimeError('not today')"


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("harness/registry.py", NOT_TODAY, "HEAD~1: cannot be used: RuntimeError: not today"),
        ("adapters", None, "HEAD~1: it has no adapters/"),
    ],
)
def test_a_base_that_cannot_be_imported_is_no_verdict(own, path, text, message):
    if text is None:
        shutil.rmtree(own / path)
    else:
        (own / path).write_text(text)
    commit(own, "broken")
    git(own, "revert", "--no-edit", "HEAD")
    assert refused(message, "HEAD~1") == 3 and nothing_left(own)


# -- interpreters and files


@pytest.fixture
def bare(tmp_path):
    """An interpreter without any package."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")]
    subprocess.run(command, check=True)
    return str(tmp_path / "bare" / "bin" / "python")


def test_interpreters_that_cannot_be_used(tmp_path, bare):
    text = tmp_path / "text"
    text.write_text("not a program")
    text.chmod(0o755)
    for python, message in (
        (bare, "cannot be used: ModuleNotFoundError: No module named"),
        (str(tmp_path / "nowhere"), "no such interpreter"),
        (str(text), "cannot be started|cannot be used"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            sides.of_interpreters(None, python).__enter__()
        assert caught.value.exit_code == 3


def test_an_interpreter_runs_this_gradrace_and_not_its_own(tmp_path):
    """An environment that sees this one's packages, and has another gradrace of its own."""
    environment = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "shared.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
    (site / "gradrace").mkdir()
    (site / "gradrace" / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    python = str(environment / "bin" / "python")
    with sides.of_interpreters(None, python) as (a, b):
        assert sides.ask_frameworks(a) == sides.ask_frameworks(b)
        told = imported(b, "import sys, gradrace; print(sys.executable, gradrace.__file__)")
        assert b.root is not None and told[0] == python and Path(told[1]).is_relative_to(b.root)
    assert not b.root.exists()
