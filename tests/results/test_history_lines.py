"""A history's files: read back whole, each point once; what is cut off or unknown is said."""

from __future__ import annotations

import json

import pytest
from gradrace.errors import UserError
from gradrace.history import Point, lines


def point(cell: str = "digits/numpy-step/sgd", **changed) -> Point:
    figures = {"ratio": 1.02, "low": 1.0, "high": 1.04, "log_ratios": (0.01, 0.02, 0.03)}
    usual = {
        "cell": cell,
        "at": "2026-11-28T01:02:03+00:00",
        "commit": "a" * 40,
        "commit_at": "2026-11-27T00:00:00+00:00",
        "anchor": "v1.0",
        "anchor_commit": "b" * 40,
        "machine": "runner",
        "machine_type": "Linux, a processor",
        "decision": "ok",
    }
    return Point(**{**usual, **figures, **changed})


def test_recordings_come_back_by_time_and_each_once(tmp_path):
    later = [point(at="2026-11-29T01:00:00+00:00"), point("other")]
    earlier = [point(machine="second")]
    for points in (later, earlier):
        lines.write(tmp_path, points, lines.name_of(points))
    lines.write(tmp_path, later, lines.name_of(later))  # a copy of the first file
    read = lines.read(tmp_path)
    assert read.points == (later[1], earlier[0], later[0]) and not read.notes
    assert len(list(tmp_path.glob("*/*"))) == 3


def test_a_line_that_was_cut_off_is_left_out_and_noted(tmp_path):
    file = lines.write(tmp_path, [point(), point("other")], "m/a.jsonl")
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


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="no such folder; .*record --folder"):
        lines.read(tmp_path / "nothing")
