"""Whole sweeps in real workers of the NumPy reference that finish, fail, hang, die, are killed."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from gradrace.errors import UserError
from gradrace.executor import Finished
from gradrace.executor.local import LocalExecutor
from gradrace.results import frame
from gradrace.suite import make_suite
from gradrace.sweep import Options, matches, prepare
from gradrace.sweep.jobs import jobs
from processes import until_gone
from tiny import TINY, swept, toml
from tiny import planned as tiny_planned
from waiting import finished, wait_for

PLUGIN = """
import os, time
import numpy as np
from gradrace import Binding, Hyper, Optimizer, ReferenceRule

def rule(act):
    def update(p, g, state, lr, t, hyper):
        act(t)
        return p - lr * g, state
    return ReferenceRule(init=lambda p, hyper: {}, update=update)

def raising(t):
    if t == 12: raise ValueError("cannot go on")
def dying(t):
    if t == 12: os.kill(os.getpid(), 11)
def hanging(t):
    if t == 12: time.sleep(1000)
def chatting(t):
    if t == 1: print("out of the run"); os.write(2, b"from native code")
def nothing(t): pass
def exploding(p, g, state, lr, t, hyper): return p * (np.inf if t == 12 else 1.0), state

def make(name, rule):
    fields = {"title": name, "paper": "-", "learning_rate": 0.1, "hyper": {}, "bindings": {}}
    return Optimizer(name=name, rule=rule, **fields)
