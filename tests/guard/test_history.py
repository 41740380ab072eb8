"""A real recording in a user's repository, and asv's own commands on its export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gradrace.history import lines
from repositories import SLOWED, TIMED, commit, git
from tiny import toml

ASV = {
    "version": 1,
    "project": "toy",
    "repo": ".",
    "branches": ["HEAD"],
    "results_dir": "results/asv",
    "html_dir": "html",
    "environment_type": "virtualenv",
}
BENCHMARKS = """
class Suite:
    params = ([1, 2], ["a", "b"])
    def setup(self, n, name):
        if name == "b" and n == 2:
            raise NotImplementedError
    def track_size(self, n, name):
        return 100.0 * n * {factor}
def time_sum():
    sum(range(100))
"""


class Project:
    """A user's repository with an optimizer that became slower after a release."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        # asv describes the machine in a file of the home folder.
        self.environment = os.environ | {"HOME": str(folder), "USERPROFILE": str(folder)}
        (self.folder / ".gitignore").write_text("results/\n__pycache__/\nhtml/\n")
        (self.folder / "s.toml").write_text(toml({**TIMED, "optimizers": ["sgd"]}))
        (self.folder / "asv.conf.json").write_text(json.dumps(ASV))
        (self.folder / "benchmarks").mkdir()
        (self.folder / "benchmarks" / "__init__.py").write_text("")
        git(self.folder, "init", "-q", "-b", "main")
        for seconds, factor in ((0.0005, 1), (0.0008, 2)):
            (self.folder / "mine.py").write_text(SLOWED.format(seconds=seconds))
            benchmarks = BENCHMARKS.format(factor=factor)
            (self.folder / "benchmarks" / "suite.py").write_text(benchmarks)
            commit(self.folder, f"{seconds} s")
        git(self.folder, "tag", "v1.0", "HEAD~1")

    def call(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def head(self, ref: str = "HEAD") -> str:
        return git(self.folder, "rev-parse", ref)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with one recording on a branch, and in files of asv's."""
    project = Project(tmp_path_factory.mktemp("history"))
    record = ("gradrace", "history", "record", "s.toml", "--load", "mine.py", "--launches", "3")
    project.call(*record, "--branch", "gradrace-history", "--machine", "m1", "--quiet")
    return project


def test_a_recording_is_a_ratio_to_the_last_release(project):
    (point,) = lines.read(project.folder / "results" / "history").points
    assert (point.anchor, point.anchor_commit) == ("v1.0", project.head("v1.0"))
    assert (point.commit, point.machine) == (project.head(), "m1")
    assert point.cell.endswith("mine-canonical/batch32/float64") or "mine" in point.cell
    assert point.ratio is not None and point.ratio > 1.1 and len(point.log_ratios) == 3
    assert point.b_value is not None and point.a_value is not None
    assert point.b_value > point.a_value > 0 and point.versions["numpy"]
    assert point.decision in ("suspected", "inconclusive")
    git(project.folder, "diff", "--exit-code")
    told = project.call("gradrace", "history", "show", "--branch", "gradrace-history")
    assert "1 recordings, 0 of 1 series judged" in told


def test_an_anchor_that_does_not_load_is_no_ratio(project):
    git(project.folder, "checkout", "-q", "-b", "broken", "HEAD~1")
    (project.folder / "mine.py").write_text("def")
    commit(project.folder, "broken")
    git(project.folder, "checkout", "-q", "main")
    record = ("gradrace", "history", "record", "s.toml", "--load", "mine.py", "--folder", "none")
    project.call(*record, "--anchor", "broken", code=3)
    assert not list((project.folder / "none").glob("*/*"))


def test_asv_s_own_commands_read_the_history(project):
    project.call("asv", "machine", "--yes")
    project.call("gradrace", "history", "export", "asv")
    told = project.call("asv", "show", "--machine", "m1", project.head())
    assert "gradrace.history.step" in told and "v1.0" in told
    project.call("asv", "publish")
    index = json.loads((project.folder / "html" / "index.json").read_text())
    assert "gradrace.history.step" in index["benchmarks"]
    compared = project.call("asv", "compare", "--machine", "m1", project.head(), project.head())
    assert "gradrace.history.step" in compared


def test_results_that_asv_made_are_shown(project):
    for ref in ("HEAD~1", "HEAD"):
        git(project.folder, "checkout", "-q", project.head(f"main{ref[4:]}"))
        head = project.head()
        project.call("asv", "run", "--quick", "--python=same", "--set-commit-hash", head)
    git(project.folder, "checkout", "-q", "main")
    show = ("gradrace", "history", "show", "--asv", "results/asv", "-k", "track_size", "--json")
    told = json.loads(project.call(*show))
    # Two commits; one of four cells was skipped.
    assert (told["nights"], told["series"]) == (2, 3)
