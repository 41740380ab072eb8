"""`gradrace time` with real processes of the NumPy reference, and with plug-ins that misbehave."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gradrace.executor.environment import environment
from gradrace.layers import BatchNorm
from gradrace.machine import gpu_gauges, usable_cores
from gradrace.record import Memory
from gradrace.results import frame
from gradrace.spec import Regularization
from gradrace.sweep import Options
from gradrace.sweep.store import PlanFile, kept_plan, read_plan
from gradrace.worker import memory, resident
from tiny import TINY, swept, toml

PLUGIN = """
import numpy as np
from gradrace import Optimizer, ReferenceRule

def make(name, update, init=lambda p, hyper: {}):
    rule = ReferenceRule(init=init, update=update)
    fields = {"title": name, "paper": "-", "learning_rate": 0.01, "hyper": {}, "bindings": {}}
    return Optimizer(name=name, rule=rule, **fields)

def raising(p, g, state, lr, t, hyper):
    if t == 12: raise ValueError("cannot go on")
    return p - lr * g, state

frozen = make("frozen", lambda p, g, state, lr, t, hyper: (p, state))
broken = make("broken", raising)
big = lambda p, hyper: {"big": np.ones((p.size, 512))}
large = make("large", lambda p, g, s, lr, t, hyper: (p - lr * g, s), big)
"""
CLOCK = {"rule": "canonical", "launches": 3, "warmup_steps": 4, "breakdown": True}
CLOCK |= {"blocks": 4, "block_steps": 5}
ONCE = {**CLOCK, "launches": 1}


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    return file


def timed(output, plugins=(), **changes):
    """A sweep of the clock alone: its outcome, the runs by optimizer, the cells."""
    options = Options(output=output, timeout_s=60)
    suite = {"seeds": 1, "convergence": False, "timing": CLOCK, **changes}
    outcome, frames = swept(output, plugins, options, **suite)
    return outcome, frames, frame.timing_cells(frames)


@pytest.mark.slow
def test_a_cell_has_all_its_figures(tmp_path):
    outcome, frames, cells = timed(tmp_path, optimizers=["adam"], timing={**CLOCK, "memory": True})
    assert outcome.exit_code == 0 and len(cells) == 1
    cell = cells.iloc[0]
    assert cell["launches"] == 3 and cell["first_call_steps"] == 1
    positive = ["import_s", "start_s", "setup_s", "first_call_s", "forward_s", "optimizer_s"]
    positive += ["parts_covered", "peak_bytes", "steps_per_s"]
    assert (cells[positive] > 0).all(axis=None)
    assert cell["step_p25_s_low"] < cell["step_p25_s"] < cell["step_p25_s_high"]
    parameters = 64 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10
    assert cell["state_bytes"] == 2 * 8 * parameters, "exactly Adam's two moments"
    blocks = frames.steps.groupby(["digest", "part"]).size()
    assert len(blocks) == 3 * 4 and set(blocks) == {4} and set(frames.steps["steps"]) == {5}
    records = [record for record in frames.records.values() if record.spec.measure == "timing"]
    assert all(len(record.cores) == 1 and record.gauges == {} for record in records)
    shares = [record.wall_s for record in records]
    assert all(share > record.import_s for share, record in zip(shares, records, strict=True))


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        ("frozen", "RuntimeError: the weights did not change"),
        ("broken", "mine.py, line 11: ValueError: cannot go on (for 0_dense.kernel, step 12)"),
    ],
)
def test_a_cell_that_breaks_fails_alone_and_keeps_its_traceback(
    tmp_path, plugin, optimizer, reason
):
    outcome, frames, cells = timed(
        tmp_path, [plugin], optimizers=["sgd", optimizer, "adam"], timing=ONCE
    )
    runs = frames.runs.set_index("optimizer")
    assert runs["status"].to_dict() == {"sgd": "ok", optimizer: "failed", "adam": "ok"}
    assert reason in runs.loc[optimizer, "reason"] and outcome.exit_code == 1
    log = tmp_path / "runs/tiny" / runs.loc[optimizer, "digest"] / "log.txt"
    assert "Error: " in log.read_text()
    assert reason in cells.set_index("optimizer")["reason"][optimizer]


@pytest.mark.slow
def test_memory_is_that_of_one_run_alone(tmp_path, plugin):
    """512 numbers of 8 bytes for each of 25 450 parameters: 99 MiB, in its own process only."""
    timing = {**ONCE, "memory": True}
    _, frames, cells = timed(tmp_path, [plugin], optimizers=["large", "sgd"], timing=timing)
    grown = cells.set_index("optimizer")["grown_bytes"] / 2**20
    assert 95 < grown["large"] < 200 and grown["sgd"] < 30
    found = [record.memory for record in frames.records.values() if record.memory]
    assert all(memory.peak_bytes >= memory.imported_bytes > 20 * 2**20 for memory in found)
    assert all(memory.device_peak_bytes is None and memory.method for memory in found)


class Allocating:
    """A session whose steps hold 64 MiB for a moment."""

    def train(self, steps):
        assert len(steps) == 25
        np.ones(8 * 2**20)

    sync = losses = lambda self: None

    def peak_bytes(self):
        return 77


@pytest.mark.parametrize("resettable", [True, False])
def test_the_peak_counts_what_was_held_for_a_moment(make_run, monkeypatch, tmp_path, resettable):
    if not resettable:
        monkeypatch.setattr(resident, "_CLEAR_REFS", tmp_path / "nowhere" / "clear_refs")
    np.ones(32 * 2**20).sum()  # 256 MiB before: only a peak that is reset forgets it.
    _, found = memory.measure(make_run(measure="memory"), Allocating)
    assert isinstance(found, Memory) and found.device_peak_bytes == 77
    reset = "reset" in found.method
    assert reset is (resettable and resident._reset_peak())
    assert (60 if reset else 0) * 2**20 < found.grown_bytes < (120 if reset else 10_000) * 2**20


@pytest.mark.slow
def test_cells_that_this_machine_cannot_do_are_skipped_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("gradrace.sweep.planner.lacks_gpu", lambda: True)
    many = len(usable_cores()) + 1
    timing = {**ONCE, "memory": True}
    outcome, frames, cells = timed(
        tmp_path, optimizers=["sgd"], device=["cpu", "gpu"], threads=[1, many], timing=timing
    )
    reasons = frames.runs.groupby(["device", "threads"])["reason"].unique().map(list).to_dict()
    cores = f"{many} threads need as many cores to be pinned to; {many - 1} can be used here"
    assert reasons == {
        ("cpu", 1): [""],
        ("cpu", many): [cores],
        ("gpu", 1): ["this machine has no GPU"],
        ("gpu", many): ["this machine has no GPU"],
    }
    assert outcome.exit_code == 0 and outcome.counts == {"ok": 2, "skipped": 6}
    assert cells["status"].tolist() == ["ok", "skipped", "skipped", "skipped"]


def test_more_threads_than_cores_may_train_to_convergence(tmp_path):
    outcome, _ = swept(tmp_path, seeds=1, threads=len(usable_cores()) + 1)
    assert outcome.counts == {"ok": 2}


def test_probing_leaves_the_reference_as_it_is(make_run, open_numpy):
    """Before and after training; with penalties, clipping, decay and batch statistics."""
    task = make_run("digits_mlp").task
    penalties = Regularization(l1=1e-3, l2=1e-2, decay=0.1, clip_norm=0.5)
    model = (*task.model[:1], BatchNorm(), *task.model[1:])
    task = task.model_copy(update={"regularization": penalties, "model": model})
    run = make_run("digits_mlp", "sgd").model_copy(update={"task": task})
    probed, plain = open_numpy(run), open_numpy(run)
    for session in (probed, plain):
        for start in range(0, 20, 5):
            if session is probed:
                for part in session.parts():
                    session.probe(part, range(start, start + 5))
            session.train(range(start, start + 5))
    assert np.array_equal(probed.losses(), plain.losses()) and probed.compilations() == 0
    assert all(
        np.array_equal(array, plain.weights()[name]) for name, array in probed.weights().items()
    )
    with pytest.raises(ValueError, match="no part 'backward'"):
        probed.probe("backward", range(1))


def test_threads_and_determinism_are_set_before_a_worker_starts(make_run, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--mine")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/somewhere")
    on_cpu, on_gpu = (
        environment(make_run(threads=3, device=device, dtype="float32"))
        for device in ("cpu", "gpu")
    )
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        assert on_cpu[variable] == on_gpu[variable] == "3"
    assert on_cpu["NPROC"] == "3" and on_cpu["CUDA_VISIBLE_DEVICES"] == ""
    assert on_cpu["XLA_FLAGS"] == "--mine"
    assert on_gpu["XLA_FLAGS"] == "--mine --xla_gpu_deterministic_ops=true"
    assert on_gpu["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert on_cpu["NVIDIA_TF32_OVERRIDE"] == on_gpu["NVIDIA_TF32_OVERRIDE"] == "0"
    assert "JAX_COMPILATION_CACHE_DIR" not in on_cpu and "JAX_PLATFORMS" not in on_gpu


# The plan


def whole(names):
    """Digests that begin with these names: c for what was trained, f for what was timed."""
    return tuple(name.ljust(24, "0") for name in names)


def plan(names, clock_only=False):
    names = names.split()
    clocked = whole(name for name in names if name.startswith("f"))
    fields = {"digests": whole(names), "clocked": clocked, "clock_only": clock_only}
    return PlanFile(suite="s", title="", question="", **fields)


PLANS = {
    "first": (None, plan("c1 f1"), "c1 f1"),
    "run, run": (plan("c1 f1"), plan("c1 c2 f2"), "c1 c2 f2"),
    "timing taken out of the suite": (plan("c1 f1"), plan("c1"), "c1"),
    "run, time": (plan("c1 f1"), plan("f2", clock_only=True), "c1 f2"),
    "run of no timing, time": (plan("c1"), plan("f1", clock_only=True), "c1 f1"),
    "time again": (plan("c1 f1", clock_only=True), plan("f2", clock_only=True), "c1 f2"),
    "time, run of no timing": (plan("c1 f1", clock_only=True), plan("c1 c2"), "c1 c2 f1"),
    "time, run": (plan("c1 f1", clock_only=True), plan("c1 f2"), "c1 f2"),
}


@pytest.mark.parametrize(("old", "new", "digests"), PLANS.values(), ids=list(PLANS))
def test_a_plan_keeps_runs_of_the_one_before(old, new, digests):
    found = kept_plan(new, old)
    assert found.digests == whole(digests.split())
    assert set(found.clocked) == {digest for digest in found.digests if digest.startswith("f")}
    again = set(kept_plan(plan("c1"), found).digests)
    clocked = found.clocked if found.clock_only else ()
    assert again == {*whole(["c1"]), *clocked}, "and it says whose they are"


# The command


@pytest.fixture
def suite_file(tmp_path):
    suite = {**TINY, "seeds": 1, "timing": ONCE}
    (tmp_path / "tiny.toml").write_text(toml(suite))
    return tmp_path


@pytest.mark.slow
def test_time_after_run_keeps_what_was_trained_in_the_report(suite_file, gradrace):
    assert gradrace("run", "tiny.toml", "--no-report").returncode == 0
    done = gradrace("time", "tiny.toml", "--launches", "3", "-q")
    assert done.returncode == 0, done.stderr
    assert "digits_mlp numpy-reference adam" in done.stdout and "Where a step goes" in done.stdout
    frames = frame.load(suite_file / "results")
    assert frames.runs["measure"].value_counts().to_dict() == {"timing": 6, "convergence": 2}
    assert len(read_plan(suite_file / "results", "tiny").digests) == 8
    page = (suite_file / "results/html/suite-tiny.html").read_text()
    for name in ("convergence", "step-time", "breakdown"):
        assert f'id="tiny-{name}"' in page
    again = gradrace("time", "tiny.toml", "--launches", "3", "-q", "--json", "--no-report")
    told = json.loads(again.stdout)
    assert told["cached"] == 6 and told["exit_code"] == 0 and len(told["cells"]) == 2
    assert {"step_p25_s", "step_p25_s_low", "samples_per_s", "backward_s", "contended"} <= set(
        told["cells"][0]
    )


@pytest.mark.slow
def test_time_does_what_it_is_asked_and_no_more(suite_file, gradrace):
    chosen = ["tiny.toml", "--no-breakdown", "-k", "adam"]
    listed = gradrace("time", *chosen, "--launches", "2", "--memory", "--dry-run")
    assert listed.stdout.splitlines() == [
        "to run "
        f" {measure}/digits_mlp/numpy-reference/adam-canonical/constant-lr0.003/launch{launch}"
        for measure, launch in (("timing", 0), ("timing", 1), ("memory", 0))
    ]
    done = gradrace("time", *chosen, "--launches", "1", "--blocks", "5", "--no-report", "-q")
    assert done.returncode == 0 and "no interval can be given" in done.stdout
    assert "Where a step goes" not in done.stdout
    (record,) = frame.load(suite_file / "results").records.values()
    assert record.spec.timing.blocks == 5 and not record.spec.timing.breakdown
    assert not (suite_file / "results/html").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tiny.toml", "--device", "tpu"], 2, "device"),
        (["tiny.toml", "--dtype", "float16"], 2, "dtype"),
        (["tiny.toml", "--blocks", "2"], 2, "--blocks"),
        (["tiny.toml", "-k", "nothing"], 5, "none of its"),
        (["tiny.toml", "--threads", "4096"], 3, "4096 threads need as many cores"),
        (["nowhere.toml"], 2, "no suite"),
    ],
)
def test_what_time_cannot_do_it_says(suite_file, gradrace, arguments, code, message):
    done = gradrace("time", *arguments, "--no-report")
    assert done.returncode == code and "Traceback" not in done.stderr
    assert message in done.stderr + done.stdout


# Gauges


def test_gauges_are_what_the_driver_tells(tmp_path, monkeypatch):
    told = tmp_path / "nvidia-smi"
    told.write_text("#!/bin/sh\necho '41, 1980, 3201, 97.5'\necho '38, [N/A], 3201, 96.0'\n")
    told.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = gpu_gauges()
    assert found["gpu0_temperature_c"] == 41 and found["gpu0_power_w"] == 97.5
    assert found["gpu1_memory_mhz"] == 3201
    assert "gpu1_sm_mhz" not in found and len(found) == 7
    told.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_gauges() == {}