a = make("raising", rule(raising))
b = make("dying", rule(dying))
c = make("hanging", rule(hanging))
d = make("chatting", rule(chatting))
e = make("exploding", ReferenceRule(init=lambda p, hyper: {}, update=exploding))
f = make("without_rule", None)
"""


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    return file


def sweep(output, plugins=(), **changes):
    return swept(output, plugins, Options(output=output, timeout_s=5), **{"seeds": 1, **changes})


@pytest.mark.parametrize(
    ("optimizer", "status", "reason", "steps"),
    [
        ("raising", "failed", "ValueError: cannot go on", 10),
        ("dying", "failed", "the worker died: SIGSEGV", 10),
        ("hanging", "timeout", "no result within 5 s", 10),
        ("exploding", "diverged", "training loss at step 12", 13),
        ("without_rule", "skipped", "without_rule has no reference rule", None),
    ],
)
def test_what_goes_wrong_is_a_row_and_the_sweep_goes_on(
    tmp_path, plugin, optimizer, status, reason, steps
):
    outcome, frames = sweep(tmp_path, [plugin], optimizers=["sgd", optimizer, "adam"], seeds=2)
    rows = frames.runs.set_index("id")
    hit = rows[rows["optimizer"] == optimizer]
    assert set(hit["status"]) == {status} and hit["reason"].str.contains(reason, regex=False).all()
    assert set(rows.loc[rows["optimizer"] != optimizer, "status"]) == {"ok"}
    assert outcome.exit_code == (1 if status in ("failed", "timeout") else 0)
    if steps is None or optimizer == "raising":
        return
    curves = frames.curves[frames.curves["digest"] == hit["digest"].iloc[0]]
    assert (curves["series"] == "train_loss").sum() == steps, "what was trained before is kept"


@pytest.mark.parametrize("task", ["rosenbrock", "beale", "branin"])
def test_a_function_that_overflows_is_a_run_that_diverged(tmp_path, task):
    optimizers = [{"name": "sgd", "learning_rate": 1e3}]
    _, frames = sweep(tmp_path, tasks=[task], optimizers=optimizers, steps=40)
    assert frames.runs["status"].tolist() == ["diverged"], frames.runs["reason"].tolist()


def test_a_run_that_raised_leaves_its_traceback_in_its_log(tmp_path, plugin):
    _, frames = sweep(tmp_path, [plugin], optimizers=["raising"])
    log = tmp_path / "runs" / "tiny" / frames.runs["digest"].iloc[0] / "log.txt"
    assert "cannot go on" in log.read_text() and "mine.py" in log.read_text()


def test_what_a_run_prints_goes_to_its_own_log(tmp_path, plugin):
    _, frames = sweep(tmp_path, [plugin], optimizers=["chatting", "sgd"])
    folder = tmp_path / "runs" / "tiny"
    logs = {row.optimizer: folder / row.digest / "log.txt" for row in frames.runs.itertuples()}
    said = logs["chatting"].read_text()
    assert "out of the run" in said and "from native code" in said
    assert not logs["sgd"].exists()


def test_a_timed_cell_that_dies_does_not_take_the_others_with_it(tmp_path, plugin):
    clock = {"convergence": False, "timing": TINY["timing"]}
    outcome, frames = sweep(tmp_path, [plugin], optimizers=["sgd", "dying", "adam"], **clock)
    status = frames.runs.set_index("optimizer")["status"]
    assert status.to_dict() == {"sgd": "ok", "dying": "failed", "adam": "ok"}
    assert outcome.exit_code == 1


def test_finished_runs_are_cached_and_failed_ones_tried_again(tmp_path, plugin):
    first, before = sweep(tmp_path, [plugin], optimizers=["sgd", "raising"])
    second, after = sweep(tmp_path, [plugin], optimizers=["sgd", "raising"])
    assert (first.cached, second.cached) == (0, 1)
    started = [frames.runs.set_index("optimizer")["started_at"] for frames in (before, after)]
    assert started[0]["sgd"] == started[1]["sgd"] and started[0]["raising"] != started[1]["raising"]


def test_a_change_of_the_optimizers_own_file_makes_its_runs_anew(tmp_path, plugin):
    sweep(tmp_path, [plugin], optimizers=["sgd", "chatting"])
    plugin.write_text(PLUGIN + "\n# changed")
    outcome, _ = sweep(tmp_path, [plugin], optimizers=["sgd", "chatting"])
    assert outcome.cached == 1, "sgd's file is as it was"


def test_reruns_are_bit_equal(tmp_path):
    curves = [sweep(tmp_path / name, optimizers=["adam"])[1].curves["value"] for name in ("a", "b")]
    assert curves[0].equals(curves[1])


def test_shards_cover_everything_once(tmp_path):
    ids = []
    for index in (1, 2, 3):
        options = Options(output=tmp_path, shard=(index, 3))
        ready = prepare(make_suite("tiny", TINY), options=options)
        ids += [run.spec.id for run in ready.selected]
    assert len(ids) == len(set(ids)) == len(ready.plan)


def test_a_missing_framework_is_a_skipped_cell(tmp_path, monkeypatch):
    from gradrace.registry import Framework

    original = Framework.versions
    monkeypatch.setattr(
        Framework, "versions", lambda self: None if self.name == "torch" else original(self)
    )
    outcome, frames = sweep(tmp_path, frameworks=["torch", "numpy"], optimizers=["sgd"])
    rows = frames.runs.set_index("framework")
    assert rows.loc["torch", "status"] == "skipped"
    assert rows.loc["torch", "reason"].startswith("not installed: torch")
    assert rows.loc["numpy", "status"] == "ok" and outcome.exit_code == 0
    outcome, _ = sweep(tmp_path, frameworks=["torch"], optimizers=["sgd"])
    assert outcome.exit_code == 3, "nothing could be measured"


BROKEN = """FRAMEWORK = 'broken'
TITLE = 'Broken'
REQUIRES = ('numpy',)
MODES = ('m',)
CONVERGENCE_MODE = 'm'
import a_module_that_is_not_there
"""


def test_a_framework_that_does_not_load_fails_with_the_reason(tmp_path):
    adapter = tmp_path / "broken_adapter.py"
    adapter.write_text(BROKEN)
    chosen = {"frameworks": ["broken", "numpy"], "optimizers": ["sgd", "adam"]}
    outcome, frames = sweep(tmp_path, [adapter], **chosen)
    reasons = frames.runs[frames.runs["framework"] == "broken"]["reason"]
    assert reasons.str.contains("a_module_that_is_not_there").all() and len(reasons) == 2
    assert outcome.counts == {"failed": 2, "ok": 2}


TAKEN = """import gradrace.optimizers.sgd as s, dataclasses
O = dataclasses.replace(s.OPTIMIZER, title='x')
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("x = (", r"mine.py, line 1: '\(' was never closed"),
        ("import math\nmath.sqrt(-1)", "mine.py, line 2: ValueError"),
        ("x = 1", "defines no"),
        (TAKEN, "'sgd' is taken"),
        ("raise SystemExit(3)", "SystemExit"),
    ],
    ids=["missing", "syntax", "raises", "empty", "taken", "exits"],
)
def test_a_bad_plug_in_is_named(tmp_path, text, message):
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=message):
        prepare(make_suite("tiny", TINY), [file])


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("", True),
        ("adam", True),
        ("ADAM lstm", True),
        ("adam !lstm", False),
        ("sgd", False),
        ("!sgd", True),
    ],
)
def test_keywords(keyword, expected):
    assert matches("convergence/digits_lstm/torch-eager/adam-canonical", keyword) is expected


SLOW = textwrap.dedent("""
    import time
    from gradrace import Optimizer, ReferenceRule
    def update(p, g, state, lr, t, hyper):
        time.sleep(0.02)
        return p - lr * g, state
    O = Optimizer(name="slow", title="Slow", paper="-", learning_rate=0.1, hyper={}, bindings={},
                  rule=ReferenceRule(init=lambda p, hyper: {}, update=update))
""")


