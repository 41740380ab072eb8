"""The anchor of a recording: tags, commits, interpreters, earlier anchors; names of machines."""

from __future__ import annotations

import sys

import pytest
from gradrace.errors import UserError
from gradrace.history import anchors
from gradrace.history.recording import machine_name, rounds
from hypothesis import given
from hypothesis import strategies as st
from points import point
from repositories import commit, git


@pytest.fixture
def work(tmp_path):
    """A repository with four commits; the second is v1.0."""
    git(tmp_path, "init", "-q", "-b", "main", "work")
    work = tmp_path / "work"
    for number in range(4):
        (work / "file").write_text(str(number))
        commit(work, f"change {number}")
        if number == 1:
            git(work, "tag", "v1.0")
    return work


def chosen(work, *given, known=()):
    return [(anchor.label, anchor.commit) for anchor in anchors.chosen(work, given, known)]


def at(work, ref):
    return git(work, "rev-parse", f"{ref}^{{commit}}")


def test_head_is_told_in_full(work):
    head = anchors.head(work)
    assert (head.hash, head.subject) == (at(work, "HEAD"), "change 3") and "T" in head.at


@pytest.mark.parametrize(
    ("given", "label", "ref"),
    [
        ("v1.0", "v1.0", "v1.0"),
        ("1.0", "v1.0", "v1.0"),
        ("HEAD~2", "v1.0", "v1.0"),
        ("HEAD~1", None, "HEAD~1"),
        ("main", None, "HEAD"),
    ],
)
def test_an_anchor_has_the_same_name_every_night(work, given, label, ref):
    assert chosen(work, given) == [(label or at(work, ref)[:12], at(work, ref))]


def test_several_anchors_count_once_each(work):
    assert len(chosen(work, "v1.0", "1.0", "HEAD")) == 2


def test_the_usual_anchor_is_the_newest_tag_before_head(work):
    assert chosen(work) == [("v1.0", at(work, "v1.0"))]
    git(work, "tag", "-a", "v2.0", "-m", "the release of tonight")
    assert chosen(work) == [("v1.0", at(work, "v1.0"))], "a release is measured against the last"
    (work / "file").write_text("later")
    commit(work, "later")
    assert chosen(work) == [("v2.0", at(work, "v2.0"))]


def test_without_tags_the_anchor_of_the_last_recording_then_the_first_commit_recorded(work):
    git(work, "tag", "-d", "v1.0")
    first, second = at(work, "HEAD~3"), at(work, "HEAD~2")
    known = [
        point(at="2026-11-02T01:00:00+00:00", anchor_commit="f" * 40, commit="e" * 40),
        point(at="2026-11-01T01:00:00+00:00", anchor_commit=first, commit=second),
    ]
    assert chosen(work, known=known[1:]) == [(first[:12], first)]
    # A rebase took the last anchor away, so the first commit that was recorded is taken.
    assert chosen(work, known=known) == [(second[:12], second)]


def test_an_interpreter_is_an_anchor(work):
    (anchor,) = anchors.chosen(work, [sys.executable], [])
    assert anchor == anchors.Anchor(python=sys.executable)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "nothing to measure HEAD against: no tag .*--anchor HEAD~10$"),
        (("v9",), "--anchor v9: no commit of that name"),
        (("/no/such/python",), "--anchor /no/such/python: no commit of that name"),
        (("--output=x",), "no commit of that name"),
    ],
)
def test_nothing_to_be_an_anchor(work, given, message):
    git(work, "tag", "-d", "v1.0")
    with pytest.raises(UserError, match=message):
        chosen(work, *given)


def test_a_shallow_clone_and_an_empty_repository_say_what_is_missing(work, tmp_path):
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{work}", "shallow")
    with pytest.raises(UserError, match="shallow, fetch more of it: git fetch --unshallow"):
        chosen(tmp_path / "shallow")
    git(tmp_path, "init", "-q", "empty")
    with pytest.raises(UserError, match="no commit yet"):
        anchors.head(tmp_path / "empty")


def test_a_hosted_runner_has_one_name_for_all_nights():
    hosted = {"RUNNER_ENVIRONMENT": "github-hosted", "ImageOS": "ubuntu24", "RUNNER_OS": "Linux"}
    assert machine_name(hosted) == "github-ubuntu24"
    assert machine_name({**hosted, "ImageOS": ""}) == "github-Linux"
    assert machine_name({**hosted, "ImageOS": "a b/c"}) == "github-a-b-c"
    assert point(machine=machine_name({}))


@given(st.integers(3, 200))
def test_rounds_make_up_the_launches(launches):
    found = rounds(launches)
    assert sum(found) == launches and all(each == 4 for each in found[:-1]) and found[-1] >= 3
