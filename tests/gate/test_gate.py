"""The gate as CI meets it: exit codes and files, with the NumPy reference in a user's repository;
verdicts from values.
"""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from importlib.util import find_spec

import jsonschema
import pytest
from gate_cases import (
    OPTIMIZER,
    SIDES,
    SUITE,
    commit,
    make_cell,
    make_check,
    make_convergence,
    make_repository,
    make_result,
    make_timing,
    write_suite,
)
from gradrace.cli import app
from gradrace.errors import UserError
from gradrace.gate import json_schema
from gradrace.gate.judge import Asked, judge
from gradrace.gate.text import MOST_ROWS, explained, junit, markdown
from gradrace.gate.traces import Computed, make_baseline, select
from gradrace.suite import expand, make_suite, read_suite
from gradrace.sweep import Options
from paths import ROOT
from records import make_curve
from records import make_result as recorded
from typer.testing import CliRunner

BASELINE = "results/baselines/tiny.json"


def call(*arguments, **env):
    """The command line in this process; its output with standard error in it."""
    return CliRunner().invoke(app, list(arguments), env=env)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A repository with a committed baseline."""
    folder = make_repository(tmp_path_factory.mktemp("user") / "repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = call("baseline", "update", "tiny.toml", "--load", "mine.py", "-q")
    assert done.exit_code == 0 and "4 runs, 4 of them computed now" in done.output, done.output
    commit(folder)
    return folder


@pytest.fixture
def repository(prepared, tmp_path, monkeypatch):
    """A copy of it, as the current folder."""
    folder = shutil.copytree(prepared, tmp_path / "repository")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return folder


def gate(*arguments, **env):
    return call("gate", "tiny.toml", "--load", "mine.py", "-q", *arguments, **env)


def edit(folder, change):
    """The baseline file with its content changed."""
    file = folder / BASELINE
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


# -- the whole, without clocks


def test_equal_losses_pass_and_every_file_is_written(repository):
    summary = repository / "summary.md"
    summary.write_text("before\n")
    files = {kind: f"out/gate.{kind}" for kind in ("json", "junit", "markdown")}
    done = gate(
        *(part for kind, file in files.items() for part in (f"--{kind}", file)),
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert done.exit_code == 0, done.output
    assert (
        "4 bit for bit the same" in done.output
        and "not gated: no base to time against (--base)" in done.output
    )
    content = json.loads((repository / files["json"]).read_text())
    jsonschema.validate(content, json_schema())
    assert content["exit_code"] == 0 and {
        check["verdict"] for check in content["convergence"]["checks"]
    } == {"same"}
    assert (
        len(
            ET.parse(repository / files["junit"]).findall(
                "testsuite[@name='gradrace.convergence']/testcase"
            )
        )
        == 4
    )
    text = (repository / files["markdown"]).read_text()
    assert summary.read_text() == f"before\n{text}" and text.startswith(
        "## gradrace gate tiny: ok\n"
    )


def test_a_planted_epsilon_is_found_at_its_first_step(repository):
    (repository / "mine.py").write_text(OPTIMIZER.replace("1e-8", "1e-6"))
    done = gate("--json", "gate.json")
    assert done.exit_code == 4, done.output
    assert "numpy, digits_mlp, mine-canonical: losses first differ at step 1: 2.91" in done.output
    assert (
        "regression: digits_mlp/numpy-reference/mine-canonical computes something else"
        in done.output
    )
    checks = {
        check["id"]: check
        for check in json.loads((repository / "gate.json").read_text())["convergence"]["checks"]
    }
    for name, check in checks.items():
        assert check["verdict"] == ("differs" if "mine" in name else "same")
        if "mine" in name:
            assert check["step"] == 1 and check["relative"] == pytest.approx(
                abs(check["after"] / check["before"] - 1), rel=1e-6
            )


def other_version(content):
    content["frameworks"]["numpy"]["versions"]["numpy"] = "1.26.0"


def other_machine(content):
    content["frameworks"]["numpy"]["machine_type"] = "Linux, Other"


@pytest.mark.parametrize(
    ("change", "words"), [(other_version, "(was 1.26.0)"), (other_machine, "another machine")]
)
def test_elsewhere_only_the_band_counts(repository, change, words):
    def moved(content):
        change(content)
        for run in content["runs"]:
            run["losses"] = [loss * (1 + 2**-31) for loss in run["losses"]]

    edit(repository, moved)
    done = gate()
    assert (
        done.exit_code == 0 and words in done.output and "within the rounding band" in done.output
    ), done.output


def test_elsewhere_a_changed_rule_is_larger_than_the_band(repository):
    edit(repository, other_version)
    (repository / "mine.py").write_text(OPTIMIZER.replace("1e-8", "1e-6"))
    done = gate("-k", "mine")
    assert done.exit_code == 4 and "(9.3e-10 allowed)" in done.output, done.output


def test_another_suite_is_not_a_regression(repository):
    write_suite(repository, batch_sizes=[16])
    done = gate()
    assert done.exit_code == 2 and "on purpose? `gradrace baseline update`" in " ".join(
        done.output.split()
    ), done.output


def test_runs_that_left_the_suite_and_new_ones(repository):
    write_suite(repository, optimizers=["momentum"], timing=False)
    done = gate()
    assert (
        done.exit_code == 2
        and "no longer in the suite" in done.output
        and "not in the baseline yet" in done.output
    )
    updated = call("baseline", "update", "tiny.toml", "--load", "mine.py", "-q", "-k", "momentum")
    assert updated.exit_code == 0 and "4 runs, 2 of them computed now" in updated.output
    assert (
        "sgd" not in (repository / BASELINE).read_text()
        and "mine" in (repository / BASELINE).read_text()
    )
    assert gate("-k", "momentum seed0").exit_code == 0


BAD = [
    (lambda content: content.update(schema=2), "schema 2 is newer than this gradrace reads"),
    (lambda content: content.pop("runs"), "not a baseline (runs"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_baseline_that_cannot_be_read_is_named(repository, change, message):
    edit(repository, change)
    done = gate()
    assert (
        done.exit_code == 2
        and message in done.output
        and "tiny.json" in done.output
        and "Traceback" not in done.output
    )


def test_a_failing_run_is_a_failure(repository):
    (repository / "mine.py").write_text(
        OPTIMIZER.replace("m, v = ", "raise ArithmeticError('broken')\n    m, v = ")
    )
    done = gate("--junit", "gate.xml")
    assert done.exit_code == 1 and "ArithmeticError: broken" in " ".join(done.output.split()), (
        done.output
    )
    suite = ET.parse(repository / "gate.xml").find("testsuite")
    assert suite.attrib | {"tests": "4", "errors": "2", "failures": "0"} == suite.attrib
    assert call("baseline", "update", "tiny.toml", "--load", "mine.py", "-q").exit_code == 1


def test_nothing_to_compare_with_is_not_a_pass(repository):
    (repository / BASELINE).unlink()
    done = gate("--junit", "gate.xml", "--markdown", "gate.md")
    assert done.exit_code == 3 and "make one with `gradrace baseline update tiny`" in " ".join(
        done.output.split()
    )
    case = ET.parse(repository / "gate.xml").find(
        "testsuite[@name='gradrace.convergence']/testcase"
    )
    assert case.find("error") is not None
    assert "could not measure (not a verdict on the change)" in (repository / "gate.md").read_text()


ABSENT = """
FRAMEWORK = "absent"
TITLE = "Absent"
REQUIRES = ("gradrace-absent",)
MODES = ("x",)
CONVERGENCE_MODE = "x"
"""


def test_a_framework_that_is_not_installed_is_not_checked(repository):
    (repository / "absent.py").write_text(ABSENT)
    write_suite(repository, frameworks=["absent"])
    edit(repository, lambda content: content.update(runs=[], frameworks={}))
    done = gate("--load", "absent.py")
    assert done.exit_code == 3 and "not installed: gradrace-absent" in " ".join(
        done.output.split()
    ), done.output
    assert call("baseline", "update", "tiny.toml", "--load", "absent.py", "-q").exit_code == 3


MISUSE = [
    (("gate", "no_such_suite"), 2, "no suite"),
    (("gate", "tiny.toml", "-k", "nothing_like_this"), 5, "none of its"),
    (("gate", "tiny.toml", "--no-timing", "--no-convergence"), 2, "leave nothing to gate"),
    (("gate", "tiny.toml", "--a-python", "python"), 2, "go together"),
    (
        ("gate", "tiny.toml", "--base", "HEAD", "--a-python", "x", "--b-python", "y"),
        2,
        "either two commits or two interpreters",
    ),
    (("gate", "tiny.toml", "--base", "no_such_ref"), 2, "no commit of that name"),
    (
        ("gate", "tiny.toml", "--a-python", "/no/python", "--b-python", "/no/python"),
        3,
        "no such interpreter",
    ),
    (("gate", "tiny.toml", "--threshold", "1.5"), 2, "Invalid value for '--threshold'"),
    (("baseline", "updaet", "tiny.toml"), 2, "did you mean 'update'"),
    (("calibrate", "tiny.toml", "--slowdowns", "5%"), 2, "expected fractions between 0 and 1"),
    (("calibrate", "tiny.toml", "--thresholds", "2"), 2, "expected fractions between 0 and 1"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    MISUSE,
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else None,
)
def test_misuse_gets_one_clear_message(repository, arguments, code, message):
    done = call(*arguments)
    assert done.exit_code == code and message in " ".join(done.output.split()), done.output
    assert "Traceback" not in done.output


TORCH = """
from gradrace import Binding, Optimizer
OPTIMIZER = Optimizer(
    name="mine", title="Mine", paper="none", learning_rate=0.003, hyper={},
    bindings={"torch": Binding("torch.optim.Adam", lambda hyper: {"eps": 1e-8})}, rule=None,
)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_float32_of_a_real_framework(repository):
    """Bit for bit in another process; elsewhere within a band that float64 gave, which a planted
    epsilon leaves.
    """
    write_suite(repository, frameworks=["torch"], dtype="float32", timing=False)
    (repository / "mine.py").write_text(TORCH)
    assert call("baseline", "update", "tiny.toml", "--load", "mine.py", "-q").exit_code == 0
    line = next(line for line in (repository / BASELINE).read_text().splitlines() if "mine" in line)
    assert '"band": [[0, -2' in line and '"final_band": -' in line
    done = gate()
    assert done.exit_code == 0 and "4 bit for bit the same" in done.output, done.output
    (repository / "mine.py").write_text(TORCH.replace("1e-8", "1e-6"))
    edit(
        repository, lambda content: content["frameworks"]["torch"]["versions"].update(torch="2.0.0")
    )
    done = gate("-k", "seed0")
    assert done.exit_code == 4 and "(was 2.0.0): within the rounding band" in done.output
    assert "digits_mlp, sgd" not in done.output and "allowed)" in done.output


