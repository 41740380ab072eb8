"""Runs on own data: digests, workers with and without the kept files, folds, the report."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradrace import UserError, data, sweep
from gradrace.data import chance, own
from gradrace.registry import load_registry
from gradrace.report.record_text import described
from gradrace.results import frame
from tiny import planned, swept

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLUGIN = """
from pathlib import Path
import numpy as np
from gradrace import DataSet, Dense, Grouped, TaskSpec

HERE = Path(__file__).parent

def read():
    (HERE / "calls").open("a").write("called\\n")
    table = np.loadtxt(HERE / "mine.csv", delimiter=",")
    return table[:, :2].astype(np.float32), table[:, 2].astype(int), table[:, 3]

DATA = DataSet(name="mine", load=read, split=Grouped(), source="made <b>up</b>", licence="CC0")
FIT = dict(batch_size=8, steps=8, eval_every=4, target=0.5, target_origin="made up")
MINE = TaskSpec(name="mine", title="Mine", data="mine", input_shape=(2,),
                model=(Dense(units=3),), **FIT)
FOLD = TaskSpec(name="fold", title="Fold", data="mine.cv4-1", input_shape=(2,),
                model=(Dense(units=3),), **FIT)
"""
SHORT = {"tasks": ["mine"], "optimizers": ["sgd"], "seeds": 1, "steps": 8, "eval_every": 4}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """With a plug-in, its table of 60 rows in 20 groups, and an empty data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADRACE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(own, "_KNOWN", own._Known())
    data.load.cache_clear()
    rows = [f"{i % 7},{(i * i) % 11},{i % 3},{i // 3}" for i in range(60)]
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    (tmp_path / "mine.py").write_text(PLUGIN)
    yield tmp_path
    data.load.cache_clear()


def calls(folder: Path) -> int:
    file = folder / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


def records(folder: Path) -> list[frame.RunRecord]:
    return list(frame.load(folder / "out").records.values())


def test_a_run_reads_what_the_driver_kept_and_says_what_it_was(folder):
    outcome, frames = swept(folder / "out", [folder / "mine.py"], **SHORT)
    assert outcome.counts == {"ok": 1} and calls(folder) == 2, "the worker did not call it"
    (record,) = frames.records.values()
    facts = record.data
    assert facts and facts.content == record.sources["data mine"] == data.content("mine")
    assert dict(facts.rows) == {"train": 42, "validation": 9, "test": 9}
    assert (facts.shape, facts.classes, facts.licence) == ((2,), 3, "CC0")
    said = dict(described(record))["data"]
    assert said.startswith("mine; 42 + 9 + 9 rows of 2, 3 classes; made <b>up</b>; licence: CC0;")
    (entry,) = (folder / "data" / "own").iterdir()
    assert entry.name == facts.content and (entry / "train_x.npy").stat().st_mode & 0o222 == 0


def test_built_in_data_are_named_too(folder):
    _, frames = swept(folder / "out", **{**SHORT, "tasks": ["digits_mlp"]})
    (record,) = frames.records.values()
    assert record.data and dict(record.data.rows)["train"] == 1152
    assert not record.data.content and "data digits" not in record.sources
    assert "Handwritten Digits" in dict(described(record))["data"]


def test_only_other_content_makes_results_stale(folder):
    def cached() -> int:
        return swept(folder / "out", [folder / "mine.py"], **SHORT)[0].cached

    assert (cached(), cached()) == (0, 1)
    text = PLUGIN.replace("CC0", "CC BY").replace("HERE = ", "# A remark.\nHERE = ")
    (folder / "mine.py").write_text(text)
    assert cached() == 1
    shutil.rmtree(folder / "data")
    assert cached() == 1, "what is kept can be made again"
    with (folder / "mine.csv").open("a") as opened:
        opened.write("\n1,1,1,20")
    assert cached() == 0
    (folder / "mine.py").write_text(PLUGIN.replace("Grouped()", "Grouped(test=0.2)"))
    assert cached() == 0
    (folder / "mine.py").write_text(PLUGIN.replace("source=", "standardise=False, source="))
    assert cached() == 0


def test_a_machine_without_the_entry_makes_it_or_says_that_its_data_differ(folder):
    ready = planned(folder / "out", [folder / "mine.py"], **SHORT)
    shutil.rmtree(folder / "data")
    assert sweep.execute(ready).counts == {"ok": 1}
    again = planned(folder / "other", [folder / "mine.py"], **SHORT)
    shutil.rmtree(folder / "data")
    (folder / "mine.csv").write_text((folder / "mine.csv").read_text().replace("6,3,0", "6,4,0"))
    assert sweep.execute(again).counts == {"failed": 1}
    (record,) = frame.load(folder / "other").records.values()
    assert record.reason.startswith("data set mine: its function gives other data here than when")


def test_runs_that_cannot_be_are_refused_before_anything_is_kept(folder):
    (folder / "mine.py").write_text(PLUGIN.replace("Dense(units=3)", "Dense(units=2)"))
    with pytest.raises(UserError, match="task mine: softmax_cross_entropy needs 3 outputs"):
        planned(folder / "out", [folder / "mine.py"], **SHORT)
    (folder / "mine.py").write_text(PLUGIN.replace("batch_size=8", "batch_size=50"))
    with pytest.raises(UserError, match="larger than the 42 training samples of mine"):
        planned(folder / "out", [folder / "mine.py"], **SHORT)


