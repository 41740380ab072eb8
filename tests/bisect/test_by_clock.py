"""A whole bisection by the clock on simulated launches: what is named, the log, and resuming."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gradrace.bisect import Question, run, text, timed
from gradrace.bisect.log import Log
from gradrace.errors import ExitCode, UserError
from gradrace.paired import Side
from gradrace.paired.measure import Launch
from gradrace.paired.processes import Failure

SPREAD = 0.01


class MadeUp:
    """A row of versions with given log ratios to GOOD. None: its sides cannot be made ready. A
    text: its cell fails with this reason."""

    def __init__(self, levels, spread=SPREAD, die_after=None):
        self.levels, self.spread, self.die_after = levels, spread, die_after
        self.ids = [f"{number:040x}" for number in range(len(levels))]
        self.launched = 0
        self.random = np.random.default_rng(len(levels))

    def label(self, index):
        return f"v{index}"

    def about(self, index):
        return f"edit {index}"

    def hint(self, index):
        return ""

    @contextmanager
    def sides(self, older, newer):
        for index in (older, newer):
            if self.levels[index] is None:
                raise UserError(f"v{index}: cannot be used", ExitCode.NOTHING_MEASURED)
        yield Side(str(older), "python"), Side(str(newer), "python")

    def launcher(self, quantity, pairs, sides, rule):
        """Stands for paired.quantities.launcher."""
        a, b = (self.levels[int(side.label)] for side in sides)

        def launch(cells):
            if self.launched == self.die_after:
                raise KeyboardInterrupt
            self.launched += 1
            if isinstance(b, str):
                return {cell: Failure(b) for cell in cells}
            x = {cell: (b - a) * (cell + 1) for cell in cells}
            noise = {cell: self.spread * self.random.standard_normal() for cell in cells}
            return {cell: Launch(x[cell] + noise[cell], 0.0, 1e-3, 1e-3) for cell in cells}

        return launch


class Named:
    """All of a pair that a bisection reads."""

    def __init__(self, name):
        self.name = name


def question(row, **other):
    rule = {"threshold": 0.05, "alpha": 0.05, "launches": 6.0}
    fields = {"good": row.ids[0], "bad": row.ids[-1], "suite": "quick", "cells": ("c",)}
    return Question(**{**fields, "rule": rule, "machine": "m", **other})


def bisect(row, monkeypatch, file, resume=False, budget_s=1e6, cells=1):
    monkeypatch.setattr(timed, "launcher", row.launcher)
    asked = question(row)
    log = Log(file, asked, resume)
    job = run.Job(question=asked, row=row, log=log, budget_s=budget_s, watch=lambda line: None)
    return run.by_clock(job, [Named(f"cell {number}") for number in range(cells)])


def slow_from(culprit, count=33, by=1.05):
    return [math.log(by) if index >= culprit else 0.0 for index in range(count)]


@pytest.mark.parametrize("by", [1.05, 0.95, 2.0])
@pytest.mark.parametrize("culprit", [1, 13, 32])
def test_the_planted_commit_is_named_with_ratio_and_interval(culprit, by, monkeypatch, tmp_path):
    row = MadeUp(slow_from(culprit, by=by))
    found = bisect(row, monkeypatch, tmp_path / "log.jsonl")
    (change,) = found.changes
    assert found.outcome == "found" and text.exit_code(found) == ExitCode.OK
    assert (change.version, change.before) == (row.ids[culprit], row.ids[culprit - 1])
    assert change.confirmed and change.about == f"edit {culprit}"
    assert change.low < by < change.high and change.share == pytest.approx(1, abs=0.4)
    assert f"{change.ratio:.3f}" in text.answer(found)
    # 12 for the ends, about 3 for each of five commits, at least 6 for the confirmation.
    assert row.launched == found.launches <= 50


def test_equal_ends_are_nothing_to_bisect(monkeypatch, tmp_path):
    found = bisect(MadeUp([0.0] * 9), monkeypatch, tmp_path / "log.jsonl")
    assert found.outcome == "none" and not found.tested
    assert text.exit_code(found) == ExitCode.NOTHING_MATCHED
    assert "four times out of five" in text.answer(found) and found.low < 1 < found.high


def test_ends_too_noisy_to_tell_are_no_all_clear(monkeypatch, tmp_path):
    row = MadeUp([0.0] * 9, spread=0.3)
    monkeypatch.setattr(timed.Clock, "__call__", lambda self: 1000.0 * row.launched)
    found = bisect(row, monkeypatch, tmp_path / "log.jsonl", budget_s=20_000)
    assert found.outcome == "unconfirmed" and "nothing is named" in text.answer(found)
    assert text.exit_code(found) == ExitCode.INCONCLUSIVE


def test_two_changes_are_both_named(monkeypatch, tmp_path):
    levels = [0.0] * 5 + [0.04] * 6 + [0.09] * 6
    found = bisect(MadeUp(levels, spread=0.003), monkeypatch, tmp_path / "log.jsonl")
    assert [change.about for change in found.changes if change.confirmed] == ["edit 5", "edit 11"]
    assert sum(change.share for change in found.changes) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("broken", [None, "ImportError: no module"])
def test_if_the_commit_is_among_those_that_cannot_be_run_all_are_named(
    broken, monkeypatch, tmp_path
):
    levels = [*slow_from(4, 9)]
    levels[4] = levels[3] = broken
    row = MadeUp(levels)
    found = bisect(row, monkeypatch, tmp_path / "log.jsonl")
    (change,) = found.changes
    assert change.among == tuple(row.ids[3:6]) and "one of " in text.answer(found)
    skipped = [each for each in found.tested if each.place == "skipped"]
    assert [each.version for each in skipped] == ["v3", "v4"] and all(s.reason for s in skipped)


def test_an_end_that_cannot_be_run_is_an_error(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="v2: cannot be used"):
        bisect(MadeUp([0.0, 0.0, None]), monkeypatch, tmp_path / "log.jsonl")
    found = bisect(MadeUp([0.0, 0.0, "died"]), monkeypatch, tmp_path / "other.jsonl")
    assert found.outcome == "failed" and text.answer(found).endswith("died")
    assert text.exit_code(found) == ExitCode.NOTHING_MEASURED


def test_of_several_cells_the_one_that_changed_most_is_followed(monkeypatch, tmp_path):
    found = bisect(MadeUp(slow_from(2, 5)), monkeypatch, tmp_path / "log.jsonl", cells=3)
    assert found.cell == "cell 2" and found.ratio == pytest.approx(1.05**3, abs=0.02)
    assert "3 of 3 cells changed" in found.notes[0]


def test_what_is_not_found_again_is_not_named(monkeypatch, tmp_path):
    row = MadeUp(slow_from(3, 9))
    before = row.sides

    @contextmanager
    def drifting(older, newer):
        if older:
            row.levels = [0.0] * 9
        with before(older, newer) as both:
            yield both

    row.sides = drifting
    found = bisect(row, monkeypatch, tmp_path / "log.jsonl")
    assert found.outcome == "unconfirmed" and not found.changes[0].confirmed
    assert text.exit_code(found) == ExitCode.INCONCLUSIVE


@pytest.mark.parametrize("killed_at", [0, 1, 7, 12, 14, 20, 26, 31])
def test_a_killed_bisection_goes_on_and_measures_nothing_twice(killed_at, monkeypatch, tmp_path):
    file = tmp_path / "log.jsonl"
    row = MadeUp(slow_from(13), die_after=killed_at)
    with pytest.raises(KeyboardInterrupt):
        bisect(row, monkeypatch, file)
    # Killed while it wrote: half a line.
    with file.open("a") as log:
        log.write('{"kind": "lau')
    row.die_after = None
    found = bisect(row, monkeypatch, file, resume=True)
    assert found.changes[0].version == row.ids[13] and found.changes[0].confirmed
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    launches = [line for line in lines if line["kind"] == "launch"]
    assert len(launches) == row.launched == found.launches
    decided = [line["version"] for line in lines if line["kind"] == "decision"]
    assert len(decided) == len(set(decided)) == 5
    # Finished: a third time, all is there.
    again = bisect(row, monkeypatch, file, resume=True)
    assert again.changes == found.changes and row.launched == len(launches)


def test_when_the_time_ends_the_answer_says_how_to_go_on(monkeypatch, tmp_path):
    file = tmp_path / "log.jsonl"
    row = MadeUp(slow_from(13))
    clock = timed.Clock.__call__
    monkeypatch.setattr(timed.Clock, "__call__", lambda self: float(row.launched))
    found = bisect(row, monkeypatch, file, budget_s=20)
    assert found.outcome == "stopped" and f"--resume {file}" in text.answer(found)
    assert found.rest[0].reason.startswith("not searched")
    assert text.exit_code(found) == ExitCode.INCONCLUSIVE
    monkeypatch.setattr(timed.Clock, "__call__", clock)
    assert bisect(row, monkeypatch, file, resume=True).changes[0].version == row.ids[13]


@pytest.mark.parametrize(
    "other, message",
    [
        ({"good": "f" * 40}, "has good"),
        ({"bad": "f" * 40}, "has bad"),
        ({"cells": ("other",)}, "has cells"),
        ({"versions": {"torch": "2.0"}}, "has versions none, and now it is torch 2.0"),
        ({"machine": "n"}, "another type of machine"),
        ({"losses": True}, "has losses"),
        ({"rule": {"threshold": 0.1}}, "has rule threshold 0.05"),
    ],
)
def test_a_log_of_another_question_is_refused(other, message, tmp_path):
    row, file = MadeUp([0.0, 1.0]), tmp_path / "log.jsonl"
    Log(file, question(row), resume=False)
    with pytest.raises(UserError, match=message):
        Log(file, question(row, **other), resume=True)
    Log(file, question(row), resume=True)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "not a log of gradrace bisect"),
        ("{}\n", "line 1: not of gradrace bisect"),
        ("\x00\xff\n", "line 1|UTF-8"),
        ('{"kind": "launch", "phase": "ends", "seconds": 1, "outcomes": {}}\n', "not a log of"),
        ('{"kind": "question", "question": {"schema": 2}}\n', "schema 2 is newer"),
        ("GOOD LINE" + '{"kind": "launch", "phase": "ends", "seconds": -1}\n', "line 2: not of"),
        (
            "GOOD LINE" + '{"kind": "launch", "phase": "e", "seconds": 1, "outcomes": {"x": 1}}\n',
            "line 2",
        ),
    ],
)
def test_a_damaged_log_is_refused_by_line(content, message, tmp_path):
    row, file = MadeUp([0.0, 1.0]), tmp_path / "log.jsonl"
    Log(file, question(row), resume=False)
    file.write_text(content.replace("GOOD LINE", file.read_text()), encoding="latin-1")
    with pytest.raises(UserError, match=message):
        Log(file, question(row), resume=True)


def test_a_log_is_never_overwritten_and_must_be_there_to_be_resumed(tmp_path):
    row, file = MadeUp([0.0, 1.0]), tmp_path / "log.jsonl"
    Log(file, question(row), resume=False)
    with pytest.raises(UserError, match=r"log.jsonl: cannot be written: File exists"):
        Log(file, question(row), resume=False)
    with pytest.raises(UserError, match=r"none.jsonl: cannot be read: No such file"):
        Log(Path(tmp_path / "none.jsonl"), question(row), resume=True)