@pytest.mark.parametrize("command", ["gate", "baseline", "calibrate"])
def test_commands_explain_themselves(command):
    done = call(command, "--help")
    assert done.exit_code == 0 and len(done.output) > 800


def test_a_suite_times_a_part_of_itself(registry):
    runs = [
        run
        for run in expand(read_suite("gate"), registry)
        if run.measure == "timing" and run.launch == 0
    ]
    assert {(run.task.name, run.optimizer.name) for run in runs} == {
        ("digits_mlp", "sgd"),
        ("digits_mlp", "adam"),
    }
    assert len(runs) == 6 and len(expand(read_suite("gate"), registry)) - 90 == 6 * 3


@pytest.mark.parametrize(
    ("key", "given", "meant"),
    [("tasks", "digits_mpl", "digits_mlp"), ("optimizers", "adma", "adam")],
)
def test_a_part_that_is_not_the_suites_is_refused(registry, key, given, meant):
    content = {**SUITE, "optimizers": ["sgd", "adam"], "timing": {key: [given]}}
    with pytest.raises(
        UserError, match=f"timing.{key}: no .* of this suite '{given}' .did you mean '{meant}'"
    ):
        expand(make_suite("tiny", content), registry)


# -- with a base


@pytest.mark.slow
def test_a_comment_passes_both_parts(repository):
    commit(repository, mine=f"# The same.\n{OPTIMIZER}")
    done = gate(
        "--base",
        "HEAD~1",
        "--threshold",
        "0.9",
        "--launches",
        "3",
        "-k",
        "sgd",
        "--json",
        "out/gate.json",
    )
    assert done.exit_code == 0, done.output
    found = json.loads((repository / "out/gate.json").read_text())
    assert [cell["decision"] for cell in found["timing"]["cells"]] in (
        ["ok"],
        ["inconclusive"],
        ["improvement"],
    )
    assert (
        found["timing"]["cells"][0]["cell"]
        == "digits_mlp/numpy-reference/sgd-canonical/constant-lr0.1"
    )
    assert "not calibrated" in found["calibration"] and found["unmeasured"] == []
    assert not (repository / ".git" / "worktrees").exists() or not list(
        (repository / ".git" / "worktrees").iterdir()
    )


