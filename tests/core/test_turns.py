"""One process at a time changes a file: they wait, and a dead one's turn is over."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from gradrace import turns
from gradrace.errors import UserError
from gradrace.turns import turn

HOLDS = """
import sys, time
from pathlib import Path
from gradrace.turns import turn
with turn(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(300)
"""


def turn_files(folder):
    return [file.name for file in folder.iterdir() if ".turn" in file.name]


def add(file, times):
    for _ in range(times):
        with turn(file):
            count = int(file.read_text())
            # Long enough for others to read the same number, if they may.
            time.sleep(0.001)
            file.write_text(str(count + 1))


def test_processes_that_add_lose_nothing(tmp_path):
    file = tmp_path / "count"
    file.write_text("0")
    spawn = multiprocessing.get_context("spawn")
    adders = [spawn.Process(target=add, args=(file, 25)) for _ in range(4)]
    for each in adders:
        each.start()
    for each in adders:
        each.join(120)
    assert [each.exitcode for each in adders] == [0] * 4
    assert file.read_text() == "100" and not turn_files(tmp_path)


def holder(file):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(file)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"in\n"
    return process


def test_a_living_holder_is_waited_for_and_a_killed_ones_turn_is_over_at_once(tmp_path):
    file = tmp_path / "file"
    process = holder(file)
    refused = pytest.raises(UserError, match=re.escape(f"{file}: another process is changing it"))
    with refused, turn(file, patience_s=0.3):
        raise AssertionError("two at once")
    process.kill()
    with turn(file, patience_s=30):
        assert process.poll() is None or process.returncode == -9
    process.wait()
    assert not turn_files(tmp_path)


def elsewhere(file, content=None):
    """A turn that another machine holds."""
    held = file.with_name(f".{file.name}.turn")
    content = (
        {"place": {"host": "another", "pid": 1, "began": 1.0}, "token": "x"}
        if content is None
        else content
    )
    held.write_text(content if isinstance(content, str) else json.dumps(content))
    return held


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "[]",
        '{"place": 1}',
        '{"place": {"host": "x", "pid": -7, "began": 0.0}}',
        "[" * 4000,
    ],
    ids=["another machine", "empty", "truncated", "list", "no pid", "negative", "deep"],
)
def test_a_turn_that_nobody_touches_is_over_after_a_while(tmp_path, monkeypatch, content):
    monkeypatch.setattr(turns, "OVER_S", 0.5)
    file = tmp_path / "file"
    elsewhere(file, content)
    began = time.monotonic()
    with turn(file, patience_s=60):
        assert time.monotonic() - began > 0.5
    assert not turn_files(tmp_path)


def test_a_turn_that_another_machine_touches_goes_on_whatever_its_clock_says(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "OVER_S", 0.5)
    file, ended = tmp_path / "file", threading.Event()
    held = elsewhere(file)

    def touch():
        times = iter(range(10_000))
        while not ended.wait(0.05):
            os.utime(held, (0, next(times)))

    toucher = threading.Thread(target=touch)
    toucher.start()
    try:
        refused = pytest.raises(UserError, match="another process is changing it")
        with refused, turn(file, patience_s=2):
            raise AssertionError("two at once")
    finally:
        ended.set()
        toucher.join()


def test_a_holder_touches_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "BEAT_S", 0.01)
    file = tmp_path / "file"
    held = file.with_name(".file.turn")
    with turn(file):
        os.utime(held, (0, 0))
        end = time.monotonic() + 60
        while held.stat().st_mtime < 1:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_new_turn_is_not_ended_in_place_of_the_old(tmp_path):
    """Both found that the turn is over; the first of them has begun a turn of its own."""
    file = tmp_path / "file"
    held = elsewhere(file, "new")
    turns._remove(held, "old")
    assert held.read_text() == "new" and turn_files(tmp_path) == [".file.turn"]
    turns._remove(held, "new")
    assert not turn_files(tmp_path)


def test_a_turn_is_left_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), turn(tmp_path / "file"):
        raise ZeroDivisionError
    assert not turn_files(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with (
        pytest.raises(UserError, match=r"none/file: cannot be written"),
        turn(tmp_path / "none/file"),
    ):
        raise AssertionError("there is no such folder")
