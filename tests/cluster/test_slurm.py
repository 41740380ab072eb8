"""examples/slurm.sh under a stand-in for SLURM: tasks that die are started again."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import drivers
import pytest
import sbatch
from drivers import times_begun, until_begun
from gradrace.sweep.store import read_plan, read_records

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "slurm.sh"
RUNS = 48


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = drivers.make_suite(tmp_path_factory.mktemp("suite"), RUNS)
    env = {"RUNS": str(drivers.runs_file(folder / "calm"))}
    drivers.all_end([drivers.start(folder, folder / "calm", env=env)])
    return folder


@pytest.fixture
def submit(suite, tmp_path):
    """Starts the array; what still runs at the end is ended."""
    out, started = tmp_path / "out", []

    def start(array="", **env):
        told = {"SUITE": str(suite / "many.toml"), "OUTPUT": str(out)}
        told |= {"RUNS": str(drivers.runs_file(out)), **env}
        words = ["--load", str(suite / "counted.py")]
        started.append(sbatch.submit(SCRIPT, tmp_path, *words, array=array, env=told))
        return started[-1], out

    yield start
    for each in started:
        each.stop()


def test_two_of_four_tasks_are_killed_and_requeued(suite, tmp_path, submit):
    array, out = submit(TOGETHER="4", PAUSE="0.02")
    until_begun(out, 8, by=4)
    array.fail(array.tasks[1])
    until_begun(out, 16)
    array.fail(array.tasks[3])
    assert set(array.wait(300).values()) == {0}, array.logs()
    assert [task.starts for task in array.tasks] == [1, 2, 1, 2]
    assert {*times_begun(out)} == {*times_begun(suite / "calm")}
    records = read_records(out, "many")
    assert len(records) == RUNS and len({record.driver for record in records}) >= 4
    last = f"gradrace run {suite}/many.toml --output {out} --load {suite}/counted.py"
    done = sbatch.shell(last, tmp_path, {})
    assert done.returncode == 0 and f"{RUNS} ok ({RUNS} cached)" in done.stderr, done.stderr
    drivers.check_equal(out, suite / "calm")
    pages = {page.stem for page in (out / "html/data/runs/many").glob("*.js")}
    assert pages == set(read_plan(out, "many").digests)
    assert not drivers.left_over(out)


def test_a_task_that_is_told_to_stop_requeues_itself(suite, submit):
    array, out = submit(array="0-1", TOGETHER="2", PAUSE="0.05")
    until_begun(out, 8, by=2)
    array.cancel(array.tasks[0])
    assert set(array.wait(300).values()) == {0}, array.logs()
    assert [task.starts for task in array.tasks] == [2, 1]
    assert "finished runs are kept" in array.logs()
    drivers.check_equal(out, suite / "calm")


@pytest.mark.parametrize(
    ("array", "parts"), [("0-2", 3), ("1-3", 3), ("5-9:2", 3), ("7", 1)], ids=str
)
def test_an_array_may_begin_anywhere_and_count_in_steps(tmp_path, array, parts):
    stand_in = tmp_path / "bin" / "gradrace"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/bash\necho "$@" >> "$OUTPUT/asked"\n')
    stand_in.chmod(0o755)
    env = {"OUTPUT": str(tmp_path / "out")}
    started = sbatch.submit(SCRIPT, tmp_path, "-k", "adam", array=array, env=env)
    assert set(started.wait(60).values()) == {0}, started.logs()
    asked = (tmp_path / "out" / "asked").read_text()
    shards = sorted(re.findall(r"--shard (\S+)", asked))
    assert shards == [f"{part}/{parts}" for part in range(1, parts + 1)]
    assert asked.count("-k adam") == parts


def test_the_script_is_plain_bash():
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0
    assert sbatch.directives(SCRIPT)["array"] == "1-4"
    text = SCRIPT.read_text()
    # SLURM reads no #SBATCH line after the first command.
    assert text.rindex("#SBATCH") < text.index("\nset -u")