def test_without_a_baseline_the_base_itself_is_the_measure(repository):
    (repository / BASELINE).unlink()
    commit(repository, mine=OPTIMIZER.replace("1e-8", "1e-6"))
    done = gate("--base", "HEAD~1", "--no-timing", "--json", "out/gate.json")
    assert done.exit_code == 4 and "against HEAD~1, computed beside today's" in " ".join(
        done.output.split()
    ), done.output
    checks = json.loads((repository / "out/gate.json").read_text())["convergence"]["checks"]
    assert {check["id"]: check["verdict"] for check in checks if "seed0" in check["id"]} == {
        "convergence/digits_mlp/numpy-reference/sgd-canonical/constant-lr0.1/seed0": "same",
        "convergence/digits_mlp/numpy-reference/mine-canonical/constant-lr0.003/seed0": "differs",
    }


def test_what_is_not_selected_is_not_missed_but_nothing_at_all_is(repository):
    assert gate("--base", "HEAD", "-k", "convergence seed0 sgd").exit_code == 0, (
        "no timing cell has a seed"
    )
    done = gate("-k", "timing")
    assert done.exit_code == 3 and "no convergence run of the suite is selected" in done.output, (
        done.output
    )


def test_a_base_that_cannot_be_imported_is_neither_pass_nor_regression(repository):
    commit(repository, mine="raise ImportError('no such thing')\n")
    commit(repository, mine=OPTIMIZER)
    done = gate("--base", "HEAD~1", "--junit", "out/gate.xml")
    assert done.exit_code == 3 and "no such thing" in done.output, done.output
    assert "4 bit for bit the same" in done.output, "the losses are checked all the same"
    suites = {
        suite.get("name"): suite
        for suite in ET.parse(repository / "out/gate.xml").findall("testsuite")
    }
    assert (
        suites["gradrace.timing"].get("errors") == "1"
        and suites["gradrace.convergence"].get("errors") == "0"
    )


