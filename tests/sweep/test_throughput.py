"""Sweeps with several workers: shares of runs and cores, and results that do not show them."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.executor import Job, PlannedRun, local
from gradrace.executor.queue import Queue, best_for, core_share, side_by_side
from gradrace.executor.workers import key_of
from gradrace.machine import usable_cores
from gradrace.registry import load_registry
from gradrace.results import frame
from gradrace.suite import make_suite
from gradrace.sweep import Options, execute, prepare, shared_cores
from gradrace.worker.train import train
from tiny import TINY, swept, toml
from tiny import planned as ready
from waiting import finished, wait_for

REGISTRY = load_registry()
needs_torch = pytest.mark.skipif(
    REGISTRY.frameworks["torch"].versions() is None, reason="PyTorch is not installed"
)
DTYPES = {"numpy": "float64", "torch": "float32"}
FRAMEWORKS = ["numpy", pytest.param("torch", marks=[needs_torch, pytest.mark.slow])]


def columns_that_may_not_differ(frames):
    """Runs in the report's order, and their curves to the bit."""
    curves = frames.curves.sort_values(["digest", "series", "step"])
    kept = ["id", "digest", "status", "final_validation_loss"]
    return frames.runs[kept], curves.reset_index(drop=True)


# Who works on what


def planned(count, threads=1, framework="numpy", measure="convergence"):
    runs = ready(Path(), seeds=count, optimizers=["sgd"], threads=threads).selected
    changes = {"framework": framework, "measure": measure}
    return tuple(
        PlannedRun(run.spec.model_copy(update=changes), run.digest, {}, {}, Path()) for run in runs
    )


@pytest.mark.parametrize(
    ("cores", "workers", "threads", "shares"),
    [
        (4, 2, 1, [[0, 1], [2, 3]]),
        (4, 4, 1, [[0], [1], [2], [3]]),
        (5, 2, 2, [[0, 1], [2, 3]]),
        (2, 1, 1, [[0, 1]]),
        (2, 3, 1, [[0], [1], [0]]),
        (4, 3, 2, [[0, 1], [2, 3], [0, 1]]),
        (3, 2, 2, [[0, 1], [0, 2]]),
        (2, 2, 5, [[0, 1], [0, 1]]),
    ],
)
def test_every_worker_has_its_share_of_the_cores(cores, workers, threads, shares):
    assert [core_share(range(cores), slot, workers, threads) for slot in range(workers)] == shares
    assert all(len(share) >= min(threads, cores) for share in shares)


@pytest.mark.parametrize(("cores", "threads", "workers"), [(8, 1, 8), (8, 3, 2), (2, 4, 1)])
def test_as_many_workers_as_have_cores_of_their_own(cores, threads, workers):
    assert side_by_side(cores, threads) == workers


