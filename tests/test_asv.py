"""asv support: what becomes of every status, when a series starts anew, and asv itself over two commits."""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, toml
from gradrace import UserError, load
from gradrace.record import Status
from gradrace.spec import RunSpec
from gradrace.suite import make_suite, read_suite
from gradrace.suites.benchmarks import race
from records import STEP_US, make_results, make_specs

ROOT = Path(__file__).parents[1]
ADAM = ("mlp", "torch", "adam")

# What the NumPy reference measures of this is the dense network; the convolutions it skips with a reason.
FOLLOWED = TINY | {
    "tasks": ["digits_mlp"],
    # Sophia asks for the loss itself and has no rule in NumPy: a skipped cell.
    "optimizers": ["adam", "sophia"],
    "seeds": 1,
    "timing": {**TINY["timing"], "launches": 2},
}


def cells_of(folder: Path, specs: Sequence[RunSpec], judge: Callable[[RunSpec], tuple[Status, str]]) -> race.Cells:
    """The cells that asv would see, had the runs ended as `judge` says."""
    plan = make_results(folder, specs=specs, judge=judge)
    return race.figures(dict(zip(plan.digests, specs, strict=True)), load(folder))


def test_measured_cells_give_their_figures(tmp_path: Path) -> None:
    specs = make_specs(["mlp"], ["torch"], ["adam"], seeds=range(3), launches=2)
    cells = cells_of(tmp_path, specs, lambda spec: ("ok", ""))
    step_time = race.look_up(cells, "step_time", ADAM)
    assert isinstance(step_time, dict) and step_time["number"] == 1
    assert len(step_time["samples"]) == 2 * 20, "every block of every launch"
    assert statistics.median(step_time["samples"]) == pytest.approx(STEP_US["torch"] * 1e-6)
    assert race.look_up(cells, "first_call", ADAM) == {"samples": [0.25, 0.25], "number": 1}
    runs = load(tmp_path).runs.query("measure == 'convergence'")
    assert race.look_up(cells, "final_loss", ADAM) == runs["final_validation_loss"].median()
    budget = runs["steps"].iloc[0] + 1
    assert race.look_up(cells, "steps_to_target", ADAM) == runs["steps_to_target"].fillna(budget).median()


def test_a_diverged_run_has_the_worst_figures(tmp_path: Path) -> None:
    specs = make_specs(["mlp"], ["torch"], ["adam"], seeds=[0])
    cells = cells_of(tmp_path, specs, lambda spec: ("diverged" if spec.measure == "convergence" else "ok", ""))
    assert race.look_up(cells, "final_loss", ADAM) == race.DIVERGED_LOSS
    assert race.look_up(cells, "steps_to_target", ADAM) == specs[0].steps + 1


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_one_failed_run_fails_its_cell_and_no_other(tmp_path: Path, status: Status) -> None:
    def judge(spec: RunSpec) -> tuple[Status, str]:
        broken = spec.framework == "torch" and spec.seed == 1
        return (status, "out of memory") if broken else ("ok", "")

    cells = cells_of(tmp_path, make_specs(["mlp"], ["torch", "jax"], ["adam"]), judge)
    with pytest.raises(RuntimeError, match=rf"mlp/torch-eager/adam.*seed1: {status}: out of memory"):
        race.look_up(cells, "final_loss", ADAM)
    for sound in (("final_loss", ("mlp", "jax", "adam")), ("first_call", ADAM)):
        assert race.look_up(cells, *sound)


def test_skipped_is_nan_and_lost_is_a_failure(tmp_path: Path) -> None:
    specs = make_specs(["mlp"], ["torch", "jax"], ["adam"], seeds=[0])
    plan = make_results(tmp_path, specs=specs, judge=lambda spec: ("skipped", "not installed: torch"), unrun=1)
    cells = race.figures(dict(zip(plan.digests, specs, strict=True)), load(tmp_path))
    assert all(race.look_up(cells, figure, ADAM) is math.nan for figure in cells)
    with pytest.raises(RuntimeError, match="no record"):
        race.look_up(cells, "step_time", ("mlp", "jax", "adam"))


def test_what_the_suite_does_not_measure_is_nan(tmp_path: Path) -> None:
    specs = [spec for spec in make_specs(["mlp"], ["torch"], ["adam"]) if spec.measure == "convergence"]
    cells = cells_of(tmp_path, specs, lambda spec: ("ok", ""))
    assert race.look_up(cells, "step_time", ADAM) is math.nan


def test_a_series_starts_anew_with_what_is_measured() -> None:
    def versions(**changes: Any) -> tuple[str, str]:
        runs = race.expanded(make_suite("followed", FOLLOWED | changes))
        return race.version(runs, "timing", meaning=1), race.version(runs, "convergence", meaning=1)

    timing, convergence = versions()
    assert versions(title="Other words", question="Other words?") == (timing, convergence)
    assert versions(seeds=3)[0] == timing and versions(seeds=3)[1] != convergence
    longer = versions(timing={**FOLLOWED["timing"], "block_steps": 9})
    assert longer[0] != timing and longer[1] == convergence
    assert not set(versions(batch_sizes=[16])) & {timing, convergence}
    runs = race.expanded(make_suite("followed", FOLLOWED))
    assert race.version(runs, "timing", meaning=2) != timing


