"""The commands as functions of Python: what they return, and what they refuse."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import gradrace
import pytest
from gradrace.commands import compare, run, time, tune, verify
from gradrace.results import frame
from records import make_results, make_specs

# Arguments of a command that a function has no use for: what is printed, planned or written.
_SHOWN = {"quiet", "as_json", "report", "dry_run", "python", "data_dir", "strict", "show_all"}
_ELSEWHERE = {
    # `document` and its `file` write the repository's page.
    "verify": {"document", "file"},
    "run": {"shard", "dtype"},
    # Traces are files for a viewer.
    "time": {"profile"},
    "tune": set(),
    # Where its page goes.
    "compare": {"output"},
}
COMMANDS = {"run": run, "time": time, "tune": tune, "verify": verify, "compare": compare}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_function_takes_what_its_command_takes(name):
    function = inspect.signature(getattr(gradrace, name)).parameters
    command = {field.name for field in fields(COMMANDS[name].Arguments)}
    assert command - function.keys() == (command & _SHOWN) | _ELSEWHERE[name]
    assert function.keys() - command <= {"name"}
    assert all(
        each.kind == each.KEYWORD_ONLY
        or each.name in ("suite", "task", "optimizer", "keyword")
        or name == "compare"
        for each in function.values()
    )


def test_stored_results_compared_are_a_row_a_figure(tmp_path):
    for side in ("a", "b"):
        make_results(tmp_path / side, specs=make_specs(["mlp"], ["jax"], ["sgd"], range(2)))
    found = gradrace.compare(tmp_path / "a", frame.load(tmp_path / "b"))
    assert list(found.columns[:2]) == ["cell", "figure"] and set(found["verdict"]) == {"same"}
    with pytest.raises(gradrace.UserError, match="belong together"):
        gradrace.compare(tmp_path / "a")


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: gradrace.compare(), "nothing to compare"),
        (lambda: gradrace.compare(a={"framwork": "torch"}, b={}), "framwork"),
        (lambda: gradrace.verify(dtype="float16"), "nothing can be verified in it"),
        (lambda: gradrace.verify(load=["torch:schedulefree.AdamWScheduleFree"]), "import path"),
        (lambda: gradrace.verify("nothing-like-this"), "nothing to verify is called"),
        (lambda: gradrace.tune("digits_mlpp", "sgd"), "no task 'digits_mlpp' (did you mean"),
        (lambda: gradrace.tune("digits_mlp", ["sgd"], sampler="tpee"), "tpee"),
        (lambda: gradrace.time("quik"), "quik"),
        (lambda: gradrace.run("quik"), "quik"),
    ],
)
def test_a_mistake_is_the_user_s(call, said):
    with pytest.raises(gradrace.UserError, match=re.escape(said)):
        call()


def test_a_study_and_a_verification_of_one_framework(tmp_path):
    made = gradrace.tune(
        "digits_mlp",
        "sgd",
        framework="numpy",
        budget=2,
        steps=4,
        fresh_seeds=1,
        dtype="float64",
        output=tmp_path,
        workers=1,
    )
    assert list(made.studies) == ["tune-digits_mlp-random"] and len(made.runs) == 4
    assert gradrace.plot.tuning(made).title.endswith("expected best after k trials")
    found = gradrace.verify("rates !torch", frameworks=["numpy"], output=tmp_path)
    assert set(found["verdict"]) <= {"equal", "unavailable"} and (tmp_path / "verify.json").exists()


def test_a_run_verifies_and_says_what_failed(tmp_path, monkeypatch):
    from gradrace.verify import suite
    from gradrace.verify.suite import Verified

    asked = []
    said = Verified(failures=("updates sgd: torch against jax",))
    monkeypatch.setattr(suite, "verify_suite", lambda sweep: asked.append(sweep) or said)
    content = {"title": "One", "tasks": ["quadratic"], "frameworks": ["numpy"], "steps": 4}
    content |= {"optimizers": ["sgd"], "seeds": 1, "dtype": "float64"}
    with pytest.warns(UserWarning, match="1 verdicts FAILED.* torch against jax"):
        gradrace.run(content, output=tmp_path)
    gradrace.run(content, output=tmp_path, verify=False)
    assert len(asked) == 1
