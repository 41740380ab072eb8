"""Rows of commits and releases, losses that are compared and kept, and what is refused."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from gradrace.bisect import releases
from gradrace.bisect.line import Commits
from gradrace.bisect.log import packed, unpacked
from gradrace.bisect.releases import Releases
from gradrace.bisect.traced import first_difference, same
from gradrace.errors import UserError
from repositories import commit, git


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Five commits on main; the third is a merge of a branch with two commits of its own."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    monkeypatch.chdir(folder)

    def edit(name):
        (folder / f"{name}.txt").write_text(name)
        commit(folder, name)

    edit("one")
    git(folder, "checkout", "-q", "-b", "side")
    edit("side-a")
    edit("side-b")
    git(folder, "checkout", "-q", "main")
    edit("two")
    git(folder, "merge", "-q", "--no-ff", "-m", "merge", "side")
    edit("four")
    edit("five")
    return folder


def test_commits_are_those_of_the_first_parents(repository):
    row = Commits("main~4", "main", ())
    told = [row.about(index) for index in range(len(row.ids))]
    assert told == ["one", "two", "merge", "four", "five"]
    assert row.label(0) == git(repository, "rev-parse", "main~4")[:10]


def test_a_merge_says_how_to_look_into_it(repository):
    row = Commits("main~4", "main", ())
    base, tip = (git(repository, "rev-parse", ref)[:10] for ref in ("main~4", "side"))
    assert row.hint(2).endswith(f"is a merge; inside its branch: gradrace bisect {base} {tip}")
    assert row.hint(3) == ""


@pytest.mark.parametrize(
    "good, bad, message",
    [
        ("main", "main", "are one commit"),
        ("main", "main~1", "is newer than BAD main~1: swap them"),
        ("main~3", "side", r"no ancestor of BAD side; begin at their merge base"),
        ("side", "main", "by a merge only.*choose the merge"),
        ("nothing", "main", "GOOD nothing: no commit of that name"),
        ("main", "nothing", "BAD nothing: no commit of that name"),
        ("--help", "main", "GOOD --help: no commit of that name"),
    ],
)
def test_ends_that_make_no_row_are_refused(good, bad, message, repository):
    with pytest.raises(UserError, match=message):
        Commits(good, bad, ())


def test_a_shallow_clone_says_how_to_get_the_rest(repository, tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "-q", "--depth", "2", f"file://{repository}", str(clone)], check=True
    )
    monkeypatch.chdir(clone)
    first = git(repository, "rev-parse", "main~4")
    with pytest.raises(UserError, match="this clone is shallow.*--unshallow"):
        Commits(first, "HEAD", ())


def test_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="not in a git repository"):
        Commits("a", "b", ())


def test_a_commit_that_cannot_be_imported_is_named_shortly(repository, tmp_path):
    (repository / "mine.py").write_text("import no_such_module_here\n")
    commit(repository, "broken")
    row = Commits("HEAD~1", "HEAD", [repository / "mine.py"])
    with pytest.raises(UserError, match=rf"^--load .*: {row.label(0)} has no mine.py"):
        row.sides(0, 1).__enter__()


LISTED = """name (0.3)
Available versions: 0.3, 0.2.1, 0.2, 0.10rc1, 0.1
  INSTALLED: 0.2
"""


@pytest.mark.parametrize(
    "good, bad, ids, message",
    [
        ("0.1", "0.2.1", ["0.1", "0.10rc1", "0.2", "0.2.1"], ""),
        ("0.2", "0.3", ["0.2", "0.2.1", "0.3"], ""),
        ("0.2", "0.2", [], "both toy 0.2"),
        ("0.3", "0.2", [], "GOOD 0.3 is newer than BAD 0.2: swap them"),
        ("0.2", "0.4", [], r"BAD 0.4: pip's index has no release 0.4 of toy \(the last:.*0.3\)"),
        ("--help", "0.4", [], "GOOD --help: pip's index has no release"),
    ],
)
def test_releases_between_two(good, bad, ids, message, monkeypatch, tmp_path):
    monkeypatch.setattr(releases, "_run", lambda *given: LISTED)
    if not message:
        assert list(Releases("toy", (good, bad), tmp_path).ids) == ids
        return
    with pytest.raises(UserError, match=message):
        Releases("toy", (good, bad), tmp_path)


@pytest.mark.parametrize("name", ["-r requirements.txt", "toy==1", "../toy", "", "a b"])
def test_a_name_that_is_none_reaches_no_pip(name, monkeypatch, tmp_path):
    monkeypatch.setattr(releases, "_run", None)
    with pytest.raises(UserError, match="not the name of a distribution"):
        Releases(name, ("1", "2"), tmp_path)


NAN = float("nan")


@pytest.mark.parametrize(
    "a, b, first",
    [
        ([1.0, 2.0], [1.0, 2.0], None),
        ([1.0, 2.0], [1.0, 2.0 + 2**-51], 1),
        ([1.0, 2.0], [1.0], 1),
        ([NAN, NAN], [NAN, NAN], None),
        ([1.0, NAN], [1.0, float("inf")], 1),
        ([], [], None),
    ],
)
def test_losses_are_compared_bit_by_bit(a, b, first):
    x, y = np.array(a), np.array(b)
    assert first_difference({"run": x}, {"run": y}, "run") == first
    assert first_difference({"run": x}, {}, "run") == 0
    assert same(x, y) == (first is None)


def test_losses_are_kept_with_every_bit():
    x = np.random.default_rng(0).standard_normal(40_000)
    x[:3] = NAN, np.inf, -0.0
    pieces = packed(x)
    assert len(pieces) > 1 and unpacked(pieces).tobytes() == x.tobytes()
    assert len(unpacked(packed(np.array([])))) == 0
    with pytest.raises(UserError, match="losses in a log"):
        unpacked(["no base64!"])
