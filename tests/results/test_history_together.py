"""The order of nights after a rebase, lines of points, and asv's folders of other projects."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.history import foreign, order, together
from points import point
from repositories import commit, git


def night(number: int, commit: str, **changed):
    return point(at=f"2026-11-{number:02d}T01:00:00+00:00", commit=commit * 40, **changed)


def test_points_stand_in_the_order_of_commits_and_lost_commits_by_time():
    rank = {"a" * 40: 0, "b" * 40: 1, "d" * 40: 2}
    # Recorded late: a commit of long ago. `c` went by a rebase.
    points = [night(1, "b"), night(2, "c"), night(3, "d"), night(4, "a"), night(5, "d")]
    found = order.ordered(points, rank)
    assert "".join(each.commit[0] for each in found) == "abcdd"
    assert order.gone(points, rank) == {"c" * 40} and not order.gone(points, {})
    assert order.ordered(points, {}) == points


def test_ranks_of_a_repository_and_of_a_shallow_clone(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main", "work")
    for message in ("one", "two"):
        (tmp_path / "work" / "file").write_text(message)
        commit(tmp_path / "work", message)
    head = git(tmp_path / "work", "rev-parse", "HEAD")
    assert order.ranks(tmp_path / "work")[head] == 1
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{tmp_path}/work", "shallow")
    assert order.ranks(tmp_path / "shallow") == {} == order.ranks(None)
    assert order.repository_here(tmp_path) is None
    assert order.repository_here(tmp_path / "work") == tmp_path / "work"


def test_lines_share_one_axis_of_nights():
    failed = {"ratio": None, "low": None, "high": None, "log_ratios": (), "decision": "failed"}
    points = [
        night(1, "a"),
        night(2, "b", log_ratios=(0.0, 0.1, 0.2)),
        night(2, "b", machine="second"),
        night(3, "c", **failed),
        night(4, "d", anchor="v2.0", anchor_commit="e" * 40),
        night(4, "d"),
    ]
    found = together.of(points, {letter * 40: n for n, letter in enumerate("abd")})
    assert [(n.commit[0], n.gone) for n in found.nights] == [
        ("a", False),
        ("b", False),
        ("c", True),
        ("d", False),
    ]
    assert [(line.machine, line.anchor, list(line.positions)) for line in found.lines] == [
        ("runner", "v1.0", [0, 1, 3]),
        ("runner", "v2.0", [3]),
        ("second", "v1.0", [1]),
    ]
    line = found.lines[0]
    assert line.points == (points[0], points[1], points[5]) and not line.unpaired
    assert line.log_ratios[1] == pytest.approx(0.1)
    assert line.errors[1] == pytest.approx(0.1 / math.sqrt(3))
    assert found.lost == (points[3],)


# -- asv's folders

ROW_2 = [
    [0.5, None, math.nan, 2.0],
    [["1", "2"], ["'a'", "'b'"]],
    "version",
    1700000000000,
    3.5,
    [0.4, None, None, 1.9],
    [0.6, None, None, 2.1],
]
COLUMNS = [
    "result",
    "params",
    "version",
    "started_at",
    "duration",
    "stats_ci_99_a",
    "stats_ci_99_b",
]
HEAD = {"commit_hash": "a" * 40, "date": 1700000000000, "env_name": "py3.11", "python": "3.11"}
VERSION_2 = {
    **HEAD,
    "version": 2,
    "result_columns": COLUMNS,
    "results": {"suite.time_it": ROW_2, "suite.failed": [None], "suite.track_loss": [[-1.0]]},
}
VERSION_1 = {
    **HEAD,
    "date": 1600000000000,
    "results": {
        "suite.plain": 0.25,
        "suite.failed": None,
        "suite.with": {
            "result": [1.0, 3.0],
            "params": [["1", "2"]],
            "stats": [{"ci_99": [0.9, 1.1]}, None],
        },
    },
}


def written(folder, **files):
    (folder / "m1").mkdir(parents=True)
    (folder / "m1" / "machine.json").write_text("{}")
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "m1" / f"{name}.json").write_text(text)
    return folder


def test_both_versions_of_asv_s_files_are_read(tmp_path):
    folder = written(tmp_path / "asv", two=VERSION_2, one=VERSION_1)
    (folder / "benchmarks.json").write_text(json.dumps({"suite.plain": {"unit": "seconds"}}))
    found = foreign.read(folder)
    assert not found.notes
    assert [(v.benchmark, v.value, v.low, v.high, v.unit) for v in found.values] == [
        ("suite.plain", 0.25, None, None, "seconds"),
        ("suite.with(1)", 1.0, 0.9, 1.1, ""),
        ("suite.with(2)", 3.0, None, None, ""),
        ("suite.time_it(1, 'a')", 0.5, 0.4, 0.6, ""),
        ("suite.time_it(2, 'b')", 2.0, 1.9, 2.1, ""),
    ]
    assert {v.at for v in found.values} == {
        "2020-09-13T12:26:40+00:00",
        "2023-11-14T22:13:20+00:00",
    }
    assert found.values[3].error == pytest.approx(math.log(1.5) / 2 / 2.5758)
    lines = together.of([night(1, "b")], values=found.values).lines
    assert [line.unpaired for line in lines] == [False, *[True] * 5]
    assert lines[1].anchor == "unpaired: asv" and np.isnan(lines[1].errors[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a result file"),
        ("[]", "no object"),
        ({**VERSION_2, "version": 3}, "version 3; gradrace reads 1 and 2"),
        ({**VERSION_2, "commit_hash": "../x"}, "no hash"),
        ({**VERSION_2, "date": "today"}, "could not convert"),
        ({**VERSION_2, "date": 1e300}, "left out"),
        ({"commit_hash": "a", "date": 0}, "no 'results'"),
        ("[" * 100_000, "too deep"),
    ],
)
def test_files_that_are_not_asv_s_are_left_out(tmp_path, content, message):
    folder = written(tmp_path / "asv", bad=content)
    with pytest.raises(UserError, match=message):
        foreign.read(folder)
    (folder / "m1" / "good.json").write_text(json.dumps(VERSION_1))
    found = foreign.read(folder)
    assert len(found.values) == 3 and len(found.notes) == 1 and "bad.json" in found.notes[0]


def test_folders_that_asv_has_not_written(tmp_path):
    with pytest.raises(UserError, match="no such folder; it is results_dir"):
        foreign.read(tmp_path / "nothing")
    with pytest.raises(UserError, match="no results of asv in it"):
        foreign.read(tmp_path)
