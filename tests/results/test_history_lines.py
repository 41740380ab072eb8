"""A history's files: read back whole, each point once; what is cut off or unknown is said."""

from __future__ import annotations

import json

import pytest
from gradrace.errors import UserError
from gradrace.history import lines
from points import point


def test_recordings_come_back_by_time_and_each_once(tmp_path):
    later = [point(at="2026-11-29T01:00:00+00:00"), point(cell="other")]
    earlier = [point(machine="second")]
    for points in (later, earlier):
        lines.write(tmp_path, points, lines.name_of(points))
    lines.write(tmp_path, later, lines.name_of(later))  # a copy of the first file
    read = lines.read(tmp_path)
    assert read.points == (later[1], earlier[0], later[0]) and not read.notes
    assert len(list(tmp_path.glob("*/*"))) == 3


def test_a_line_that_was_cut_off_is_left_out_and_noted(tmp_path):
    file = lines.write(tmp_path, [point(), point(cell="other")], "m/a.jsonl")
    file.write_bytes(file.read_bytes()[:-40])
    read = lines.read(tmp_path)
    assert read.points == (point(),)
    assert read.notes == (f"{file}: line 2 is cut off, and left out",)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schema": 2}, r"line 1: schema 2 is newer .*\(1\); upgrade gradrace"),
        ({"ratio": -1.0}, r"line 1: not a point .*ratio"),
        ({"machine": "../m"}, r"line 1: not a point .*machine"),
        ({"extra": 1}, r"line 1: not a point .*extra: unknown key"),
    ],
)
def test_lines_that_are_no_points_are_named(tmp_path, changed, message):
    (tmp_path / "m").mkdir()
    line = {**json.loads(lines.text_of([point()])), **changed}
    (tmp_path / "m" / "a.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match=message):
        lines.read(tmp_path)


def test_histories_are_joined_and_a_copy_counts_once():
    one, two = point(), point(machine="second")
    joined = lines.joined([lines.Recorded((one,), ("a",)), lines.Recorded((two, one), ("b",))])
    assert joined == lines.Recorded((one, two), ("a", "b"))


@pytest.mark.parametrize("name", ["", "a b", "../m", ".m", "m/n", "m" * 101, "é"])
def test_names_that_machines_cannot_have(name):
    with pytest.raises(UserError, match="--machine"):
        lines.check_machine(name)
    lines.check_machine("Runner-1.local_a")


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for inside in ("file", "file/history"):
        with pytest.raises(UserError, match="cannot be written: Not a directory"):
            lines.check_writable(tmp_path / inside)
    lines.check_writable(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists(), "nothing is made before there is something to keep"
    # Root may write anywhere.
    monkeypatch.setattr(lines.os, "access", lambda *_: False)
    with pytest.raises(UserError, match="cannot be written: Permission denied"):
        lines.check_writable(tmp_path / "a")


def test_ten_thousand_rows_are_one_parse_each(tmp_path):
    points = [point(cell=f"cell {number}") for number in range(10_000)]
    file = lines.write(tmp_path, points, "m/a.jsonl")
    lines.write(tmp_path, points, "m/b.jsonl")
    read = lines.read(tmp_path)
    assert len(read.points) == 10_000 and file.stat().st_size < 10_000_000


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="no such folder; .*record --folder"):
        lines.read(tmp_path / "nothing")
