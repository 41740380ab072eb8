"""Reports that several processes write into one folder: never mixed, never of older results."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from gradrace.commands import reporting
from gradrace.gate import calibrate
from gradrace.report import writer
from gradrace.results import frame
from gradrace.sweep.store import read_plan
from records import make_results, make_specs

# As a driver does at its end, again and again.
WRITES = """
import sys
from pathlib import Path
from gradrace.commands.reporting import refresh
import gradrace.report.writer
print("ready", flush=True)
for line in sys.stdin:
    refresh(Path(sys.argv[1]), "demo")
    print("written", flush=True)
"""
PAGES = ("index.html", "suite-demo.html", "run.html", "compare.html")
SPECS = make_specs(["mlp"], ["torch"], ["sgd", "adam"], seeds=range(4))


def results(output, count):
    return make_results(output, "demo", SPECS, unrun=len(SPECS) - count)


def shown(html):
    """Digests of the runs on the page, and of those whose own pages lie beside it."""
    page = (html / "suite-demo.html").read_text(encoding="utf-8")
    linked = set(" ".join(re.findall(r'data-runs="([^"]*)"', page)).split())
    return linked, {file.stem for file in (html / "data/runs/demo").glob("*.js")}


@pytest.fixture
def drivers(tmp_path):
    command = [sys.executable, "-c", WRITES, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for each in started:
        assert each.stdout.readline() == "ready\n"
    yield started
    for each in started:
        each.kill()
        each.communicate()


def tell(driver):
    driver.stdin.write("\n")
    driver.stdin.flush()


def test_four_drivers_that_end_at_once_leave_one_whole_report_of_the_last_results(
    tmp_path, drivers
):
    html, half, ended = tmp_path / "html", [], threading.Event()

    def read():
        while not ended.wait(0.001):
            for name in PAGES:
                if (html / name).exists() and "</html>" not in (html / name).read_text():
                    half.append(name)

    reader = threading.Thread(target=read)
    reader.start()
    for count in range(2, len(SPECS) + 1, 2):
        for number, driver in enumerate(drivers):
            # Half of them begin before this round's runs are there.
            if number == 2:
                results(tmp_path, count)
            tell(driver)
        assert [driver.stdout.readline() for driver in drivers] == ["written\n"] * 4
        present = set(read_plan(tmp_path, "demo").digests[:count])
        assert shown(html) == (present, present)
    ended.set()
    reader.join()
    assert not half
    left = {file.name for file in html.iterdir()}
    assert left == {"data", ".figures", *PAGES, ".fresh.json"}


def test_of_those_that_end_at_once_one_writes(tmp_path, monkeypatch):
    results(tmp_path, len(SPECS))
    rows = reporting.refresh(tmp_path, "demo")
    shutil.rmtree(tmp_path / "html")
    written, replace = [], writer.replace
    monkeypatch.setattr(writer, "replace", lambda *of: written.append(1) or replace(*of))
    found = []
    drivers = [
        threading.Thread(target=lambda: found.append(reporting.refresh(tmp_path, "demo")))
        for _ in range(4)
    ]
    for each in drivers:
        each.start()
    for each in drivers:
        each.join()
    assert len(written) == 1 and found == [rows] * 4


def test_a_writer_that_is_killed_leaves_a_folder_that_can_be_written_again(tmp_path, monkeypatch):
    results(tmp_path, 2)
    html, frames = tmp_path / "html", frame.load(tmp_path)
    writer.write(frames, html)
    results(tmp_path, 4)

    def killed(path, *of, **options):
        if Path(path).is_dir():
            # In the midst of a folder: its mark was the first to go.
            (Path(path) / ".gradrace-report").unlink()
        if Path(path).exists():
            raise KeyboardInterrupt

    for name in ("shutil.rmtree", "replace_text"):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(f"gradrace.report.writer.{name}", killed)
            writer.write(frame.load(tmp_path), html)
        writer.write(frame.load(tmp_path), html)
        present = set(read_plan(tmp_path, "demo").digests[:4])
        assert shown(html) == (present, present)
        assert {file.name for file in html.iterdir()} == {"data", ".figures", *PAGES}


def test_gates_that_two_processes_add_are_all_kept(tmp_path):
    gate = calibrate.Gate(
        **{"cell": "c", "framework": "jax", "slowdown": 0.0, "started_at": "x"},
        **{"machine_type": "m", "versions": {}, "rule": {}, "log_ratios": (), "decisions": {}},
        **{"cpu_log_ratios": (), "ended_s": (), "contended": 0, "launches": {}},
    )

    def add():
        for _ in range(10):
            calibrate.add(tmp_path, gate)

    adders = [threading.Thread(target=add) for _ in range(3)]
    for each in adders:
        each.start()
    for each in adders:
        each.join()
    assert len(calibrate.read(tmp_path).gates) == 30
    assert [file.name for file in Path(tmp_path).iterdir()] == ["calibration.json"]
