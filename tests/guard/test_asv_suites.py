"""asv support: each status of a run, when a series starts anew, and asv itself over two commits."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from asv_project import Project
from gradrace import UserError, load
from gradrace.record import Memory, RunResult, Status
from gradrace.results.asv.tracks import DIVERGED_LOSS, FIGURES, Tracks, tracks, version
from gradrace.spec import RunSpec
from gradrace.suite import make_suite, read_suite
from gradrace.suites.benchmarks import race
from gradrace.sweep.store import Store
from gradrace.sweep.stored import read_record
from records import STEP_US, make_results, make_specs
from tiny import TINY

ADAM = ("mlp", "torch-eager", "adam")

# The NumPy reference measures the dense network. Sophia asks for the loss itself and has no rule in
# NumPy: a skipped cell.
FOLLOWED = TINY | {"tasks": ["digits_mlp"], "optimizers": ["adam", "sophia"], "seeds": 1}
FOLLOWED |= {"timing": {**TINY["timing"], "launches": 2}}


def cells_of(folder: Path, specs: Sequence[RunSpec], judge: Any) -> Tracks:
    """The cells that asv would see, had the runs ended as `judge` says."""
    plan = make_results(folder, specs=specs, judge=judge)
    return tracks(dict(zip(plan.digests, specs, strict=True)), load(folder), race.key_of)


def test_measured_cells_give_their_figures(tmp_path):
    specs = make_specs(["mlp"], ["torch"], ["adam"], seeds=range(3), launches=2)
    found = cells_of(tmp_path, specs, lambda spec: ("ok", ""))
    # Of 20 made-up blocks of a launch, 12 take what p25 is and the others more: so is their median.
    launch = pytest.approx(STEP_US["torch"] * 1e-6)
    step_time = race.look_up(found, "step_time", ADAM)
    assert step_time == {"samples": [launch] * 2, "number": 1}, "a sample a launch"
    assert race.look_up(found, "first_call", ADAM) == {"samples": [0.25, 0.25], "number": 1}
    assert race.look_up(found, "state_bytes", ADAM) == 1024
    runs = load(tmp_path).runs.query("measure == 'convergence'")
    assert race.look_up(found, "final_loss", ADAM) == runs["final_validation_loss"].median()
    budget = runs["steps"].iloc[0] + 1
    steps = runs["steps_to_target"].fillna(budget).median()
    assert race.look_up(found, "steps_to_target", ADAM) == steps


@pytest.mark.parametrize(
    ("device", "on_device", "figure"),
    [("cpu", None, 700.0), ("cpu", 5, 700.0), ("gpu", 5, 5.0), ("gpu", None, 700.0)],
)
def test_peak_memory_is_the_device_s_own_on_a_gpu(tmp_path, device, on_device, figure):
    specs = make_specs(["mlp"], ["torch"], ["adam"])
    (timed,) = [spec for spec in specs if spec.measure == "timing"]
    spec = timed.model_copy(update={"measure": "memory", "timing": None, "device": device})
    (digest,) = make_results(tmp_path, specs=[spec]).digests
    with Store(tmp_path, "demo") as store:
        record = read_record(store.folder / digest / "run.json")
        sizes = {"imported_bytes": 300, "peak_bytes": 1000, "device_peak_bytes": on_device}
        memory = Memory(**sizes, method="made up")
        store.write(RunResult(record.model_copy(update={"memory": memory})))
    found = tracks({digest: spec}, load(tmp_path), race.key_of)
    assert race.look_up(found, "peak_memory", ADAM) == figure


def test_a_diverged_run_has_the_worst_figures(tmp_path):
    specs = make_specs(["mlp"], ["torch"], ["adam"], seeds=[0])
    judge = lambda spec: ("diverged" if spec.measure == "convergence" else "ok", "")
    found = cells_of(tmp_path, specs, judge)
    assert race.look_up(found, "final_loss", ADAM) == DIVERGED_LOSS
    assert race.look_up(found, "steps_to_target", ADAM) == specs[0].steps + 1


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_one_failed_run_fails_its_cell_and_no_other(tmp_path, status):
    def judge(spec: RunSpec) -> tuple[Status, str]:
        broken = spec.framework == "torch" and spec.seed == 1
        return (status, "out of memory") if broken else ("ok", "")

    found = cells_of(tmp_path, make_specs(["mlp"], ["torch", "jax"], ["adam"]), judge)
    reason = rf"mlp/torch-eager/adam.*seed1: {status}: out of memory"
    with pytest.raises(RuntimeError, match=reason):
        race.look_up(found, "final_loss", ADAM)
    for sound in (("final_loss", ("mlp", "jax-scan", "adam")), ("first_call", ADAM)):
        assert race.look_up(found, *sound)


def test_skipped_is_nan_and_lost_is_a_failure(tmp_path):
    specs = make_specs(["mlp"], ["torch", "jax"], ["adam"], seeds=[0])
    skipped = lambda spec: ("skipped", "not installed: torch")
    plan = make_results(tmp_path, specs=specs, judge=skipped, unrun=1)
    found = tracks(dict(zip(plan.digests, specs, strict=True)), load(tmp_path), race.key_of)
    assert all(math.isnan(race.look_up(found, figure, ADAM)) for figure in FIGURES)
    with pytest.raises(RuntimeError, match="no record"):
        race.look_up(found, "step_time", ("mlp", "jax-scan", "adam"))


def test_a_suite_has_benchmarks_of_its_own_figures_and_modes():
    def followed(**changes: Any) -> dict[str, Any]:
        content = FOLLOWED | {"frameworks": ["jax"]} | changes
        benchmarks = race.benchmarks(make_suite("my-suite", content))
        assert benchmarks.__name__ == "my_suite"
        return {name: each for name, each in vars(benchmarks).items() if name.startswith("track_")}

    timed = {"track_step_time", "track_first_call", "track_state_bytes"}
    trained = {"track_steps_to_target", "track_final_loss"}
    assert set(followed()) == timed | trained
    assert set(followed(convergence=False)) == timed
    assert set(followed(timing=False)) == trained
    assert followed()["track_step_time"].params == [["digits_mlp"], ["jax-jit"], ["adam", "sophia"]]
    assert followed()["track_final_loss"].params[1] == ["jax-scan"]
    swept = followed(modes={"jax": ["jit", "scan"]})
    for name in ("track_step_time", "track_final_loss"):
        assert swept[name].params[1] == ["jax-jit", "jax-scan"]


def test_a_series_starts_anew_if_another_thing_is_measured():
    def versions(**changes: Any) -> tuple[str, str]:
        runs = race.expanded(make_suite("followed", FOLLOWED | changes))
        return version(FIGURES["step_time"], runs), version(FIGURES["final_loss"], runs)

    timing, convergence = versions()
    assert versions(title="Other words", question="Other words?") == (timing, convergence)
    assert versions(threads=2) == (timing, convergence), "part of the environment"
    assert versions(optimizers=["sophia", "adam"]) == (timing, convergence)
    assert versions(seeds=3)[0] == timing and versions(seeds=3)[1] != convergence
    assert versions(timing={**FOLLOWED["timing"], "launches": 7}) == (timing, convergence)
    longer = versions(timing={**FOLLOWED["timing"], "block_steps": 9})
    assert longer[0] != timing and longer[1] == convergence
    assert not set(versions(batch_sizes=[16])) & {timing, convergence}
    runs = race.expanded(make_suite("followed", FOLLOWED))
    assert version(FIGURES["step_time"]._replace(meaning=9), runs) != timing


def test_the_nightly_suites_are_followed_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv(race.SUITE_VARIABLE, raising=False)
    nightly, modes = race.chosen_suites()
    quick = read_suite("quick").content
    assert (nightly.content.tasks, nightly.content.optimizers) == (quick.tasks, quick.optimizers)
    assert set(nightly.content.frameworks) == set(quick.frameworks) and not nightly.content.modes
    timed, of_modes = (
        {race.key_of(run) for run in race.expanded(suite) if run.measure == "timing"}
        for suite in (nightly, modes)
    )
    assert not timed & of_modes, "timed once"
    for suite in (nightly, modes):
        # Mann and Whitney's two-sided test of n against n samples has p >= 2 / binom(2n, n); asv
        # asks for less than 0.002.
        assert suite.content.timing
        launches = suite.content.timing.launches
        assert 2 / math.comb(2 * launches, launches) < 0.002
    monkeypatch.setenv(race.SUITE_VARIABLE, "suites/quick.toml, schedules")
    monkeypatch.chdir(tmp_path)
    chosen = [suite.content for suite in race.chosen_suites()]
    assert chosen == [quick, read_suite("schedules").content], "from the root"
    monkeypatch.setenv(race.SUITE_VARIABLE, "quack")
    with pytest.raises(UserError, match="did you mean 'quick'"):
        race.chosen_suites()
    monkeypatch.setenv(race.SUITE_VARIABLE, "quick,suites/quick.toml")
    with pytest.raises(UserError, match="share a name"):
        race.chosen_suites()


@pytest.mark.parametrize(
    "change",
    [
        {"schedules": ["constant", "cosine"]},
        {"batch_sizes": [16, 32]},
        {"optimizers": [{"name": "adam", "learning_rate": [0.1, 0.01]}]},
    ],
)
def test_cells_that_asv_could_not_tell_apart_are_refused(change):
    with pytest.raises(UserError, match="share one"):
        race.expanded(make_suite("followed", FOLLOWED | change))


def test_discovery_loads_nothing_heavy():
    code = "import sys, gradrace.suites.benchmarks.race; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert not {"torch", "tensorflow", "keras", "jax", "pandas", "pyarrow", "sklearn"} & set(loaded)


@pytest.mark.slow
def test_asv_follows_two_commits(tmp_path):
    pytest.importorskip("asv")
    project = Project(tmp_path, FOLLOWED)
    first = project.commit("one")
    said = project.run(first)
    assert said.count("Setting up") == 1, "one sweep for all benchmarks"
    results = project.results(first)
    described = json.loads((project.folder / "results/asv/benchmarks.json").read_text())
    del described["version"]
    units = {"step_time": "seconds", "first_call": "seconds", "state_bytes": "bytes"}
    units |= {"steps_to_target": "steps", "final_loss": "loss"}
    units = {f"race.followed.track_{name}": unit for name, unit in units.items()}
    assert {key: benchmark["unit"] for key, benchmark in described.items()} == units
    for key in units:
        params = results.get_result_params(key)
        assert params == [["'digits_mlp'"], ["'numpy-reference'"], ["'adam'", "'sophia'"]]
        measured, skipped = results.get_result_value(key, params)
        assert measured > 0 and math.isnan(skipped)
    steps = results.get_result_value("race.followed.track_steps_to_target", params)[0]
    assert steps in (10, 20, 21)

    step_time = "race.followed.track_step_time"
    samples, nothing = results.get_result_samples(step_time, params)
    assert len(samples) == 2 and nothing is None, "one of each launch"
    median = statistics.median(samples)
    assert results.get_result_value(step_time, params)[0] == pytest.approx(median)
    assert results.get_result_stats(step_time, params)[0]["repeat"] == len(samples)

    second = project.commit("two")
    project.run(second, "--bench", "track_final_loss")
    table = project.asv("compare", first, second)
    assert "All benchmarks:" in table
    for key in units:
        assert f"{key}('digits_mlp', 'numpy-reference', 'adam')" in table
    loss = next(line for line in table.splitlines() if "track_final_loss('digits_mlp'" in line)
    assert "1.00" in loss, "equal runs end with equal losses"

    project.gradrace("run", "followed.toml", "--no-report", "-q")
    project.gradrace("export", "asv")
    machines = list((project.folder / "results" / "asv").glob("*/machine.json"))
    assert len(machines) == 1, "asv's own name for this machine"
    exported = {key.replace("race.followed.track_", "gradrace.followed.") for key in units}
    assert set(units) | exported == project.publish()
    shown = project.asv("show", second)
    assert "gradrace.followed.final_loss" in shown and "race.followed.track_final_loss" in shown


@pytest.mark.slow
def test_a_sweep_that_measured_nothing_is_a_failure(tmp_path):
    pytest.importorskip("asv")
    project = Project(tmp_path, FOLLOWED | {"optimizers": ["sophia"]})
    commit = project.commit("one")
    assert "could be measured: sophia has no reference rule" in project.run(commit, code=2)
    results = project.results(commit)
    for key in results.get_all_result_keys():
        assert results.get_result_value(key, results.get_result_params(key)) == [None]
