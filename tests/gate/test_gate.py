"""The gate as CI meets it: exit codes and files, with the NumPy reference; verdicts from values."""

from __future__ import annotations

import json
import re
import shutil
import sys
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
from gradrace.gate.judge import GateRequest, judge
from gradrace.gate.text import MOST_ROWS, explained, junit, markdown
from gradrace.gate.traces import Computed, make_baseline, select
from gradrace.report.documents.gate import document
from gradrace.report.documents.pages import html
from gradrace.suite import expand, make_suite, read_suite
from gradrace.sweep import Options
from paths import ROOT
from records import make_curve
from records import make_result as recorded
from typer.testing import CliRunner

BASELINE = "results/baselines/tiny.json"
UPDATE = ("baseline", "update", "tiny.toml", "--load", "mine.py", "-q")
PLANTED = OPTIMIZER.replace("1e-8", "1e-6")


def call(*arguments, **env):
    """The command line in this process; its output with standard error in it."""
    return CliRunner().invoke(app, list(arguments), env=env)


def said(done):
    """The output on one line."""
    return " ".join(done.output.split())


def checks_of(file):
    return json.loads(file.read_text())["convergence"]["checks"]


def junit_of(file, path):
    return ET.parse(file).findall(path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A repository with a committed baseline."""
    folder = make_repository(tmp_path_factory.mktemp("user") / "repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = call(*UPDATE)
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
    asked = [part for kind, file in files.items() for part in (f"--{kind}", file)]
    done = gate(*asked, GITHUB_STEP_SUMMARY=str(summary))
    assert done.exit_code == 0, done.output
    assert "4 bit for bit the same" in done.output
    assert "not gated: no base to time against (--base)" in done.output
    content = json.loads((repository / files["json"]).read_text())
    jsonschema.validate(content, json_schema())
    assert content["exit_code"] == 0
    assert {check["verdict"] for check in content["convergence"]["checks"]} == {"same"}
    cases = junit_of(repository / files["junit"], "*[@name='gradrace.convergence']/testcase")
    assert len(cases) == 4
    text = (repository / files["markdown"]).read_text()
    assert summary.read_text() == f"before\n{text}"
    assert text.startswith("## gradrace gate tiny: ok\n")


def test_a_planted_epsilon_is_found_at_its_first_step(repository):
    (repository / "mine.py").write_text(PLANTED)
    done = gate("--json", "gate.json")
    assert done.exit_code == 4, done.output
    assert "numpy, digits_mlp, mine-canonical: losses first differ at step 1: 2.91" in done.output
    cell = "digits_mlp/numpy-reference/mine-canonical"
    assert f"regression: {cell} computes something else" in done.output
    for check in checks_of(repository / "gate.json"):
        planted = "mine" in check["id"]
        assert check["verdict"] == ("differs" if planted else "same")
        if planted:
            assert check["step"] == 1
            relative = abs(check["after"] / check["before"] - 1)
            assert check["relative"] == pytest.approx(relative, rel=1e-6)


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
    assert done.exit_code == 0
    assert words in done.output
    assert "within the rounding band" in done.output, done.output


def test_elsewhere_a_changed_rule_is_larger_than_the_band(repository):
    edit(repository, other_version)
    (repository / "mine.py").write_text(PLANTED)
    done = gate("-k", "mine")
    assert done.exit_code == 4 and "(9.3e-10 allowed)" in done.output, done.output


def test_another_suite_is_not_a_regression(repository):
    write_suite(repository, batch_sizes=[16])
    done = gate()
    assert done.exit_code == 2
    assert "on purpose? `gradrace baseline update`" in said(done), done.output


def test_runs_that_left_the_suite_and_new_ones(repository):
    write_suite(repository, optimizers=["momentum"], timing=False)
    done = gate()
    assert done.exit_code == 2
    assert "no longer in the suite" in done.output
    assert "not in the baseline yet" in done.output
    updated = call(*UPDATE, "-k", "momentum")
    assert updated.exit_code == 0 and "4 runs, 2 of them computed now" in updated.output
    assert "sgd" not in (repository / BASELINE).read_text()
    assert "mine" in (repository / BASELINE).read_text()
    assert gate("-k", "momentum seed0").exit_code == 0


BAD = [
    (lambda content: content.update(schema=2), "schema 2 is newer than this gradrace reads"),
    (lambda content: content.pop("runs"), "not a baseline (runs"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_baseline_that_cannot_be_read_is_named(repository, change, message):
    edit(repository, change)
    done = gate()
    assert done.exit_code == 2
    assert message in done.output
    assert "tiny.json" in done.output
    assert "Traceback" not in done.output


def test_a_failing_run_is_a_failure(repository):
    broken = OPTIMIZER.replace("m, v = ", "raise ArithmeticError('broken')\n    m, v = ")
    (repository / "mine.py").write_text(broken)
    done = gate("--junit", "gate.xml")
    assert done.exit_code == 1
    assert "ArithmeticError: broken" in said(done), done.output
    suite = ET.parse(repository / "gate.xml").find("testsuite")
    assert suite.attrib | {"tests": "4", "errors": "2", "failures": "0"} == suite.attrib
    assert call(*UPDATE).exit_code == 1


def test_nothing_to_compare_with_is_not_a_pass(repository):
    (repository / BASELINE).unlink()
    done = gate("--junit", "gate.xml", "--markdown", "gate.md")
    assert done.exit_code == 3
    assert "make one with `gradrace baseline update tiny`" in said(done)
    case = junit_of(repository / "gate.xml", "*[@name='gradrace.convergence']/testcase")[0]
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
    assert done.exit_code == 3
    assert "not installed: gradrace-absent" in said(done), done.output
    assert call("baseline", "update", "tiny.toml", "--load", "absent.py", "-q").exit_code == 3


MISUSE = [
    ("gate no_such_suite", 2, "no suite"),
    ("gate tiny.toml -k nothing_like_this", 5, "none of its"),
    ("gate tiny.toml --no-timing --no-convergence", 2, "leave nothing to gate"),
    ("gate tiny.toml --a-python python", 2, "go together"),
    ("gate tiny.toml --base HEAD --a-python x --b-python y", 2, "either two commits or two inter"),
    ("gate tiny.toml --base no_such_ref", 2, "no commit of that name"),
    ("gate tiny.toml --a-python /no/python --b-python /no/python", 3, "no such interpreter"),
    ("gate tiny.toml --threshold 1.5", 2, "Invalid value for '--threshold'"),
    ("baseline updaet tiny.toml", 2, "did you mean 'update'"),
    ("calibrate tiny.toml --slowdowns 5%", 2, "expected fractions between 0 and 1"),
    ("calibrate tiny.toml --thresholds 2", 2, "expected fractions between 0 and 1"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISUSE, ids=[row[0] for row in MISUSE])
def test_misuse_gets_one_clear_message(repository, arguments, code, message):
    done = call(*arguments.split())
    assert done.exit_code == code and message in said(done), done.output
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
    """Bit for bit in another process; elsewhere within a band that float64 gave, unless planted."""
    write_suite(repository, frameworks=["torch"], dtype="float32", timing=False)
    (repository / "mine.py").write_text(TORCH)
    assert call(*UPDATE).exit_code == 0
    line = next(line for line in (repository / BASELINE).read_text().splitlines() if "mine" in line)
    assert '"band": [[0, -2' in line and '"final_band": -' in line
    done = gate()
    assert done.exit_code == 0 and "4 bit for bit the same" in done.output, done.output
    (repository / "mine.py").write_text(TORCH.replace("1e-8", "1e-6"))
    edit(repository, lambda kept: kept["frameworks"]["torch"]["versions"].update(torch="2.0.0"))
    done = gate("-k", "seed0")
    assert done.exit_code == 4 and "(was 2.0.0): within the rounding band" in done.output
    assert "digits_mlp, sgd" not in done.output and "allowed)" in done.output


@pytest.mark.parametrize("command", ["gate", "baseline", "calibrate"])
def test_commands_explain_themselves(command):
    done = call(command, "--help")
    assert done.exit_code == 0 and len(done.output) > 800


def test_a_suite_times_a_part_of_itself(registry):
    every = expand(read_suite("gate"), registry)
    runs = [run for run in every if run.measure == "timing" and run.launch == 0]
    cells = {(run.task.name, run.optimizer.name) for run in runs}
    assert cells == {("digits_mlp", "sgd"), ("digits_mlp", "adam")}
    assert len(runs) == 6 and len(every) - 90 == 6 * 3


@pytest.mark.parametrize(
    ("key", "given", "meant"),
    [("tasks", "digits_mpl", "digits_mlp"), ("optimizers", "adma", "adam")],
)
def test_a_part_that_is_not_the_suites_is_refused(registry, key, given, meant):
    content = {**SUITE, "optimizers": ["sgd", "adam"], "timing": {key: [given]}}
    message = f"timing.{key}: no .* of this suite '{given}' .did you mean '{meant}'"
    with pytest.raises(UserError, match=message):
        expand(make_suite("tiny", content), registry)


# -- with a base


@pytest.mark.slow
def test_a_comment_passes_both_parts(repository):
    commit(repository, mine=f"# The same.\n{OPTIMIZER}")
    options = "--base HEAD~1 --threshold 0.9 --launches 3 -k sgd --json out/gate.json"
    done = gate(*options.split())
    assert done.exit_code == 0, done.output
    found = json.loads((repository / "out/gate.json").read_text())
    (cell,) = found["timing"]["cells"]
    assert cell["decision"] in ("ok", "inconclusive", "improvement")
    assert cell["cell"] == "digits_mlp/numpy-reference/sgd-canonical/constant-lr0.1"
    assert "not calibrated" in found["calibration"] and found["unmeasured"] == []
    worktrees = repository / ".git" / "worktrees"
    assert not worktrees.exists() or not list(worktrees.iterdir())


def test_without_a_baseline_the_base_itself_is_the_measure(repository):
    (repository / BASELINE).unlink()
    commit(repository, mine=PLANTED)
    done = gate("--base", "HEAD~1", "--no-timing", "--json", "out/gate.json")
    assert done.exit_code == 4
    assert "against HEAD~1, computed beside today's" in said(done), done.output
    run = "convergence/digits_mlp/numpy-reference/{}-canonical/constant-lr{}/seed0"
    checks = {c["id"]: c["verdict"] for c in checks_of(repository / "out/gate.json")}
    assert {name: verdict for name, verdict in checks.items() if "seed0" in name} == {
        run.format("sgd", 0.1): "same",
        run.format("mine", 0.003): "differs",
    }


def test_a_selection_misses_no_other_run_but_must_not_be_empty(repository):
    of_a_seed = gate("--base", "HEAD", "-k", "convergence seed0 sgd")
    assert of_a_seed.exit_code == 0, "no timing cell has a seed"
    done = gate("-k", "timing")
    assert done.exit_code == 3
    assert "no convergence run of the suite is selected" in done.output, done.output


def test_a_base_that_cannot_be_imported_is_neither_pass_nor_regression(repository):
    commit(repository, mine="raise ImportError('no such thing')\n")
    commit(repository, mine=OPTIMIZER)
    done = gate("--base", "HEAD~1", "--junit", "out/gate.xml")
    assert done.exit_code == 3 and "no such thing" in done.output, done.output
    assert "4 bit for bit the same" in done.output, "the losses are checked all the same"
    errors = {
        suite.get("name"): suite.get("errors")
        for suite in junit_of(repository / "out/gate.xml", "testsuite")
    }
    assert errors == {"gradrace.timing": "1", "gradrace.convergence": "0"}


def test_two_interpreters_compare_losses_too(repository):
    """The same one twice: bit for bit, whatever the baseline file says."""
    edit(repository, lambda content: content.update(runs=[]))
    same = ("--a-python", sys.executable, "--b-python", sys.executable)
    done = gate(*same, "--no-timing", "-k", "seed0")
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
    (["same"], ["suspected", "ok"], {}, 0),
    (["same"], ["suspected", "ok"], {"strict": True}, 6),
    (["differs"], ["suspected"], {"strict": True}, 4),
]


@pytest.mark.parametrize(("losses", "timings", "options", "code"), JUDGED, ids=str)
def test_exit_codes(losses, timings, options, code):
    convergence = make_convergence(*losses) if losses else None
    timing = make_timing(*timings) if timings else None
    asked = GateRequest(**{"timing": timings is not None, **options})
    assert judge(convergence, timing, asked)[0] == code


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
    reason = {"failed": {"reason": f"{label}: it raised"}}
    cells = tuple(make_cell(decision, **reason.get(decision, {})) for decision in decisions)
    timing = make_timing().model_copy(update={"cells": cells})
    convergence = make_convergence(*losses) if losses else None
    assert judge(convergence, timing, GateRequest(SIDES, convergence=bool(losses)))[0] == code


# Verdicts of losses and decisions on step times -> the element of JUnit for each.
OF_LOSSES = {"same": None, "within": None, "differs": "failure", "changed": "error"}
OF_LOSSES |= {"unchecked": "skipped", "failed": "error"}
OF_TIMES = {"ok": None, "regression": "failure", "improvement": None, "inconclusive": "skipped"}
OF_TIMES |= {"failed": "error", "skipped": "skipped", "suspected": "skipped"}


def test_junit_uses_its_elements_rightly():
    timing = make_timing(*OF_TIMES, reason="as it was")
    root = ET.fromstring(junit(make_result(make_convergence(*OF_LOSSES), timing)))
    assert root.tag == "testsuites"
    assert [suite.get("name") for suite in root] == ["gradrace.convergence", "gradrace.timing"]
    for suite, elements in zip(root, (OF_LOSSES, OF_TIMES), strict=True):
        assert int(suite.get("tests")) == len(suite.findall("testcase")) == len(elements)
        for kind, stated in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.get(stated)) == len(suite.findall(f"testcase/{kind}"))
        assert all(case.get("name") and case.get("classname") for case in suite)
        problems = suite.findall("testcase/*")
        assert all(problem.get("message") for problem in problems if problem.tag != "skipped")
        found = [[problem.tag for problem in case] for case in suite]
        assert found == [[element] if element else [] for element in elements.values()]
    assert [case.get("name").split("/")[-1] for case in root[1]] == list(OF_TIMES)


def test_markdown_begins_with_the_changes():
    timing = make_timing("ok", "regression")
    text = markdown(make_result(make_convergence("same", "differs"), timing))
    visible = text.split("<details>")[0]
    head = "digits_mlp/torch-eager/adam-canonical computes"
    assert text.startswith(f"## gradrace gate gate: regression\n\n{head}")
    assert "constant-lr0.003/seed1 | losses | differs | 1 | 2.5 | 2.5001 | 4e-05 |" in visible
    assert "1.100 [1.080, 1.120]" in text.split("**Step times**")[1].split("<details>")[0]
    assert "0 false alarms in 40 A/A gates" in text
    assert "torch 2.13.0" in text
    assert "Test Processor 3000" in text
    assert text.count("<details>") == text.count("</details>") == 4


def test_a_suspicion_is_never_titled_ok():
    result = make_result(make_convergence("same"), make_timing("ok", "suspected"))
    assert result.exit_code == 0
    assert result.outcome == (
        "suspected: digits_mlp/torch-eager/suspected may be slower (+0.4%, not confirmed)"
    )
    text = markdown(result)
    assert text.startswith("## gradrace gate gate: suspected, not confirmed\n\nsuspected: ")
    assert "/suspected | suspected | 1.004" in text.split("**Step times**")[1].split("<details>")[0]
    assert document(result).title == "suspected, not confirmed"


def test_what_did_not_change_is_folded_and_what_was_skipped_is_a_line():
    checks = ["same", *["unchecked"] * 3]
    absent = {"reason": "not installed: tensorflow"}
    timing = make_timing("ok", "inconclusive")
    gone = tuple(make_cell("skipped", cell=f"tf{n}", **absent) for n in range(4))
    timing = timing.model_copy(update={"cells": (*timing.cells, *gone)})
    result = make_result(make_convergence(*checks), timing)
    text = markdown(result)
    open_ = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert "Skipped: 4 cells: not installed: tensorflow" in open_
    assert "Not checked: 3 runs: unchecked for a reason" in open_
    assert "|" not in open_, "no table stands open"
    assert "tf1" not in text
    assert "Cells without a finding (2)" in text and "Runs without a finding (1)" in text
    page = html(document(result))
    assert "Skipped: 4 cells: not installed: tensorflow." in page and "tf1" not in page


def test_a_long_table_is_cut_to_fit_a_comment():
    checks = tuple(make_check("same", seed) for seed in range(1000))
    found = make_convergence().model_copy(update={"checks": checks})
    text = markdown(make_result(found, None))
    assert len(text) < 65536 and f"{1000 - MOST_ROWS} more are in the JSON file" in text


def test_a_difference_is_explained_in_a_sentence():
    run = "torch, digits_mlp, adam-canonical"
    apart = "losses first differ at step 1: 2.5001, was 2.5, apart by 4e-05 relative"
    assert explained(make_check("differs")) == f"{run}: {apart}"
    unsaid = dict.fromkeys(("step", "after", "relative", "allowed"))
    lost = make_check("differs", what="steps to target", before=60, **unsaid)
    assert explained(lost) == f"{run}: steps to target: none, was 60"
    assert explained(make_check("failed", reason="failed: broken")) == "failed: broken"
    assert explained(make_check()) == ""


def test_the_schema_in_docs_is_current():
    kept = json.loads((ROOT / "docs" / "gate.schema.json").read_text(encoding="utf-8"))
    assert kept == json_schema(), "write it: python -m gradrace.gate.schema > docs/gate.schema.json"
    content = make_result(make_convergence("differs"), make_timing("regression")).to_json()
    jsonschema.validate(content, kept)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | {"exit_code": "4"}, kept)


def test_a_run_finds_its_float64_twin_though_the_suite_names_its_dtype(registry):
    """The other side's twins are of the suite with one dtype, which then has no name."""

    def computed(dtypes):
        one = {"timing": False, "optimizers": ["sgd"], "frameworks": ["jax"], "seeds": 1}
        runs = expand(make_suite("s", {**SUITE, **one, "dtype": dtypes}), registry)
        made = [recorded(run, f"{i:024x}", "ok", "", make_curve(run)) for i, run in enumerate(runs)]
        names = [run.id for run in runs]
        losses = [result.curve.train_losses * (1 + 1e-9 * i) for i, result in enumerate(made)]
        records = [result.record for result in made]
        return Computed(
            dict(zip(names, records, strict=True)), dict(zip(names, losses, strict=True))
        )

    baseline = make_baseline("s", computed(["float32", "bfloat16"]), computed("float64"))
    assert len(baseline.runs) == 2 and all(trace.band for trace in baseline.runs)


def test_the_gate_times_the_rule_that_the_timing_part_names(tmp_path, monkeypatch):
    """Not what is trained as well: each cell costs a pair of processes a launch."""
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, timing={"rule": "native", "launches": 2})
    selected = [run.spec for run in select("tiny.toml", [], Options(tmp_path)).selected]
    timed = [spec for spec in selected if spec.measure == "timing"]
    assert timed and {(spec.optimizer.rule, spec.launch) for spec in timed} == {("native", 0)}
