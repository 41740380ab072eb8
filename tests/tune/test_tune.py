"""`gradrace tune` for its user: kills, samplers, failures, bad input, nested folds, the report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from gradrace.cli import app
from gradrace.results import frame
from gradrace.sweep.store import read_records
from gradrace.tune.study import read_study
from records import suite_pages
from typer.testing import CliRunner

NAME = "study"
# The NumPy reference does a trial of these in milliseconds.
NUMPY = ("--framework", "numpy", "--dtype", "float64", "--steps", "12", "--fresh-seeds", "2")
BASE = ("tune", "--task", "digits_mlp", *NUMPY, "--quiet")

# Trial 3 of every search raises, by its learning rate: the grid below makes it 0.1.
PLUGIN = """
import numpy as np
from gradrace import Hyper, Optimizer, Range, ReferenceRule, SearchSpace

def update(p, g, state, lr, t, hyper):
    if 0.05 < lr < 0.2: raise ValueError("this rate is cursed")
    return p - lr * g, state

Mine = Optimizer(
    name="cursed", title="Cursed", paper="-", learning_rate=0.01, bindings={},
    hyper={"unused": Hyper(0.5, "-", high=1.0)},
    rule=ReferenceRule(init=lambda p, hyper: {}, update=update),
    space=SearchSpace({"learning_rate": Range(0.001, 1000.0, log=True)}, "made up"),
)
"""


@pytest.fixture
def gradrace_here(tmp_path, monkeypatch):
    """The command line in a folder of its own, in this process, which has imported everything."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return SimpleNamespace(returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr)

    return call


def tune(gradrace, *arguments, optimizer="momentum", budget=4, report=False):
    """The command's answer as JSON, and its exit code."""
    search = ("--optimizer", optimizer, "--budget", budget, "--name", NAME, "--json")
    done = gradrace(*BASE, *search, *arguments, *(() if report else ("--no-report",)))
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.returncode


def numbers(folder, optimizer):
    """The numbers of a search's trials that have runs in the plan."""
    specs = [record.spec for record in read_records(folder / "results", NAME)]
    tried = [spec for spec in specs if spec.optimizer.name == optimizer]
    return [spec.variations["trial"] for spec in tried if "trial" in spec.variations]


def journal_of(folder):
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("sampler", "trials"), [("random", 7), ("qmc", 7), ("grid", 6), ("tpe", 11), ("gp", 11)]
)
def test_every_sampler_uses_its_budget_within_the_space(gradrace_here, tmp_path, sampler, trials):
    """tpe and gp draw their first ten at random: eleven trials reach what they have learnt."""
    found, code = tune(gradrace_here, "--sampler", sampler, budget=max(7, trials))
    assert code == 0 and sum(found["results"][0]["trials"].values()) == trials
    asked = [line["settings"] for line in journal_of(tmp_path / "results/runs" / NAME)]
    assert len({json.dumps(settings) for settings in asked}) == trials, "no suggestion is repeated"
    for settings in asked:
        assert 1e-3 <= settings["learning_rate"] <= 10 and 0 <= settings["momentum"] <= 0.999


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_study_that_is_killed_goes_on_with_the_same_trials(gradrace, tmp_path, sampler):
    search = ("--optimizer", "sgd,adam", "--budget", "14", "--sampler", sampler, "--name", NAME)
    arguments = (*BASE, *search, "--json", "--no-report")
    whole = gradrace(*arguments, "-o", "whole")
    command, quiet = [sys.executable, "-m", "gradrace", *arguments], {"stdout": subprocess.DEVNULL}
    running = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **quiet)
    folder, started = tmp_path / "results/runs" / NAME, time.monotonic()
    while len(list(folder.glob("*/run.json"))) < 9 and time.monotonic() - started < 200:
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = {file: file.read_bytes() for file in folder.glob("*/run.json")}
    lines = (folder / "trials.jsonl").read_text().splitlines()
    assert 9 <= len(before) < 32, "it was killed in the middle"
    with (folder / "trials.jsonl").open("a") as journal:
        journal.write('{"task":"digits_mlp","optimi')
    resumed = gradrace(*arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout) == json.loads(whole.stdout)
    for file, content in before.items():
        assert file.read_bytes() == content, "nothing finished was run again"
    after = (folder / "trials.jsonl").read_text().splitlines()
    assert after[: len(lines)] == lines and len(after) == 28
    for optimizer in ("sgd", "adam"):
        assert numbers(tmp_path, optimizer) == list(range(14))


def test_a_trial_that_never_ended_is_run_as_it_was_suggested(gradrace_here, tmp_path):
    tune(gradrace_here, "--sampler", "tpe", budget=5)
    folder = tmp_path / "results/runs" / NAME
    lines = journal_of(folder)
    assert read_study(folder).batch >= 1
    run = folder / lines[4]["digests"][0] / "run.json"
    run.unlink()
    found, code = tune(gradrace_here, "--sampler", "tpe", budget=5)
    assert code == 0 and sum(found["results"][0]["trials"].values()) == 5
    assert journal_of(folder) == lines
    assert run.exists()


