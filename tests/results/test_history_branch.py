"""A history on a branch: real repositories, a remote, and others that push at the same time."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gradrace.errors import UserError
from gradrace.history import branch, lines, plumbing
from points import point
from repositories import commit, git

NAME = "gradrace-history"


@pytest.fixture
def remote(tmp_path):
    """A bare repository with one commit on main."""
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "init", "-q", "-b", "main", "first")
    (tmp_path / "first" / "code.py").write_text("")
    commit(tmp_path / "first", "code")
    git(tmp_path / "first", "push", "-q", str(tmp_path / "remote.git"), "main")
    return tmp_path / "remote.git"


@pytest.fixture
def clone(remote):
    """Makes clones of the remote."""

    def make(name: str, *options: str) -> Path:
        git(remote.parent, "clone", "-q", *options, f"file://{remote}", name)
        return remote.parent / name

    return make


def file_of(machine: str) -> dict[str, bytes]:
    points = [point(machine=machine)]
    return {lines.name_of(points): lines.text_of(points).encode()}


def machines(repository: Path) -> list[str]:
    return sorted(point.machine for point in branch.read(repository, NAME).points)


def test_a_new_branch_touches_neither_files_nor_index(clone):
    work = clone("work")
    (work / "code.py").write_text("changed")
    (work / "new.py").write_text("")
    git(work, "add", "new.py")
    before = git(work, "status", "--porcelain"), git(work, "rev-parse", "HEAD")
    for machine in ("m1", "m2"):
        added = branch.add(work, NAME, file_of(machine), f"{machine}: a recording\n")
        assert added == (git(work, "rev-parse", NAME), "")
    assert machines(work) == ["m1", "m2"]
    assert (git(work, "status", "--porcelain"), git(work, "rev-parse", "HEAD")) == before
    assert git(work, "log", "--format=%s", NAME).split("\n") == [
        "m2: a recording",
        "m1: a recording",
    ]
    assert "code.py" not in git(work, "ls-tree", "-r", "--name-only", NAME)


def test_runners_that_push_at_once_lose_nothing(clone, remote):
    names = [f"m{number}" for number in range(4)]
    clones = [clone(name, *(["--depth", "1"] if name == "m0" else [])) for name in names]

    def push(at: Path) -> str:
        return branch.add(at, NAME, file_of(at.name), "one\n", "origin").remote

    with ThreadPoolExecutor(len(clones)) as pool:
        assert list(pool.map(push, clones)) == ["origin"] * len(clones)
    assert machines(remote) == names
    assert int(git(remote, "rev-list", "--count", NAME)) == len(names), "no merges are needed"


def test_two_processes_in_one_clone_lose_nothing(clone, remote):
    work = clone("work")
    names = [f"m{number}" for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: branch.add(work, NAME, file_of(name), "x\n", "origin"), names))
    assert machines(remote) == machines(work) == names


def test_recordings_that_could_not_be_pushed_are_pushed_with_the_next(clone, remote):
    work, other = clone("work"), clone("other")
    branch.add(work, NAME, file_of("m1"), "x\n", "origin")
    branch.add(work, NAME, file_of("m2"), "not pushed\n")
    branch.add(other, NAME, file_of("m3"), "x\n", "origin")
    branch.add(work, NAME, file_of("m4"), "x\n", "origin")
    assert machines(remote) == ["m1", "m2", "m3", "m4"] == machines(work)
    assert git(work, "rev-parse", NAME) == git(remote, "rev-parse", NAME)


def test_a_new_clone_goes_on_from_what_it_fetched(clone, remote):
    branch.add(clone("work"), NAME, file_of("m1"), "x\n", "origin")
    new = clone("new")
    assert machines(new) == ["m1"], "it is read from the remote's branch"
    branch.add(new, NAME, file_of("m2"), "x\n")
    assert git(new, "rev-parse", f"{NAME}~") == git(remote, "rev-parse", NAME)


def test_a_clone_of_one_branch_fetches_the_history(clone, remote):
    branch.add(clone("work"), NAME, file_of("m1"), "x\n", "origin")
    new = clone("new", "--single-branch")
    assert not branch.is_there(new, NAME)
    branch.fetch(new, NAME, "origin")
    assert branch.is_there(new, NAME) and machines(new) == ["m1"]
    branch.fetch(new, "not-there", "origin")
    remote.rename(remote.parent / "moved.git")
    branch.fetch(new, NAME, "origin")


def test_a_push_that_is_refused_says_so_and_keeps_the_points(clone, remote):
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'ERROR: Permission to o/r.git denied to fork.' >&2\nexit 1\n")
    hook.chmod(0o755)
    work = clone("work")
    with pytest.raises(UserError, match=r"(?s)refused the push.*Nothing is lost.*contents: write"):
        branch.add(work, NAME, file_of("m1"), "x\n", "origin")
    assert machines(work) == ["m1"]
    hook.unlink()
    branch.add(work, NAME, file_of("m2"), "x\n", "origin")
    assert machines(remote) == ["m1", "m2"]


def test_a_remote_that_is_gone(clone, remote):
    work = clone("work")
    remote.rename(remote.parent / "moved.git")
    with pytest.raises(UserError, match="refused the push.*does not appear to be a git repository"):
        branch.add(work, NAME, file_of("m1"), "x\n", "origin")
    assert machines(work) == ["m1"]


@pytest.mark.parametrize(
    ("name", "remote_name", "message"),
    [
        ("main", "", "is checked out"),
        ("a..b", "", "no branch of that name"),
        ("-x", "", "no branch of that name"),
        (NAME, "upstream", r"no such remote \(there are origin\)"),
    ],
)
def test_branches_and_remotes_that_cannot_be_used(clone, name, remote_name, message):
    work = clone("work")
    with pytest.raises(UserError, match=message):
        branch.add(work, name, file_of("m1"), "x\n", remote_name)
    with pytest.raises(UserError, match=message):
        branch.check(work, name, remote_name)


def test_a_branch_that_is_not_there(clone):
    with pytest.raises(UserError, match=f"no such branch .*git fetch origin {NAME}:{NAME}"):
        branch.read(clone("work"), NAME)


def test_a_machine_without_an_author_and_one_with(clone, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    work = clone("work")
    branch.add(work, NAME, file_of("m1"), "x\n")
    assert git(work, "log", "-1", "--format=%an %ce", NAME) == "gradrace history gradrace@localhost"
    git(work, "config", "user.name", "Ann")
    git(work, "config", "user.email", "ann@example.org")
    branch.add(work, NAME, file_of("m2"), "x\n")
    assert git(work, "log", "-1", "--format=%an %ce", NAME) == "Ann ann@example.org"


def test_hooks_of_the_user_are_left_alone(clone):
    work = clone("work")
    for name in ("pre-push", "reference-transaction", "post-commit"):
        hook = work / ".git" / "hooks" / name
        hook.write_text("#!/bin/sh\ntouch hooked\nexit 1\n")
        hook.chmod(0o755)
    branch.add(work, NAME, file_of("m1"), "x\n", "origin")
    assert not list(work.parent.rglob("hooked"))


def test_git_s_last_words():
    with pytest.raises(plumbing.Refused, match="fatal: Not a valid object name nothing"):
        plumbing.call(Path(), "ls-tree", "nothing")


def test_files_that_are_no_recordings_and_links_are_left_out(clone):
    work = clone("work")
    branch.add(work, NAME, {"README.md": b"# a", "deep/er/a.jsonl": b"{", **file_of("m1")}, "x\n")
    link = plumbing.store(work, lines.text_of([point(machine="link")]).encode())
    subprocess.run(["git", "-C", str(work), "checkout", "-q", NAME], check=True)
    git(work, "update-index", "--add", "--cacheinfo", f"120000,{link},m1/link.jsonl")
    git(work, "commit", "-q", "-m", "a link")
    assert machines(work) == ["m1"]
