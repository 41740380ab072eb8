"""The GitHub action, step by step, on a toy repository with two commits."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from action_steps import ACTION, Job
from checkout import copied, environment
from gate_cases import OPTIMIZER, SUITE, TIMING, commit, git, write_suite
from paths import ROOT

# Steps long enough that 15% is more than the noise of a busy machine.
LONGER = {**SUITE, "timing": {**TIMING, "blocks": 10, "block_steps": 20, "optimizers": ["sgd"]}}
# Spins 15% of the time that this thread worked between two steps.
SLOW = """
import time

_BEGAN = [0, 0.0]

def spin(t):
    if t != _BEGAN[0]:
        now = time.thread_time()
        step = now - _BEGAN[1] if _BEGAN[0] + 1 == t else 0.0
        while time.thread_time() - now < min(0.15 / 1.15 * step, 0.01):
            pass
        _BEGAN[:] = [t, now]
"""
PULL = {
    "pull_request.number": "5",
    "pull_request.head.repo.full_name": "someone/toy",
    "pull_request.head.sha": "1" * 40,
}
GITHUB = {
    "event_name": "pull_request",
    "base_ref": "main",
    "repository": "someone/toy",
    "server_url": "https://github.com",
    "run_id": "9",
    "job": "gate",
    "token": "t",
}
INPUTS = {
    "suite": "tiny.toml",
    "keyword": "mine",
    "load": "mine.py\n",
}
COMMENTED = OPTIMIZER.replace("EPSILON = 1e-8", "# Kingma and Ba, section 2.\nEPSILON = 1e-8")
# The first look decides: these tests ask for something else than the size of a slowdown.
QUICK = {"threshold": "0.3", "budget": "30"}


@pytest.fixture(scope="module")
def action(tmp_path_factory) -> Path:
    """The action's own checkout, as a runner has it."""
    return copied(tmp_path_factory.mktemp("action"))


@pytest.fixture(scope="module")
def installed(action, tmp_path_factory) -> Path:
    """bin/ of an environment into which the action's first step has installed gradrace."""
    folder = tmp_path_factory.mktemp("installed")
    job = Job(environment(folder / "env"), folder, folder / "temp", action, GITHUB)
    code = job.run(only=("install",), frameworks="torch")
    assert code == 0, job.log
    assert (folder / "env" / "bin" / "gradrace").is_file() and "gradrace 0.0.0.post" in job.log
    return job.bin