def long_run(output: str) -> list[str]:
    options = ["--load", "slow.py", "--no-report", "-o", output]
    return [sys.executable, "-m", "gradrace", "run", "long.toml", *options]


@pytest.fixture
def slow_run(tmp_path):
    """A sweep of six runs of a few seconds each, started as a user would, with its first record."""
    (tmp_path / "slow.py").write_text(SLOW)
    suite = {**TINY, "optimizers": ["slow"], "seeds": 6, "timing": False, "steps": 10}
    (tmp_path / "long.toml").write_text(toml(suite))

    def start():
        # Tests that are run in the background inherit an ignored Ctrl-C; a user at a terminal does
        # not.
        heed = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
        streams = {"stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(long_run("out"), cwd=tmp_path, preexec_fn=heed, **streams)

    process = start()
    wait_for(lambda: finished(tmp_path))
    return process, start


def workers_of(folder: Path) -> list[int]:
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            own = (cmdline.parent / "cwd").resolve() == folder
            if own and b"gradrace.worker" in cmdline.read_bytes():
                found.append(int(cmdline.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "how",
    [signal.SIGKILL, signal.SIGINT, signal.SIGTERM],
    ids=["kill -9", "Ctrl-C", "a scheduler"],
)
def test_killing_a_sweep_loses_at_most_the_run_in_flight(tmp_path, slow_run, how):
    process, start = slow_run
    process.send_signal(how)
    process.wait(timeout=120)
    assert process.returncode == (-9 if how == signal.SIGKILL else 130)
    wait_for(lambda: not workers_of(tmp_path))
    kept = {file.parent.name: file.stat().st_mtime_ns for file in finished(tmp_path)}
    assert 1 <= len(kept) < 6
    again = start()
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert f"6 ok ({len(kept)} cached)" in said
    assert len(finished(tmp_path)) == 6
    files = {file.parent.name: file.stat().st_mtime_ns for file in finished(tmp_path)}
    assert kept.items() <= files.items(), "no finished run is written again"
    assert subprocess.run(long_run("calm"), cwd=tmp_path, capture_output=True).returncode == 0
    out, calm = (
        frame.load(tmp_path / name).runs.set_index("digest")["final_validation_loss"]
        for name in ("out", "calm")
    )
    assert out.equals(calm), "the same table as that of an undisturbed sweep"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_scheduler_that_tells_the_workers_first_fails_no_run(tmp_path, slow_run):
    process, _ = slow_run
    workers = workers_of(tmp_path)
    assert workers
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        for worker in workers:
            # One that was just loading its framework has ended, and is started again.
            with suppress(ProcessLookupError):
                os.kill(worker, number)
        time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "finished runs are kept" in said
    until_gone(*workers)
    records = [json.loads(file.read_text()) for file in finished(tmp_path)]
    assert {record["status"] for record in records} == {"ok"}


def test_a_claim_is_asked_before_a_worker_is_started(tmp_path, monkeypatch):
    """A worker that loads its framework would disturb a driver that times, or start for nothing."""
    said, spawn = [], LocalExecutor._spawn
    monkeypatch.setattr(
        LocalExecutor, "_spawn", lambda self, *given: said.append("worker") or spawn(self, *given)
    )
    sweep = tiny_planned(tmp_path, seeds=8, optimizers=["sgd", "adam"])
    runs = [replace(run, log=tmp_path / f"{run.digest}.txt") for run in sweep.selected]

    def claim(job):
        granted = [run for run in job.runs if run.spec.optimizer.name == "adam"]
        said.append(f"claim {len(granted) > 0}")
        return job.of(granted)

    def ended(claim):
        executor = LocalExecutor((), {}, 60.0, workers=1, claim=claim)
        try:
            for job in jobs(runs, sweep.registry.frameworks):
                executor.submit(job)
            return [each for each in executor.events() if isinstance(each, Finished)]
        finally:
            executor.close()

    assert not ended(lambda job: job.of(())) and not said
    assert {each.run.spec.optimizer.name for each in ended(claim)} == {"adam"}
    assert said.count("worker") == 1 and said[said.index("worker") - 1] == "claim True"


def test_the_suite_as_json_from_the_command_line(tmp_path, gradrace):
    (tmp_path / "tiny.toml").write_text(toml({**TINY, "timing": False}))
    done = gradrace("run", "tiny.toml", "--json", "--no-report")
    assert done.returncode == 0
    told = {"suite": "tiny", "cached": 0, "counts": {"ok": 4}, "exit_code": 0}
    assert json.loads(done.stdout) == told