def test_the_quick_race_is_followed_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(race.SUITE_VARIABLE, raising=False)
    quick, followed = read_suite("quick").content, race.chosen_suite().content
    assert (followed.tasks, followed.frameworks, followed.optimizers) == (
        quick.tasks,
        quick.frameworks,
        quick.optimizers,
    )
    assert followed.seeds == 1 and followed.timing and followed.timing.launches == race.LAUNCHES
    monkeypatch.setenv(race.SUITE_VARIABLE, "suites/quick.toml")
    monkeypatch.chdir(tmp_path)
    assert race.chosen_suite().content == quick, "a relative path starts at the project's root"
    monkeypatch.setenv(race.SUITE_VARIABLE, "quack")
    with pytest.raises(UserError, match="did you mean 'quick'"):
        race.chosen_suite()


@pytest.mark.parametrize(
    "change",
    [
        {"schedules": ["constant", "cosine"]},
        {"batch_sizes": [16, 32]},
        {"optimizers": [{"name": "adam", "learning_rate": [0.1, 0.01]}]},
    ],
)
def test_cells_that_asv_could_not_tell_apart_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="share one"):
        race.expanded(make_suite("followed", FOLLOWED | change))


def test_discovery_loads_nothing_heavy() -> None:
    code = "import sys, gradrace.suites.benchmarks.race; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "tensorflow", "keras", "jax", "pandas", "pyarrow", "sklearn"} & set(loaded)


class Project:
    """A repository of its own with the real benchmarks and the real configuration of asv."""

    def __init__(self, folder: Path, suite: dict[str, Any]) -> None:
        self.folder = folder / "project"
        shutil.copytree(ROOT / "suites" / "benchmarks", self.folder / "suites" / "benchmarks")
        shutil.copy(ROOT / "asv.conf.json", self.folder)
        (self.folder / ".gitignore").write_text("results/\n.asv/\n__pycache__/\n")
        (self.folder / "followed.toml").write_text(toml(suite))
        # asv describes the machine in a file of the home folder; git reads its author there, among other things.
        (folder / ".gitconfig").write_text("[user]\n\tname = Someone\n\temail = someone@example.org\n")
        self.environment = os.environ | {
            "HOME": str(folder),
            "USERPROFILE": str(folder),
            race.SUITE_VARIABLE: "followed.toml",
        }
        self.call("git", "init", "--quiet")
        self.asv("machine", "--yes")

    def call(self, *command: str, code: int = 0) -> str:
        """What the command wrote, once it has ended with this exit code."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def asv(self, *arguments: str, code: int = 0) -> str:
        return self.call(sys.executable, "-m", "asv", *arguments, code=code)

    def commit(self, message: str) -> str:
        """A commit of everything; its hash."""
        self.call("git", "add", "--all")
        self.call("git", "commit", "--quiet", "--allow-empty", "--message", message)
        return self.call("git", "rev-parse", "HEAD").strip()

    def run(self, commit: str, code: int = 0) -> str:
        """As `make asv` does it."""
        options = ("--python=same", "--record-samples", "--show-stderr", "--set-commit-hash", commit)
        return self.asv("run", *options, code=code)

    def results(self, commit: str) -> Any:
        """What asv kept of this commit, read by asv itself."""
        from asv.results import iter_results

        (found,) = [r for r in iter_results(str(self.folder / "results" / "asv")) if r.commit_hash == commit]
        return found


@pytest.mark.slow
def test_asv_follows_two_commits(tmp_path: Path) -> None:
    pytest.importorskip("asv")
    project = Project(tmp_path, FOLLOWED)
    first = project.commit("one")
    said = project.run(first)
    assert said.count("Setting up") == 1, "one sweep for all benchmarks"
    results = project.results(first)
    units = {
        key: benchmark["unit"]
        for key, benchmark in json.loads((project.folder / "results/asv/benchmarks.json").read_text()).items()
        if key != "version"
    }
    assert units == {
        "race.Race.track_step_time": "seconds", "race.Race.track_first_call": "seconds",
        "race.Race.track_steps_to_target": "steps", "race.Race.track_final_loss": "loss",
    }  # fmt: skip
    for key in units:
        params = results.get_result_params(key)
        assert params == [["'digits_mlp'"], ["'numpy'"], ["'adam'", "'sophia'"]]
        measured, skipped = results.get_result_value(key, params)
        assert measured > 0 and math.isnan(skipped)
    assert results.get_result_value("race.Race.track_steps_to_target", params)[0] in (10, 20, 21)

    step_time = "race.Race.track_step_time"
    samples, nothing = results.get_result_samples(step_time, params)
    assert len(samples) == 2 * 4 and nothing is None, "every block of both launches"
    assert results.get_result_value(step_time, params)[0] == pytest.approx(statistics.median(samples))
    assert results.get_result_stats(step_time, params)[0]["repeat"] == len(samples)

    second = project.commit("two")
    project.run(second)
    project.asv("publish")
    assert (project.folder / "results/asv-html/index.html").exists()
    table = project.asv("compare", first, second)
    assert "All benchmarks:" in table
    for key in units:
        assert f"{key}('digits_mlp', 'numpy', 'adam')" in table
    loss = next(line for line in table.splitlines() if "track_final_loss('digits_mlp'" in line)
    assert "1.00" in loss, "equal runs end with equal losses"


@pytest.mark.slow
def test_a_sweep_that_measured_nothing_is_a_failure(tmp_path: Path) -> None:
    pytest.importorskip("asv")
    project = Project(tmp_path, FOLLOWED | {"optimizers": ["sophia"]})
    commit = project.commit("one")
    assert "could be measured: sophia has no reference rule" in project.run(commit, code=2)
    results = project.results(commit)
    for key in results.get_all_result_keys():
        assert results.get_result_value(key, results.get_result_params(key)) == [None]