@pytest.fixture
def toy(tmp_path) -> Path:
    """An origin with one commit on main, and a clone of depth 1, as actions/checkout makes it."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q", "-b", "main")
    (origin / ".gitignore").write_text("results/\n")
    write_suite(origin, **LONGER)
    commit(origin, mine=OPTIMIZER)
    return origin


@pytest.fixture
def job(toy, tmp_path, installed, action):
    """A job of a pull request that changes mine.py to the given text."""

    def made(text: str, **github: str) -> Job:
        git(toy, "checkout", "-q", "-B", "change")
        commit(toy, mine=text)
        git(toy, "checkout", "-q", "main")
        workspace = tmp_path / "work"
        clone = ("clone", "-q", "--depth", "1", "--branch", "change", f"file://{toy}", "work")
        git(tmp_path, *clone)
        return Job(installed, workspace, tmp_path / "temp", action, {**GITHUB, **github}, PULL)

    return made


def kept(job: Job) -> dict:
    return json.loads((job.temp / "gradrace" / "gate.json").read_text())


def test_a_slower_step_is_red_with_its_cell_and_size(job) -> None:
    update = "def update(p, g, state, lr, t, hyper):"
    slow = OPTIMIZER.replace(update, f"{SLOW}\n{update}\n    spin(t)")
    made = job(slow)
    # Other work on the core can leave a verdict open, which is no fault; then it is asked again.
    for _ in range(3):
        code = made.run(**INPUTS, budget="150")
        (cell,) = (c for c in kept(made)["timing"]["cells"] if c["decision"] != "skipped")
        if cell["decision"] not in ("suspected", "inconclusive"):
            break
    assert code == 4 and cell["decision"] == "regression" and cell["confirmed"], made.log
    assert 1.03 < cell["ratio"] < 2.0
    assert f"::error title=gradrace::{cell['cell']}: +" in made.log
    assert made.outputs()["exit-code"] == "4" and Path(made.outputs()["json"]).is_file()
    comment = (made.temp / "body.md").read_text()
    assert comment.startswith("<!-- gradrace gate tiny.toml-mine -->\n## gradrace gate tiny: regr")
    assert cell["cell"].split()[0] in comment and "actions/runs/9" in comment
    assert "regression" in (made.temp / "github_step_summary").read_text()
    assert (made.temp / "gradrace" / "gate.html").is_file()


def test_another_rule_is_red_with_its_step_and_values_and_comments_once(job) -> None:
    made = job(OPTIMIZER.replace("return p - lr * step", "return p - lr * (1 + 1e-6) * step"))
    assert made.run(**INPUTS, **QUICK, base="main") == 4, made.log
    found = re.search(
        r"::error title=gradrace::\S+mine\S*: losses differ from step (\d+) on: "
        r"([\d.]+), was ([\d.]+)",
        made.log,
    )
    assert found and found.group(1) == "1" and found.group(2) != found.group(3)
    writes = [line for line in calls(made) if "-X" in line]
    assert len(writes) == 1 and "POST repos/someone/toy/issues/5/comments" in writes[0]
    # The next push to the pull request.
    assert made.run(only=("comment",), **INPUTS) == 0
    assert "PATCH repos/someone/toy/issues/comments/77" in calls(made)[-1]


def test_a_comment_in_the_code_is_green(job) -> None:
    made = job(COMMENTED)
    assert made.run(**INPUTS, **QUICK) == 0, made.log
    assert kept(made)["timing"]["cells"] and "::notice title=gradrace%3A no regr" in made.log
    assert made.ran == ["install", "gate", "comment", "verdict"]


def test_on_a_fork_there_is_no_comment_and_the_verdict_stands(job) -> None:
    made = job(OPTIMIZER + "BROKEN(\n")
    made.event = {**PULL, "pull_request.head.repo.full_name": "fork/toy"}
    assert made.run(**INPUTS, **QUICK) == 2, made.log
    assert not calls(made) and "no comment on a fork's pull request" in made.log
    assert "::error title=gradrace%3A a wrong command" in made.log


def test_a_comment_that_may_not_be_written_is_no_verdict(job, tmp_path) -> None:
    made = job(COMMENTED)
    markdown = made.temp / "gate.md"
    markdown.write_text("## gradrace gate tiny: ok\n" + "long\n" * 20_000)
    made.steps["gate"] = {"name": "tiny", "markdown": str(markdown)}
    assert made.run(only=("comment",)) == 0
    assert len((made.temp / "body.md").read_text()) < 1000
    (made.temp / "refused").touch()
    assert made.run(only=("comment",)) == 0
    assert "::warning title=gradrace::the comment could not be written" in made.log


def test_a_base_that_is_nowhere_is_named(job) -> None:
    made = job(COMMENTED)
    assert made.run(**INPUTS, base="no-such-branch") == 2
    assert "--base no-such-branch: no commit of that name" in made.log


def test_history_is_recorded_on_other_events_alone(job) -> None:
    made = job(COMMENTED)
    only = ("history",)
    assert made.run(only=only, **INPUTS, history_branch="h") == 0 and made.ran == []


def test_a_suspected_cell_is_a_warning(tmp_path) -> None:
    cell = {"cell": "a", "decision": "suspected", "ratio": 1.08, "low": 1.02, "high": 1.14}
    found = {"outcome": "suspected", "convergence": None, "timing": {"cells": [cell]}}
    (tmp_path / "gate.json").write_text(json.dumps(found))
    command = ["python3", str(ROOT / "action" / "findings.py"), str(tmp_path), "0", "a"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[0] == "::warning title=gradrace%3A suspected::a: +8.0%25 [+2.0%25, +14.0%25]"
    assert lines[1].startswith("::warning title=gradrace%3A suspected%2C found once::suspected;")


def calls(job: Job) -> list[str]:
    file = job.temp / "calls"
    return file.read_text().splitlines() if file.exists() else []


# -- the files themselves


def test_other_actions_are_pinned_by_their_commit() -> None:
    texts = [ROOT / "action.yml", *(ROOT / ".github" / "workflows").glob("*.yml")]
    for file in texts:
        for line in file.read_text().splitlines():
            if used := re.search(r"uses: (\S+)(.*)", line):
                own = used.group(1) == "./"
                pinned = re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", used.group(1))
                assert own or (pinned and re.search(r"# v\d", used.group(2))), f"{file}: {line}"


def test_inputs_and_steps_are_well_formed() -> None:
    assert all(about["description"] and "default" in about for about in ACTION["inputs"].values())
    used = (ROOT / "action.yml").read_text()
    for name in ACTION["inputs"]:
        assert f"inputs.{name} " in used or f"inputs.{name}\n" in used, name
    scripts = {f"action/{file.name}" for file in (ROOT / "action").iterdir()}
    assert {name for name in scripts if name in used or name == "action/findings.py"} == scripts


def test_findings_cannot_inject_commands_of_the_runner(tmp_path) -> None:
    cell = {
        "cell": "a\n::set-output name=x::y",
        "decision": "failed",
        "reason": "100%\r\n::error::z",
    }
    found = {"outcome": "a run\nfailed", "convergence": None, "timing": {"cells": [cell]}}
    (tmp_path / "gate.json").write_text(json.dumps(found))
    command = ["python3", str(ROOT / "action" / "findings.py"), str(tmp_path), "1", "a `b`\n$(c)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(line.startswith("::error title=gradrace") for line in done.stderr.splitlines())
    assert done.stdout.splitlines()[:3] == ["verdict=a run failed", "exit-code=1", "name=a-b-c"]