def test_a_larger_budget_goes_on_and_another_search_begins_anew(gradrace_here, tmp_path):
    tune(gradrace_here, budget=3)
    folder = tmp_path / "results/runs" / NAME
    lines = (folder / "trials.jsonl").read_text()
    tune(gradrace_here, budget=5)
    assert (folder / "trials.jsonl").read_text().startswith(lines)
    assert numbers(tmp_path, "momentum") == list(range(5))
    tune(gradrace_here, "--seed", "1", budget=3)
    assert numbers(tmp_path, "momentum") == list(range(3))
    assert len(journal_of(folder)) == 8, "earlier trials are kept"
    # Trials and scores share no seed, and other searches have others.
    seeds = {record.spec.seed for record in read_records(tmp_path / "results", NAME)}
    assert seeds == {10_000, 15_000, 15_001}


def test_trials_that_fail_count_and_are_kept_and_never_win(gradrace_here, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    arguments = ("--sampler", "grid", "--space", "learning_rate=1e-3..1e3,log")
    found, code = tune(gradrace_here, *arguments, optimizer="mine.py:Mine", budget=7)
    assert code == 1
    result = found["results"][0]
    assert result["trials"]["failed"] == 1 and sum(result["trials"].values()) == 7
    assert result["trials"]["diverged"] >= 1
    assert result["searches"][0]["settings"]["learning_rate"] != 0.1
    records = read_records(tmp_path / "results", NAME)
    failed = [record for record in records if record.status == "failed"]
    assert len(failed) == 1 and "cursed" in failed[0].reason
    assert tune(gradrace_here, *arguments, optimizer="mine.py:Mine", budget=7) == (found, 1)
    assert read_records(tmp_path / "results", NAME) == records, "a failed trial stays one"


def test_workers_do_not_change_the_outcome(gradrace_here):
    """A sampler that learns keeps the batch that its study began with; others have none."""
    one, two = (tune(gradrace_here, "-j", jobs, "-o", f"out{jobs}") for jobs in "12")
    assert one[0] == two[0]
    first, _ = tune(gradrace_here, "-j", "2", "-o", "c", "--sampler", "tpe", budget=11)
    assert first["asked"]["batch"] == 2
    assert tune(gradrace_here, "-j", "1", "-o", "c", "--sampler", "tpe", budget=11)[0] == first


@pytest.mark.parametrize("sampler", ["random", "qmc", "grid"])
def test_lanes_do_not_change_a_search_that_does_not_learn(gradrace_here, tmp_path, sampler):
    """The referee's lanes give the very bits of its single runs."""
    found = {
        lanes: tune(
            gradrace_here,
            "--population",
            lanes,
            "-o",
            f"out{lanes}",
            "--sampler",
            sampler,
            budget=9,
        )
        for lanes in ("off", "4", "3")
    }
    for lanes in ("4", "3"):
        asked = {**found[lanes][0]["asked"], "lanes": 0}
        assert ({**found[lanes][0], "asked": asked}, found[lanes][1]) == found["off"]
        records = read_records(tmp_path / f"out{lanes}", NAME)
        assert {(record.spec.mode, record.lanes) for record in records} == {
            ("population", int(lanes))
        }


def test_a_search_that_learns_suggests_as_many_trials_as_fill_the_lanes(gradrace_here):
    arguments = ("--population", "6", "--seeds", "2", "--sampler", "tpe")
    found, _ = tune(gradrace_here, *arguments, budget=8)
    assert (found["asked"]["lanes"], found["asked"]["batch"]) == (6, 3)


BAD = [
    (("--budget", "0"), "at least one trial"),
    (("--population", "0"), "--population 0: expected auto, off, or a number of lanes"),
    (("--sampler", "tep"), "did you mean 'tpe'"),
    (("--task", "digits_mpl"), "did you mean"),
    (("--task", " , "), "--task: at least one"),
    (("--optimizer", "momentun"), "did you mean 'momentum'"),
    (("--optimizer", "nowhere.py:Mine"), "no such file"),
    (("--framework", "nunpy"), "did you mean 'numpy'"),
    (("--schedule", "cosin"), "did you mean 'cosine'"),
    (("--seeds", "0"), "--seeds 0: at least 1"),
    (("--fresh-seeds", "5001"), "fresh_seeds"),
    (("--batch-size", "100000"), "larger than the 1152 training samples"),
    (("--space", "momentum=0.9..0.5"), "reversed"),
    (("--space", "learning_rate=0..1,log"), "cannot be logarithmic"),
    (("--space", "learning_rate=-1..1"), "leaves what it takes"),
    (("--space", "momentum=0.5..1.5"), "leaves what it takes, [0, 1]"),
    (("--space", "momentum=0.5..2,below_one"), "within [0, 1]"),
    (("--space", "momentum=nan..0.5"), "not finite"),
    (("--space", "momentum=low..high"), "not a range of numbers"),
    (("--space", "momentum"), "expected NAME=LOW..HIGH"),
    (("--space", "momentum=0..1,sqrt"), "expected NAME=LOW..HIGH"),
    (("--space", "momentom=0..1"), "did you mean 'momentum'"),
    (("--space", "adam.beta1=0..1"), "no optimizer 'adam' here"),
    (("--space", "momentum=0.9;learning_rate=0.1"), "nothing to search: every value is fixed"),
    (("--nested-cv", "5"), "expected OUTERxINNER"),
    (("--nested-cv", "1x3"), "each from 2 to 1000"),
    (("--nested-cv", "500x3"), "500 folds need 500 samples"),
    (("--nested-cv", "5x3", "--task", "adding_rnn"), "no folds can be made"),
    (("--nested-cv", "5x3", "--schedule", "plateau"), "must not choose"),
    (("--name", "../up"), "cannot name a suite"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_requests_are_refused_before_anything_runs(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    given = [*BASE, "--optimizer", "momentum", "--budget", "2", "--no-report", *arguments]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split())
    assert not list(tmp_path.rglob("run.json")) and not list(tmp_path.rglob("study.json"))


def test_a_missing_optuna_is_said_and_others_do_without(monkeypatch):
    import importlib.util

    from gradrace.errors import UserError
    from gradrace.tune.samplers import check_sampler

    real = importlib.util.find_spec
    absent = lambda name: None if name == "optuna" else real(name)
    monkeypatch.setattr(importlib.util, "find_spec", absent)
    check_sampler("qmc")
    with pytest.raises(UserError, match=r"gradrace\[tune\]"):
        check_sampler("tpe")


def test_a_framework_that_lacks_the_dtype_is_a_skipped_search_with_a_reason(gradrace_here):
    found, code = tune(gradrace_here, "--dtype", "float32", budget=2)
    assert code == 3 and found["results"][0]["trials"] == {"skipped": 2}
    assert found["results"][0]["tuned_test"] is None


def test_nested_folds_choose_within_and_score_without(gradrace_here, tmp_path):
    search = ("--task", "wine_mlp", "--optimizer", "momentum", "--budget", "3", "--name", NAME)
    done = gradrace_here("tune", "--nested-cv", "3x2", *search, *NUMPY, "--json", "-q")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["results"][0]
    assert [search["fold"] for search in result["searches"]] == [0, 1, 2]
    assert sum(result["trials"].values()) == 9
    records = read_records(tmp_path / "results", NAME)
    assert Counter(record.spec.task.data for record in records) == {
        **{f"wine.cv3-{outer}.2-{inner}": 3 for outer in range(3) for inner in range(2)},
        **{f"wine.cv3-{outer}": 4 for outer in range(3)},
    }
    runs = [record for record in records if record.spec.variations.get("settings") == "tuned"]
    for fold, value in enumerate(result["tuned_test"]["values"]):
        of_fold = [record for record in runs if record.spec.variations["fold"] == fold]
        mine = [record.summary.test_metric for record in of_fold]
        assert value == pytest.approx(sum(mine) / 2) and len(mine) == 2
    assert "Scores of the outer folds" in suite_pages(tmp_path / "results/html")


TITLES = (
    "Tuned and default settings|Inclusion|best score to expect|Every trial|Search spaces|fANOVA"
)


def test_the_report_shows_trials_winner_defaults_and_inclusion(gradrace_here, tmp_path):
    _, code = tune(gradrace_here, optimizer="sgd,momentum", budget=9, report=True)
    assert code == 0
    page = suite_pages(tmp_path / "results/html")
    for text in TITLES.split("|"):
        assert text in page, text
    folder = tmp_path / "results/html/data" / NAME
    assert len((folder / "trials.csv").read_text().splitlines()) == 1 + 18
    assert len((folder / "runs.csv").read_text().splitlines()) == 1 + 18 + 8
    frames = frame.load(tmp_path / "results")
    assert frames.studies[NAME].budget == 9
    assert "settings=tuned" in page
    assert "trial=3" not in page, "the other sections leave the trials out"


def test_a_study_does_not_take_over_another_ones_report(gradrace_here, tmp_path):
    """The same name for other optimizers: the report would lose the first ones."""
    random = ("--sampler", "random")
    study = tmp_path / "results/runs" / NAME / "study.json"
    assert tune(gradrace_here, *random, optimizer="momentum", budget=1)[1] == 0
    asked = study.read_text()
    another = ("--budget", 1, "--optimizer", "sgd", "--name", NAME)
    refused = gradrace_here(*BASE, *random, *another)
    assert refused.returncode == 2
    assert "leaves out momentum" in refused.stderr
    assert "--name" in refused.stderr
    assert study.read_text() == asked
    both = tune(gradrace_here, *random, optimizer="momentum,sgd", budget=1)
    assert both[1] == 0, "more may join"
