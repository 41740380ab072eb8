"""Hundreds of inputs that make no sense: each is refused in words, at once, and nothing is lost."""

from __future__ import annotations

import os
import re
import shlex

import pytest
from options import OPTIONS
from runner import FOREIGN, run

from suites import FILES, GOOD, SUITES


def suite_with(lines: str) -> str:
    """The good suite with these lines in place of its own of the same keys."""
    keys = {line.split("=")[0].strip() for line in lines.split("\n")}
    return "\n".join([*(line for key, line in GOOD.items() if key not in keys), lines])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s.toml").write_text(suite_with(""))
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def refused(arguments, folder, code, words):
    before = sorted(folder.rglob("*"))
    came = run(arguments, folder)
    assert not came.trace, came.trace
    assert came.code == code, came.text
    assert re.search("|".join(map(re.escape, words.split("|"))), came.text), came.text
    assert not any(foreign in came.text for foreign in FOREIGN), came.text
    assert len(came.text) < 3000, "a message is read by a person"
    assert sorted(folder.rglob("*")) == before, "nothing is written"


@pytest.mark.parametrize(("lines", "words"), SUITES, ids=[lines[:60] for lines, _ in SUITES])
def test_a_suite_that_cannot_be(folder, lines, words):
    (folder / "s.toml").write_text(suite_with(lines))
    refused(["run", "s.toml", "--dry-run"], folder, 2, words)


@pytest.mark.parametrize(("name", "content", "words"), FILES, ids=[name for name, *_ in FILES])
def test_a_file_that_is_no_suite(folder, name, content, words):
    (folder / name).write_bytes(content)
    refused(["run", name, "--dry-run"], folder, 2, words)


@pytest.mark.parametrize(
    ("line", "code", "words"), OPTIONS, ids=[line[:70] for line, *_ in OPTIONS]
)
def test_a_command_line_that_cannot_be(folder, line, code, words):
    refused(shlex.split(line), folder, code, words)


def test_the_good_suite_is_good(folder):
    came = run(["run", "s.toml", "--dry-run"], folder)
    assert (came.code, came.trace) == (0, "") and "1 runs" in came.text


def test_the_table_is_long_enough():
    assert len(SUITES) + len(FILES) + len(OPTIONS) >= 250