def test_two_interpreters_compare_losses_too(repository):
    """The same one twice: bit for bit, whatever the baseline file says."""
    import sys

    edit(repository, lambda content: content.update(runs=[]))
    done = gate(
        "--a-python", sys.executable, "--b-python", sys.executable, "--no-timing", "-k", "seed0"
    )
    assert done.exit_code == 0 and "2 bit for bit the same" in done.output, done.output


# -- the outcome, from values

JUDGED = [
    # losses, timings, options, exit code
    (["same"], None, {}, 0),
    (["within", "unchecked"], None, {}, 0),
    (["differs", "failed", "changed"], ["failed"], {}, 4),
    (["same"], ["regression", "failed", "inconclusive"], {"strict": True}, 4),
    (["failed", "changed"], None, {}, 1),
    (["same"], ["ok", "failed"], {"strict": True}, 1),
    (["changed", "same"], ["inconclusive"], {"strict": True}, 2),
    (["unchecked"], None, {}, 3),
    (None, None, {}, 3),
    (["same"], None, {"timing": True}, 3),
    (None, None, {"convergence": False}, 3),
    (["same"], ["skipped"], {}, 3),
    (["same"], ["skipped", "ok"], {}, 0),
    (None, ["ok"], {"convergence": False}, 0),
    (["same"], ["inconclusive", "ok"], {"strict": True}, 6),
    (["same"], ["inconclusive", "ok", "improvement"], {}, 0),
]


@pytest.mark.parametrize(("losses", "timings", "options", "code"), JUDGED, ids=str)
def test_exit_codes(losses, timings, options, code):
    asked = Asked(**{"timing": timings is not None, **options})
    found = (
        make_convergence(*losses) if losses else None,
        (make_timing(*timings) if timings else None),
    )
    assert judge(*found, asked)[0] == code


@pytest.mark.parametrize(
    ("label", "losses", "decisions", "code"),
    [
        ("HEAD~1", [], ["failed"], 3),
        ("working tree", [], ["failed"], 1),
        ("HEAD~1", [], ["failed", "ok"], 1),
        ("HEAD~1", ["same"], ["failed"], 3),
    ],
)
def test_a_base_that_fails_alone_measured_nothing(label, losses, decisions, code):
    cells = tuple(
        make_cell(d, reason=f"{label}: it raised") if d == "failed" else make_cell(d)
        for d in decisions
    )
    timing = make_timing().model_copy(update={"cells": cells})
    convergence = make_convergence(*losses) if losses else None
    assert judge(convergence, timing, Asked(SIDES, convergence=bool(losses)))[0] == code


