"""The command line as a user meets it: exit codes, messages, help, and what is imported when."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT
from tiny import TINY, toml

COMMANDS = (
    *(
        "run",
        "time",
        "tune",
        "verify",
        "certify",
        "report",
        "compare",
        "why",
        "bisect",
        "plot",
        "gate",
        "baseline",
        "calibrate",
    ),
    *("export", "publish", "merge", "show", "list", "doctor", "fetch", "init"),
)


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tiny.toml").write_text(toml(TINY))
    return tmp_path


def called(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """A folder with the results of the tiny suite, with its report."""
    folder = tmp_path_factory.mktemp("raced")
    (folder / "tiny.toml").write_text(toml(TINY))
    done = called(folder, "gradrace", "run", "tiny.toml")
    assert done.returncode == 0, done.stderr
    return folder, done


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a process that ran this code."""
    script = (
        f"import sys\ntry:\n    exec({code!r})\nexcept SystemExit:\n    pass\nprint('modules',"
        " *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


HEAVY = {
    *("torch", "tensorflow", "keras", "jax", "flax", "optax"),
    *("pandas", "seaborn", "matplotlib", "sklearn", "pyarrow", "optuna"),
}


@pytest.mark.parametrize(
    "code",
    [
        "import gradrace",
        "sys.argv = ['gradrace', '--help']; from gradrace.cli import main; main()",
        "sys.argv = ['gradrace', 'run', '--help']; from gradrace.cli import main; main()",
        "sys.argv = ['gradrace', 'tune', '--help']; from gradrace.cli import main; main()",
        "from gradrace.registry import load_registry; load_registry()",
        "from gradrace.sweep import prepare; prepare('quick')",
    ],
)
def test_nothing_heavy_is_loaded(code):
    assert not loaded_by(code) & HEAVY


def test_the_list_of_commands_needs_no_model():
    code = "sys.argv = ['gradrace', '--help']; from gradrace.cli import main; main()"
    assert not loaded_by(code) & {"pydantic", "numpy"}


def test_the_core_names_no_framework():
    """Only adapters import frameworks; reading the source finds the late imports too."""
    for file in (ROOT / "harness").rglob("*.py"):
        assert not re.search(
            r"^\s*(import|from) (torch|tensorflow|keras|jax|flax|optax)\b", file.read_text(), re.M
        ), file


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(gradrace, command):
    done = gradrace(command, "--help")
    assert done.returncode == 0 and len(done.stdout) > 300


def test_a_race_prints_its_summary_and_where_the_report_is(raced):
    folder, done = raced
    page = Path(done.stdout.splitlines()[-1].removeprefix("report: "))
    assert (folder / page).read_text().startswith("<!doctype html>")
    assert "digits_mlp" in done.stdout and "6 ok (0 cached)" in done.stderr
    assert done.stderr.count("convergence/digits_mlp/numpy-reference") == 4, (
        "plain lines where there is no terminal"
    )


def test_again_everything_is_cached(raced):
    folder, _ = raced
    again = called(folder, "gradrace", "run", "tiny.toml", "--no-report")
    assert again.returncode == 0 and "6 ok (6 cached)" in again.stderr


def test_a_dry_run_lists_and_runs_nothing(gradrace, tiny):
    done = gradrace("run", "tiny.toml", "--dry-run")
    assert done.returncode == 0 and done.stdout.count("to run") == 6 and "6 to run" in done.stderr
    assert not (tiny / "results").exists()


MISUSE = [
    (("run", "quik"), 2, "did you mean 'quick'"),
    (("run", "missing.toml"), 2, "no suite"),
    (("run", "tiny.toml", "-k", "nothing_like_this"), 5, "none of its 6 runs matches"),
    (("run", "tiny.toml", "--framework", "troch"), 2, "did you mean 'torch'"),
    (("run", "tiny.toml", "--shard", "3/2"), 2, "expected i/n"),
    (("run", "tiny.toml", "--seeds", "0"), 2, "0 is less than 1"),
    (("run", "tiny.toml", "--device", "tpu"), 2, "device"),
    (("run", "tiny.toml", "--load", "nowhere.py"), 2, "no such file"),
    (("run", "tiny.toml", "--python", "torch"), 2, "expected FRAMEWORK=INTERPRETER"),
    (("run", "tiny.toml", "--python", "numpy=/no/such/python"), 2, "cannot be used"),
    (("report",), 2, "no results there"),
    (("report", "nosuite", "-o", "RACED"), 2, "no results of suite 'nosuite' (known: tiny)"),
    (("show", "zzz", "-o", "RACED"), 5, "no run whose digest"),
    (("show", "sgd", "-o", "RACED"), 2, "runs match 'sgd'"),
    (("compare", "nowhere", "RACED"), 2, "no results there"),
    (("compare", "RACED", "RACED", "--threshold", "-1"), 2, "-1 is less than 0"),
    (("list", "optimisers"), 2, "did you mean 'optimizers'"),
    (("rum",), 2, "rum"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    MISUSE,
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else None,
)
def test_misuse_gets_one_clear_message(gradrace, tiny, raced, arguments, code, message):
    output = str(raced[0] / "results")
    done = gradrace(*(output if a == "RACED" else a for a in arguments))
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr and not done.stdout


def test_a_misspelt_key_is_named_with_file_and_nearest(gradrace, tmp_path):
    (tmp_path / "typo.toml").write_text(toml({**TINY, "optimizrs": ["adam"]}))
    done = gradrace("run", "typo.toml")
    assert done.returncode == 2
    said = "gradrace: typo.toml: unknown key 'optimizrs' (did you mean 'optimizers'?)\n"
    assert done.stderr == said


def test_a_read_only_results_folder_is_named(gradrace, tiny):
    (tiny / "results").write_text("a file, where a folder should be")
    done = gradrace("run", "tiny.toml")
    assert done.returncode == 2 and "not a folder" in done.stderr and "Traceback" not in done.stderr


def test_a_truncated_record_stops_the_run_and_stays(gradrace, tiny):
    assert gradrace("run", "tiny.toml", "--no-report").returncode == 0
    file = next((tiny / "results/runs/tiny").glob("*/run.json"))
    half = file.read_text()[: len(file.read_text()) // 2]
    file.write_text(half)
    done = gradrace("run", "tiny.toml", "--no-report")
    assert done.returncode == 2 and "truncated" in done.stderr
    assert str(file.relative_to(tiny)) in done.stderr
    assert file.read_text() == half


def test_show_tells_all_of_a_run(gradrace, raced):
    output = raced[0] / "results"
    plan = gradrace("run", raced[0] / "tiny.toml", "-o", output, "--dry-run", "--json")
    digest = json.loads(plan.stdout)["runs"][0]["digest"]
    done = gradrace("show", digest[:8], "-o", output)
    assert done.returncode == 0
    for part in (digest, "status           ok", "versions", "numpy=", "training loss", "run.json"):
        assert part in done.stdout
    record = json.loads(gradrace("show", digest, "-o", output, "--json").stdout)
    assert record["schema"] == 1 and record["digest"] == digest


def test_list_names_everything(gradrace):
    tables = json.loads(gradrace("list", "--json").stdout)
    assert {row["task"] for row in tables["tasks"]} >= {"digits_mlp", "digits_cnn", "digits_lstm"}
    frameworks = {row["framework"] for row in tables["frameworks"]}
    assert frameworks == {"numpy", "torch", "tensorflow", "jax"}
    assert len(tables["optimizers"]) >= 7 and len(tables["schedules"]) >= 5
    shown = gradrace("list", "optimizers", "--load", ROOT / "examples" / "my_optimizer.py").stdout
    assert "sign_momentum" in shown and "torch, jax" in shown


SLOWED = """
import time
from gradrace import Optimizer, ReferenceRule
def update(p, g, state, lr, t, hyper):
    time.sleep({sleep})
    return p - lr * g * {factor}, state
O = Optimizer(name="mine", title="Mine", paper="-", learning_rate=0.1, hyper={{}}, bindings={{}},
              rule=ReferenceRule(init=lambda p, hyper: {{}}, update=update))
"""


@pytest.mark.parametrize(
    ("sleep", "factor", "code", "worse"),
    [
        (0.0, 1.0, 0, set()),
        (0.003, 1.0, 4, {"step_p25_s"}),
        (0.0, 0.01, 4, {"final_validation_loss"}),
    ],
    ids=["the same", "slowed by a sleep", "learns worse"],
)
def test_compare_finds_what_became_worse(gradrace, tmp_path, sleep, factor, code, worse):
    (tmp_path / "s.toml").write_text(toml({**TINY, "optimizers": ["mine", "sgd"]}))
    for name, waits, by in (("a", 0.001, 1.0), ("b", 0.001 + sleep, factor)):
        (tmp_path / "mine.py").write_text(SLOWED.format(sleep=waits, factor=by))
        done = gradrace("run", "s.toml", "--load", "mine.py", "--no-report", "-o", name)
        assert done.returncode == 0
    done = gradrace("compare", "a", "b", "--json", "--threshold", "1.0")
    rows = json.loads(done.stdout)
    found = {row["figure"] for row in rows if row["verdict"] == "worse" and " mine-" in row["cell"]}
    assert found == worse
    assert done.returncode == code, done.stdout
    table = gradrace("compare", "a", "b", "--threshold", "1.0", "--all")
    assert "mine-canonical" in table.stdout and table.returncode == code


def test_nothing_comparable(gradrace, tmp_path, raced):
    (tmp_path / "other.toml").write_text(toml({**TINY, "optimizers": ["momentum"]}))
    assert gradrace("run", "other.toml", "--no-report").returncode == 0
    done = gradrace("compare", raced[0] / "results", "results")
    assert done.returncode == 5 and "nothing is comparable" in done.stderr


@pytest.mark.slow
def test_doctor_reports_frameworks_clock_and_problems(gradrace):
    done = gradrace("doctor", "--json", timeout=600)
    told = json.loads(done.stdout)
    assert told["gradrace"]["version"] and str(ROOT) in told["gradrace"]["origin"]
    by_name = {f["name"]: f for f in told["frameworks"]}
    assert by_name["numpy"]["installed"] and by_name["numpy"]["devices"] == ["cpu"]
    assert 0 < told["clock"]["tick_ns"] < 1e6 and told["clock"]["worst"] >= 1
    others = [f for f in told["frameworks"] if f["name"] != "numpy"]
    usable = [f for f in others if f["installed"] and not f["problem"]]
    assert done.returncode == (0 if usable else 3)
    for f in usable:
        assert f["versions"] and "cpu" in f["devices"]


def test_the_folders_names_are_no_modules(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import harness"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1 and "ModuleNotFoundError" in done.stderr