def test_folds_shares_and_diagnosis(folder):
    shares = {**SHORT, "tasks": ["mine", "fold"], "train_fractions": [0.5, 1.0]}
    options = sweep.Options(output=folder / "out", diagnose=True)
    outcome, frames = swept(folder / "out", [folder / "mine.py"], options, **shares)
    assert outcome.counts == {"ok": 4} and len(frames.norms)
    sizes = {record.spec.task.name: dict(record.data.rows) for record in frames.records.values()}
    assert sizes["fold"] == {"train": 45, "validation": 15, "test": 15}
    for record in frames.records.values():
        found = chance.of(record.spec.task)
        y = data.load(record.spec.task.data).splits["validation"].y
        assert found.samples == len(y) and found.metric > 1 / 3 - 1e-9


def test_the_level_of_chance_is_known_without_the_file(folder):
    swept(folder / "out", [folder / "mine.py"], **SHORT)
    task = next(iter(frame.load(folder / "out").records.values())).spec.task
    known = chance.of(task)
    own._KNOWN.sets.clear()
    data.load.cache_clear()
    frame.load(folder / "out")
    assert chance.of(task) == known and known.samples == 9
    shutil.rmtree(folder / "data")
    data.load.cache_clear()
    assert chance.of(task).samples == 0


def test_names_are_taken_once_and_a_wrong_one_is_asked_about(folder):
    (folder / "other.py").write_text(PLUGIN.split("MINE =")[0])
    with pytest.raises(UserError, match=r"other.py: the name 'mine' is taken already"):
        load_registry([folder / "mine.py", folder / "other.py"])
    (folder / "mine.py").write_text(PLUGIN.replace('data="mine"', 'data="main"'))
    with pytest.raises(
        UserError, match=r"mine.py: task mine: no data set 'main' \(did you mean 'mine'"
    ):
        load_registry([folder / "mine.py"])
    assert calls(folder) == 0, "nothing is read when files are loaded"


def test_a_task_may_stand_in_another_file_than_its_data(folder):
    before, after = PLUGIN.split("FIT =")
    (folder / "data_only.py").write_text(before)
    (folder / "task_only.py").write_text(before.split("HERE =")[0] + "FIT =" + after)
    files = [folder / "task_only.py", folder / "data_only.py"]
    registry = load_registry(files)
    assert set(registry.data) == {"mine"} and "mine" in registry.loaded["tasks"]
    with pytest.raises(UserError, match="no data set 'mine'"):
        load_registry(files[:1])


def test_list_calls_the_function_and_says_what_is_wrong(gradrace, folder):
    def row() -> dict[str, str]:
        done = gradrace("list", "data", "--load", folder / "mine.py", "--json")
        assert done.returncode == 0, done.stderr
        return {each["data"]: each for each in json.loads(done.stdout)["data"]}["mine"]

    assert row() == {"data": "mine", "training samples": "42", "here": "yes", "tasks": "mine"}
    (folder / "mine.csv").unlink()
    found = row()
    assert "data set mine: its function (mine.py, line 10): FileNotFoundError" in found["here"]


def test_bad_data_end_a_command_with_exit_code_2_and_one_line(gradrace, folder):
    (folder / "mine.csv").write_text("1,2,0,1\n1,nan,1,2\n" * 10)
    done = gradrace("run", "quick", "--load", "mine.py", "-k", "mine", "--output", "out")
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert "data set mine: row 1, column 1: missing, and 9 more" in line
    assert not (folder / "out").exists()


def test_nested_folds_of_groups_choose_a_rate(gradrace, folder):
    pytest.importorskip("optuna")
    fit = ("--framework", "numpy", "--dtype", "float64", "--steps", "8", "--fresh-seeds", "2")
    search = ("--optimizer", "momentum", "--budget", "2", "--name", "study", "--nested-cv", "2x2")
    done = gradrace(
        "tune",
        "--task",
        "mine",
        "--load",
        "mine.py",
        *fit,
        *search,
        "--json",
        "-q",
        "--no-report",
        "--sampler",
        "random",
    )
    assert done.returncode == 0, done.stderr
    found = {record.spec.task.data for record in frame.load("results").records.values()}
    assert {f"mine.cv2-{fold}.2-{part}" for fold in (0, 1) for part in (0, 1)} <= found


def test_a_csv_becomes_a_report_by_one_file_of_15_lines_and_one_command(gradrace, folder):
    file = folder / "my_data.py"
    for name in ("my_data.py", "iris.csv"):
        shutil.copy(EXAMPLES / name, folder / name)
    assert len(file.read_text().splitlines()) <= 15
    only = ("--framework", "torch", "--framework", "jax", "--seeds", "1")
    done = gradrace(
        "run",
        "quick",
        "--load",
        file,
        "-k",
        "iris !timing",
        *only,
        "--no-verify",
        "--output",
        "out",
        timeout=540,
    )
    assert done.returncode == 0, done.stderr
    page = (folder / "out" / "html" / "suite-quick.html").read_text()
    assert "Data sets" in page and "Fisher (1936)" in page and "CC BY 4.0" in page
    with (folder / "out" / "html" / "data" / "quick" / "data.csv").open() as opened:
        (row,) = csv.DictReader(opened)
    assert (row["train"], row["validation"], row["test"], row["classes"]) == (
        "106",
        "22",
        "22",
        "3",
    )
    runs = [record for record in records(folder) if record.spec.measure == "convergence"]
    assert len(runs) == 8 and {record.status for record in runs} == {"ok"}
    assert min(record.summary.best_validation_metric for record in runs if record.summary) > 0.8