def test_junit_uses_its_elements_rightly():
    timing = make_timing(
        "ok", "regression", "improvement", "inconclusive", "failed", "skipped", reason="as it was"
    )
    result = make_result(
        make_convergence("same", "within", "differs", "changed", "unchecked", "failed"), timing
    )
    root = ET.fromstring(junit(result))
    assert root.tag == "testsuites" and [suite.get("name") for suite in root] == [
        "gradrace.convergence",
        "gradrace.timing",
    ]
    for suite in root:
        counted = {
            kind: len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error", "skipped")
        }
        assert int(suite.get("tests")) == len(suite.findall("testcase")) == 6
        stated = {
            "failure": suite.get("failures"),
            "error": suite.get("errors"),
            "skipped": suite.get("skipped"),
        }
        assert {kind: int(count) for kind, count in stated.items()} == counted
        assert all(case.get("name") and case.get("classname") and len(case) <= 1 for case in suite)
        assert all(
            problem.get("message")
            for problem in suite.findall("testcase/*")
            if problem.tag != "skipped"
        )
    kinds = {case.get("name").split("/")[-1]: [problem.tag for problem in case] for case in root[1]}
    assert kinds == {
        "ok": [],
        "regression": ["failure"],
        "improvement": [],
        "inconclusive": ["skipped"],
        "failed": ["error"],
        "skipped": ["skipped"],
    }
    assert [[problem.tag for problem in case] for case in root[0]] == [
        [],
        [],
        ["failure"],
        ["error"],
        ["skipped"],
        ["error"],
    ]


def test_markdown_says_what_changed_first():
    timing = make_timing("ok", "regression")
    text = markdown(make_result(make_convergence("same", "differs"), timing))
    visible = text.split("<details>")[0]
    assert text.startswith(
        "## gradrace gate gate: regression\n\nregression: digits_mlp/torch-eager/adam-canonical"
        " computes"
    )
    assert "constant-lr0.003/seed1 | losses | differs | 1 | 2.5 | 2.5001 | 4e-05 |" in visible
    assert "1.100 [1.080, 1.120]" in text.split("**Step times**")[1].split("<details>")[0]
    assert (
        "0 false alarms in 40 A/A gates" in text
        and "torch 2.13.0" in text
        and "Test Processor 3000" in text
    )
    assert text.count("<details>") == text.count("</details>") == 4


def test_a_long_table_is_cut_to_what_a_comment_holds():
    checks = tuple(make_check("same", seed) for seed in range(1000))
    found = make_convergence().model_copy(update={"checks": checks})
    text = markdown(make_result(found, None))
    assert len(text) < 65536 and f"{1000 - MOST_ROWS} more are in the JSON file" in text


def test_a_difference_is_explained_in_a_sentence():
    assert (
        explained(make_check("differs"))
        == "torch, digits_mlp, adam-canonical: losses first differ at step 1: 2.5001, was 2.5,"
        " apart by 4e-05 relative"
    )
    lost = make_check(
        "differs",
        what="steps to target",
        step=None,
        before=60,
        after=None,
        relative=None,
        allowed=None,
    )
    assert explained(lost) == "torch, digits_mlp, adam-canonical: steps to target: none, was 60"
    assert (
        explained(make_check("failed", reason="failed: broken")) == "failed: broken"
        and explained(make_check()) == ""
    )


def test_the_schema_in_docs_is_current():
    kept = json.loads((ROOT / "docs" / "gate.schema.json").read_text(encoding="utf-8"))
    assert kept == json_schema(), (
        "write it anew: python -m gradrace.gate.schema > docs/gate.schema.json"
    )
    content = make_result(make_convergence("differs"), make_timing("regression")).to_json()
    jsonschema.validate(content, kept)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | {"exit_code": "4"}, kept)


def test_a_run_finds_its_float64_twin_though_the_suite_names_its_dtype(registry):
    """The other side's twins are of the suite with one dtype, which then has no name."""

    def computed(dtypes):
        one = {"timing": False, "optimizers": ["sgd"], "frameworks": ["jax"], "seeds": 1}
        runs = expand(make_suite("s", {**SUITE, **one, "dtype": dtypes}), registry)
        made = {
            run.id: recorded(run, f"{i:024x}", "ok", "", make_curve(run))
            for i, run in enumerate(runs)
        }
        losses = {
            name: result.curve.train_losses * (1 + 1e-9 * i)
            for i, (name, result) in enumerate(made.items())
        }
        return Computed({name: result.record for name, result in made.items()}, losses)

    baseline = make_baseline("s", computed(["float32", "bfloat16"]), computed("float64"))
    assert len(baseline.runs) == 2 and all(trace.band for trace in baseline.runs)


def test_the_gate_times_the_rule_that_the_timing_part_names(tmp_path, monkeypatch):
    """Not what is trained as well: each cell costs a pair of processes a launch."""
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, timing={"rule": "native", "launches": 2})
    timed = [
        run.spec
        for run in select("tiny.toml", [], Options(tmp_path)).selected
        if run.spec.measure == "timing"
    ]
    assert timed and {(spec.optimizer.rule, spec.launch) for spec in timed} == {("native", 0)}
