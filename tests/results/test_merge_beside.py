"""`gradrace merge` of studies, and of the files beside the runs."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from foreign import edit
from gradrace.machine import this_machine
from gradrace.merge import merge
from gradrace.results import frame
from gradrace.sweep.lanes import Measured, add_measured, read_measured
from gradrace.verify import file as verify_file
from gradrace.verify.verdict import SCHEMA as VERIFY_SCHEMA
from gradrace.verify.verdict import VerifyFile
from merging import (
    HOUR,
    call,
    kept,
    origin,
    run,
    write,
)

# -- studies, and files beside the runs

TUNE = ("--optimizer", "sgd", "--framework", "numpy", "--task", "digits_mlp", "--fresh-seeds", "1")
TUNE += ("--dtype", "float64")
TUNE += ("--steps", "10", "--no-report", "--name", "study", "--budget", "2")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small study of `gradrace tune`."""
    folder = tmp_path_factory.mktemp("study")
    command = [sys.executable, "-m", "gradrace", "tune", *TUNE, "-o", "results"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "results"


def test_a_study_is_merged_with_its_suggestions(study: Path, tmp_path: Path) -> None:
    write(tmp_path / "b", [run(0)])
    shutil.copytree(study, tmp_path / "part")
    journal = tmp_path / "part/runs/study/trials.jsonl"
    journal.write_text(journal.read_text().splitlines(keepends=True)[0] + '{"cut')
    for number, order in enumerate(itertools.permutations([study, tmp_path / "part"])):
        output = tmp_path / str(number)
        merge([*order, tmp_path / "b"], output)
        for name in ("study.json", "trials.jsonl", "plan.json"):
            ours, theirs = (folder / "runs/study" / name for folder in (output, study))
            assert ours.read_text() == theirs.read_text(), "the one that has come further"
        assert kept(output, "study") == kept(study, "study")
        assert frame.load(output).studies.keys() == {"study"}
    command = [sys.executable, "-m", "gradrace", "tune", *TUNE, "-o", str(output)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert kept(output, "study") == kept(study, "study"), "it goes on where it was: at its end"


def other_seed(folder: Path) -> None:
    edit(folder / "study.json", seed=5)


def other_suggestion(folder: Path) -> None:
    text = (folder / "trials.jsonl").read_text()
    (folder / "trials.jsonl").write_text(text.replace('"trial":1', '"trial":7'))


def no_study(folder: Path) -> None:
    (folder / "study.json").unlink()
    plan = json.loads((folder / "plan.json").read_text())
    edit(folder / "plan.json", **plan | {"origin": origin("S")["origin"].to_json()})


def no_suggestion(folder: Path) -> None:
    (folder / "trials.jsonl").write_text('{"a": 1}\n')


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_seed, "two different studies"),
        (other_suggestion, "two different studies"),
        (no_study, "a study of `gradrace tune` in"),
        (no_suggestion, "trials.jsonl, line 1: not a suggestion"),
    ],
)
def test_two_studies_of_one_name_are_refused(
    study: Path, tmp_path: Path, change: Callable[[Path], Any], words: str
) -> None:
    shutil.copytree(study, tmp_path / "b")
    change(tmp_path / "b/runs/study")
    for order in ([study, tmp_path / "b"], [tmp_path / "b", study]):
        done = call(*order, "-o", tmp_path / "c")
        assert done.exit_code == 2 and words in done.output, done.output
        assert not (tmp_path / "c").exists()


def verdicts(when: str) -> VerifyFile:
    made: dict[str, Any] = {"gradrace": "1", "started_at": when, "seconds": 1.0, "options": {}}
    made |= {"versions": {}, "sources": {}, "machine": this_machine(), "verdicts": ()}
    return VerifyFile(schema=VERIFY_SCHEMA, **made)


FIRST, SECOND = verdicts(HOUR.format(1)), verdicts(HOUR.format(2))


@pytest.mark.parametrize(
    ("a", "b", "own", "expected", "words"),
    [
        (FIRST, None, None, FIRST, "verify.json: from"),
        (FIRST, FIRST, None, FIRST, "verify.json: from"),
        (FIRST, SECOND, None, None, "left out"),
        (FIRST, None, SECOND, SECOND, "keeps its own"),
        (None, None, SECOND, SECOND, ""),
        (FIRST, None, FIRST, FIRST, ""),
    ],
)
def test_verdicts_are_taken_over_if_all_agree(
    two: tuple[Path, Path, Path], a: Any, b: Any, own: Any, expected: Any, words: str
) -> None:
    for folder, found in zip(two, (a, b, own), strict=True):
        if found:
            verify_file.write(folder, found)
    done = call(two[0], two[1], "-o", two[2])
    assert done.exit_code == 0 and words in done.stdout
    assert ("verify.json" in done.stdout) == bool(words)
    assert verify_file.read(two[2]) == expected


def test_times_of_lanes_are_kept_for_each_type_of_machine(two: tuple[Path, Path, Path]) -> None:
    a, b, c = two

    def measured(machine: str, share: float) -> Measured:
        names = {"framework": "jax", "shape": "s", "task": "t", "optimizer": "o"}
        return Measured(machine_type=machine, **names, lanes=8, runs=8, share=share)

    for folder, machine, share in ((a, "x", 0.5), (b, "x", 0.6), (b, "y", 0.7), (c, "z", 0.8)):
        add_measured(folder, measured(machine, share))
    assert "2 times of lanes added" in call(a, b, "-o", c).stdout
    found = {each.machine_type: each.share for each in read_measured(c).measured}
    assert found == {"z": 0.8, "x": 0.5, "y": 0.7}, "the first folder's, and the target's own"
    before = (c / "lanes.json").read_bytes()
    assert "lanes.json" not in call(a, b, "-o", c).stdout
    assert (c / "lanes.json").read_bytes() == before
