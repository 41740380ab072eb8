"""`history show` and `export`: what is found is said, what still stands fails, links are plain."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gradrace.cli import app
from gradrace.errors import UserError
from gradrace.history import asv_files, lines, links, standing
from gradrace.history.detect import Change
from gradrace.history.together import Line
from points import point
from typer.testing import CliRunner


def nights(folder, levels, **changed):
    """A recording a night, the ratios around these levels."""
    rng = np.random.default_rng(7)
    for number, level in enumerate(levels):
        logs = tuple((np.log(level) + rng.normal(0, 0.003, 6)).tolist())
        at = f"2026-{1 + number // 28:02d}-{1 + number % 28:02d}T01:00:00+00:00"
        made = point(at=at, commit=f"{number:040x}", log_ratios=logs, **changed)
        lines.write(folder, [made], lines.name_of([made]))


def call(*arguments, code=0):
    done = CliRunner().invoke(app, ["history", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def stepped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nights(tmp_path / "history", [1.0] * 20 + [1.08] * 20)
    return tmp_path / "history"


def test_a_step_is_named_and_stands(stepped):
    told = call("show", "--folder", stepped, "--no-report")
    assert told.stdout.startswith("digits/numpy-step/sgd: step of +")
    assert f"between {19:040x}"[:16] in told.stdout and "1 of 1 series judged" in told.stdout
    call("show", "--folder", stepped, "--no-report", "--strict", code=4)
    found = json.loads(call("show", "--folder", stepped, "--json", "--no-report").stdout)
    (change,) = found["changes"]
    assert change["kind"] == "step" and change["stands"] and 1.07 < change["ratio"] < 1.09
    assert change["first_after"]["commit"] == f"{20:040x}"
    assert len(found["points"]) == 40 and found["points"][20]["commit"] == f"{20:040x}"


def test_a_slowdown_that_was_mended_does_not_fail(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nights(tmp_path / "results" / "history", [1.0] * 15 + [1.08] * 15 + [1.0] * 15)
    told = call("show", "--no-report", "--strict")
    assert told.stdout.count("step of") == 2


def test_few_nights_are_said_and_nothing_is_no_history(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nights(tmp_path / "few", [1.0] * 3)
    told = call("show", "--folder", "few", "--no-report").stdout
    assert "no step and no drift" in told and "0 of 1 series judged; the others have fewer" in told
    call("show", "--folder", "few", "-k", "adam", "--no-report", code=5)
    (tmp_path / "empty").mkdir()
    call("show", "--folder", "empty", "--no-report", code=5)
    call("show", "--no-report", code=2)
    call("show", "--branch", "x", "--no-report", code=2)
    call("show", "--folder", "few", "--repo-url", "javascript:alert(1)", code=2)


def line(anchor="v1"):
    empty = np.zeros(0)
    return Line("cell", "step", "m", anchor, empty, empty, empty)


def change(ratio, first, series=0):
    return Change(series, "step", first, first + 1, ratio, ratio, ratio)


@pytest.mark.parametrize(
    ("ratios", "stands"),
    [
        ((1.05,), [0]),
        ((0.9,), []),
        ((1.05, 1.04), [0, 1]),
        ((1.05, 0.95), []),
        ((1.1, 0.95), [0]),
        ((0.8, 1.05), [1]),
        ((1.05, 0.95, 1.05), [2]),
    ],
)
def test_a_slowdown_stands_until_the_level_before_it_is_reached_again(ratios, stands):
    changes = [change(ratio, 10 * number) for number, ratio in enumerate(ratios)]
    found = standing.standing([line()], changes)
    assert found == tuple(changes[number] for number in stands)


def test_a_new_anchor_accepts_what_was_before():
    assert not standing.standing([line("v1"), line("v2")], [change(1.05, 3, series=0)])
    assert standing.standing([line("v1"), line("v2")], [change(1.05, 3, series=1)])


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://example.org/o/r.git", "https://example.org/o/r"),
        ("https://user:token@example.org/o/r", "https://example.org/o/r"),
        ("git@example.org:o/r.git", "https://example.org/o/r"),
        ("ssh://git@example.org:22/o/r.git/", "https://example.org/o/r"),
        ("/srv/git/r.git", ""),
        ("file:///srv/r.git", ""),
        ('https://example.org/o/"><script>', ""),
        ("C:/x", ""),
        ("", ""),
    ],
)
def test_addresses_of_remotes_without_passwords(remote, address):
    assert links.from_remote(remote) == address


def test_addresses_that_are_given():
    assert links.checked("https://example.org/o/r/") == "https://example.org/o/r"
    for bad in ("javascript:x", "https://u:p@h/x", "https://h/ x", 'https://h/"'):
        with pytest.raises(UserError, match="--repo-url"):
            links.checked(bad)


def test_asv_loads_what_is_exported(tmp_path):
    results = pytest.importorskip("asv.results")
    first = point(at="2026-11-28T01:00:00+00:00")
    again = point(at="2026-11-29T01:00:00+00:00", log_ratios=(0.2, 0.2, 0.2))
    other = point(cell="other", versions={"numpy": "3.0"}, quantity="memory")
    failed = point(decision="failed", ratio=None, low=None, high=None, log_ratios=(), cell="gone")
    files = asv_files.export([first, again, other, failed], tmp_path / "asv")
    assert len(files) == 2
    loaded = {
        name: found
        for found in results.iter_results(str(tmp_path / "asv"))
        for name in found.get_all_result_keys()
    }
    step = loaded["gradrace.history.step"]
    params = [["'digits/numpy-step/sgd'"], ["'v1.0'"]]
    assert step.get_result_value("gradrace.history.step", params) == pytest.approx([np.exp(0.2)])
    assert step.commit_hash == "a" * 40 and step.params["machine"] == "runner"
    assert loaded["gradrace.history.memory"].params["numpy"] == "3.0"
    assert asv_files.export([first, again, other, failed], tmp_path / "asv") == files
    with pytest.raises(UserError, match="no point .* has a ratio"):
        asv_files.export([failed], tmp_path / "asv")