@pytest.mark.parametrize(("runs", "workers"), [(128, 2), (7, 3), (1, 4), (100, 1)])
def test_portions_shrink_so_that_nobody_idles_while_another_has_many_left(runs, workers):
    queue = Queue()
    queue.add(Job(planned(runs)))
    (group,) = queue.ready(())
    sizes = []
    while queue:
        sizes.append(len(group.take(workers).runs))
    assert sum(sizes) == runs and all(a >= b for a, b in pairwise(sizes)) and max(sizes) <= 16
    assert sizes[-1] == 1 and all(size <= max(1, runs // (2 * workers)) for size in sizes)


def test_what_is_alone_waits_and_holds_up_and_threads_do_not_mix():
    queue, one, two = Queue(), Job(planned(2)), Job(planned(1, threads=2))
    alone, behind = Job(planned(1, measure="memory"), alone=True), Job(planned(3))
    for job in (one, two, alone, behind):
        queue.add(job)
    assert [len(group.runs) for group in queue.ready(())] == [2], (
        "those with two threads have other shares of the cores"
    )
    assert [group.key.threads for group in queue.ready([key_of(two)])] == [2]
    first, second = queue.ready(())[0], queue.ready([key_of(two)])[0]
    first.take_all(), second.take_all()
    assert queue.ready([key_of(one)]) == [] and [group.key.alone for group in queue.ready(())] == [
        True
    ]
    queue.ready(())[0].take(4)
    assert queue.ready([key_of(alone)]) == [] and len(queue.ready(())[0].runs) == 3
    queue.put_back(one)
    assert [run.digest for run in queue.ready(())[0].runs] == [run.digest for run in one.runs], (
        "before all others"
    )


def test_a_worker_stays_with_its_shape_and_else_goes_where_nobody_is():
    queue = Queue()
    for count in (4, 5, 6):
        queue.add(Job(planned(count)))
    a, b, c = groups = queue.ready(())
    key = a.key
    assert best_for(key, groups, last=b, taken=[a, b]) is b
    assert best_for(key, groups, last=None, taken=[a, b]) is c
    assert best_for(key, groups, last=None, taken=[]) is a


def test_runs_of_one_shape_are_submitted_together_whatever_their_order(monkeypatch, tmp_path):
    """The suite mixes optimizers; rates, hyperparameters, seeds and steps make no shape."""
    seen, submit = [], local.LocalExecutor.submit
    monkeypatch.setattr(
        local.LocalExecutor, "submit", lambda self, job: submit(self, job) or seen.append(job)
    )
    adam = {"name": "adam", "learning_rate": [0.1, 0.01], "hyper": {"beta1": [0.9, 0.8]}}
    execute(ready(tmp_path, optimizers=[adam, "sgd"]))
    assert sorted((job.runs[0].spec.optimizer.name, len(job.runs)) for job in seen) == [
        ("adam", 8),
        ("sgd", 2),
    ]


# Results


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_results_do_not_depend_on_the_number_of_workers(tmp_path, framework):
    suite = {"frameworks": [framework], "dtype": DTYPES[framework]}
    suite["optimizers"] = ["adam", "sgd", "momentum"]
    found = {}
    for workers in (1, 3):
        options = Options(output=tmp_path / str(workers), workers=workers)
        outcome, frames = swept(options.output, options=options, **suite)
        assert outcome.counts == {"ok": 6}
        found[workers] = columns_that_may_not_differ(frames)
        cores = {record.cores for record in frames.records.values()}
        expected = {tuple(core_share(usable_cores(), slot, workers, 1)) for slot in range(workers)}
        assert cores <= expected and (workers > 1 or cores == expected)
    for one, three in zip(*found.values(), strict=True):
        assert one.equals(three)


@pytest.mark.skipif(len(usable_cores()) < 2, reason="needs two cores")
def test_workers_of_one_framework_have_cores_of_their_own(tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text(LATE.replace("ACT", "time.sleep(0.02)"))
    options = Options(output=tmp_path, workers=2)
    _, frames = swept(tmp_path, [slow], options, optimizers=["late"], seeds=6)
    shares = {record.cores for record in frames.records.values()}
    assert len(shares) == 2 and not set.intersection(*map(set, shares))


LATE = """
import ctypes, os, time
import numpy as np
from gradrace import Optimizer, ReferenceRule

kept = []
def rule(p, g, state, lr, t, hyper):
    ACT
    return p - lr * g, state
O = Optimizer(name="late", title="-", paper="-", learning_rate=0.1, hyper={}, bindings={},
              rule=ReferenceRule(init=lambda p, hyper: {}, update=rule))
"""


@pytest.mark.parametrize(
    ("act", "status", "reason"),
    [
        ("t == 12 and time.sleep(1000)", "timeout", "no result within 8 s"),
        ("t == 12 and os._exit(7)", "failed", "the worker died: exit code 7"),
        ("t == 12 and ctypes.string_at(0)", "failed", "the worker died: SIGSEGV"),
        ("g = g[:1]; p = p[:2]", "failed", "must return an array of shape [64, 128]"),
        ("p = p * (np.nan if t == 12 else 1.0)", "diverged", "training loss at step 12 is nan"),
        ("1 / (t - 12)", "failed", "ZeroDivisionError: division by zero"),
        ("t == 12 and kept.append(bytearray(1 << 40))", "failed", "MemoryError"),
    ],
    ids=["hangs", "exits", "crashes", "wrong shapes", "NaN", "raises", "memory"],
)
def test_a_plug_in_that_goes_wrong_is_a_status_with_its_reason(tmp_path, act, status, reason):
    """In the middle of a portion; the runs before and behind it go on."""
    file = tmp_path / "late.py"
    file.write_text(LATE.replace("ACT", act))
    options = Options(output=tmp_path, timeout_s=8, workers=1)
    chosen = ["sgd", "late", "adam"]
    outcome, frames = swept(tmp_path, [file], options, optimizers=chosen, seeds=1)
    rows = frames.runs.set_index("optimizer")
    assert rows["status"].to_dict() == {"sgd": "ok", "late": status, "adam": "ok"}
    assert reason in rows.loc["late", "reason"]
    assert outcome.exit_code == (0 if status == "diverged" else 1)


def test_a_death_within_a_portion_loses_the_run_in_flight_alone(tmp_path):
    """Twelve runs of one shape, so that the one that dies has others of its portion behind it."""
    file = tmp_path / "late.py"
    file.write_text(LATE.replace("ACT", "t == 12 and lr == 0.3 and os._exit(7)"))
    entry = {"name": "late", "learning_rate": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    _, frames = swept(tmp_path, [file], Options(output=tmp_path, workers=1), optimizers=[entry])
    status = frames.runs.set_index("id")["status"]
    assert status.value_counts().to_dict() == {"ok": 10, "failed": 2}
    assert all("lr0.3" in name for name in status.index[status == "failed"])


def test_a_worker_that_outgrows_its_memory_is_replaced_after_its_run(tmp_path, monkeypatch):
    file = tmp_path / "leak.py"
    # A resident page is one that was written to: 40 MiB of them a run.
    keep = "t == 12 and g.shape == (10,) and kept.append(np.ones(40 << 17))"
    file.write_text(LATE.replace("ACT", keep))
    started = []
    spawn = local.LocalExecutor._spawn
    monkeypatch.setattr(
        local.LocalExecutor, "_spawn", lambda self, *given: started.append(1) or spawn(self, *given)
    )

    def counted(folder):
        started.clear()
        options = Options(output=folder, workers=1)
        outcome, _ = swept(folder, [file], options, optimizers=["late"], seeds=5)
        assert outcome.counts == {"ok": 5}
        return len(started)

    assert counted(tmp_path / "a") == 1, "half of this machine's memory is more"
    monkeypatch.setattr(local, "MEMORY_SHARE", 1e-9)
    assert 2 <= counted(tmp_path / "b") <= 5, "twice what it has when it starts, and no less"


# Sequential, chunked, resumed


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_killed_and_resumed_sweep_has_the_bits_of_one_that_ran_through(tmp_path, framework):
    suite = {**TINY, "frameworks": [framework], "dtype": DTYPES[framework], "timing": False}
    suite |= {"optimizers": ["adam"], "seeds": 5, "steps": 400}
    (tmp_path / "long.toml").write_text(toml(suite))

    def start(folder):
        command = [sys.executable, "-m", "gradrace", "run", "long.toml", "--no-report", "-q"]
        command += ["-j", "1", "-o", folder]
        return subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)

    process = start("out")
    wait_for(lambda: len(finished(tmp_path)) >= 2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    kept = len(finished(tmp_path))
    assert 2 <= kept < 5, "killed in the middle"
    for folder in ("out", "calm"):
        process = start(folder)
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0 and f"5 ok ({kept if folder == 'out' else 0} cached)" in said
    resumed, calm = (
        columns_that_may_not_differ(frame.load(tmp_path / folder)) for folder in ("out", "calm")
    )
    assert resumed[0].equals(calm[0]) and resumed[1].equals(calm[1])


def test_the_length_of_chunks_does_not_show_in_the_losses(make_run, open_numpy):
    run = make_run(steps=30)
    losses = [
        train(open_numpy(run), run.task.model_copy(update={"eval_every": every})).curve.train_losses
        for every in (1, 7, 30)
    ]
    assert all(np.array_equal(losses[0], other) for other in losses[1:])


# The option


@pytest.mark.parametrize("workers", [-1, 1.5, True, 10_000])
def test_an_impossible_number_of_workers_is_refused(workers):
    with pytest.raises(UserError, match="expected a number of workers from 0"):
        prepare(make_suite("tiny", TINY), options=Options(workers=workers))


@pytest.mark.parametrize("given", ["-1", "x", "1.5", "10000"])
def test_a_bad_j_on_the_command_line_is_an_error_of_usage(tmp_path, gradrace, given):
    (tmp_path / "tiny.toml").write_text(toml(TINY))
    done = gradrace("run", "tiny.toml", "-j", given)
    assert done.returncode == 2 and "-j" in done.stderr and not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("workers", "threads", "said"),
    [
        (0, 1, ""),
        (2, 1, ""),
        (3, 1, "3 workers of 1 thread share 2 cores"),
        (2, 2, "2 workers of 2 threads share 2 cores"),
    ],
)
def test_workers_that_share_cores_are_announced(monkeypatch, workers, threads, said):
    monkeypatch.setattr("gradrace.sweep.usable_cores", functools.partial(tuple, (0, 1)))
    options = Options(workers=workers)
    said_now = shared_cores(
        prepare(make_suite("tiny", {**TINY, "threads": threads}), options=options)
    )
    assert said_now.startswith(said) and bool(said_now) == bool(said)
