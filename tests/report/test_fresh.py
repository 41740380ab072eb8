"""A report is not written again if nothing changed, and is if anything did."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import many
import pytest
from gradrace.report import fresh as fresh_report
from gradrace.report.fresh import fresh, keep, made_of
from gradrace.suite import make_suite
from gradrace.sweep import Options, execute, prepare
from gradrace.sweep.store import Store
from tiny import TINY

SUMMARY = {"tiny": [{"task": "digits_mlp"}]}


@pytest.fixture
def reported(tmp_path):
    """Results with a page, as `gradrace run` leaves them."""
    content = {**TINY, "timing": False, "optimizers": ["sgd"]}
    execute(prepare(make_suite("tiny", content), options=Options(output=tmp_path)))
    folder = tmp_path / "html"
    folder.mkdir()
    for name in ("index.html", "run.html", "suite-tiny.html"):
        (folder / name).write_text("page")
    keep(folder, made_of(tmp_path), SUMMARY)
    return tmp_path, content


def is_fresh(output):
    return fresh(output / "html", made_of(output)) == SUMMARY


def run_of(output):
    return next(output.glob("runs/tiny/*/run.json")).parent


def touch_later(file):
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))


def edit(name, old, new):
    def change(output):
        file = run_of(output) / name
        file.write_bytes(file.read_bytes().replace(old, new))
        touch_later(file)

    return change


def rewrite_freshness(text):
    return lambda output: (output / "html" / ".fresh.json").write_text(text)


CHANGES = {
    "record": edit("run.json", b'"ok"', b'"OK"'),
    "curve": edit("curve.parquet", b"PAR1", b"PAR2"),
    "lost curve": lambda output: (run_of(output) / "curve.parquet").unlink(),
    "another suite": (
        lambda output: (
            (output / "runs" / "other").mkdir()
            or (output / "runs/other/plan.json").write_text("{}")
        )
    ),
    "plan": lambda output: touch_later(output / "runs/tiny/plan.json"),
    "verdicts": lambda output: (output / "verify.json").write_text("{}"),
    "study": lambda output: (output / "runs/tiny/study.json").write_text("{}"),
    "lost suite": lambda output: (output / "html/suite-tiny.html").unlink(),
    "lost page": lambda output: (output / "html/index.html").unlink(),
    "edited page": lambda output: (output / "html/run.html").write_text("other"),
    "no freshness": lambda output: (output / "html/.fresh.json").unlink(),
    "broken freshness": rewrite_freshness("{"),
    "foreign freshness": rewrite_freshness(
        json.dumps({"schema": 1, "made_of": "x", "pages": {}, "summaries": {}})
    ),
    "newer freshness": rewrite_freshness(json.dumps({"schema": 2})),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changed_is_reported_anew(reported, change):
    output, _ = reported
    assert is_fresh(output)
    change(output)
    assert not is_fresh(output)


def test_a_population_is_part_of_a_report(reported):
    output, _ = reported
    with Store(output, "tiny") as store:
        store.write_many([many.result_of(many.spec_of(0))])
    assert not is_fresh(output)
    keep(output / "html", made_of(output), SUMMARY)
    assert is_fresh(output)
    touch_later(next(output.glob("runs/tiny/*/records.json")))
    assert not is_fresh(output)


def test_other_versions_and_sources_make_another_report(reported, monkeypatch):
    output, _ = reported
    monkeypatch.setattr(fresh_report, "version_of", lambda name: "0")
    assert not is_fresh(output)
    monkeypatch.undo()
    monkeypatch.setattr(fresh_report, "hashes", lambda files: {"report": "0"})
    assert not is_fresh(output)


def test_sections_which_no_import_leads_to_are_part_of_the_source(tmp_path, monkeypatch):
    files = []
    monkeypatch.setattr(fresh_report, "hashes", lambda given: files.extend(given) or {})
    made_of(tmp_path)
    assert {"writer.py", "summary.py", "targets.py"} <= {file.name for file in files}


def test_a_run_that_does_nothing_leaves_it_fresh_and_one_that_adds_does_not(reported):
    output, content = reported
    execute(prepare(make_suite("tiny", content), options=Options(output=output)))
    assert is_fresh(output)
    execute(prepare(make_suite("tiny", {**content, "seeds": 3}), options=Options(output=output)))
    assert not is_fresh(output)


def test_the_command_prints_the_same_and_writes_nothing(tmp_path, gradrace):
    from tiny import toml

    (tmp_path / "tiny.toml").write_text(toml({**TINY, "timing": False}))
    first = gradrace("run", "tiny.toml")
    written = changed(tmp_path)
    second = gradrace("run", "tiny.toml")
    assert first.returncode == second.returncode == 0 and first.stdout == second.stdout
    assert changed(tmp_path) == written


HEAVY = ("pandas", "scipy", "matplotlib", "seaborn", "jinja2", "pyarrow", "sklearn")


def changed(folder):
    """Files with their times; folders change when a driver comes and goes."""
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_a_run_that_does_nothing_imports_nothing_heavy(tmp_path):
    from tiny import toml

    (tmp_path / "tiny.toml").write_text(toml({**TINY, "timing": False}))
    command = [sys.executable, "-X", "importtime", "-m", "gradrace", "run", "tiny.toml"]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "gradrace.cli" in imported and not imported & set(HEAVY)
