"""`gradrace init`: its files work, and files that exist stay."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from gradrace.cli import app
from gradrace.starting.files import CHECKOUT, FRAMEWORKS, Beginning, contents
from paths import ROOT
from typer.testing import CliRunner

yaml = pytest.importorskip("yaml")


def called(*arguments: str):
    return CliRunner().invoke(app, ["init", *arguments])


def written(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_text() for file in files}


def test_it_writes_three_files_that_work(tmp_path, monkeypatch) -> None:
    done = called(str(tmp_path), "--framework", "numpy", "--optimizer", "fast")
    assert done.exit_code == 0, done.output
    assert {".github/workflows/gradrace.yml", "gradrace.toml", "fast.py"} == set(written(tmp_path))
    assert "gradrace run gradrace.toml --load fast.py" in done.output and "OWNER" in done.output
    monkeypatch.chdir(tmp_path)
    run = ["run", "gradrace.toml", "--load", "fast.py", "-k", "fast digits_mlp seed0", "-q"]
    ran = CliRunner().invoke(app, [*run, "--no-verify", "--no-report"])
    assert ran.exit_code == 0, ran.output
    assert list((tmp_path / "results" / "runs" / "gradrace").glob("*/run.json"))


@pytest.mark.parametrize("there", ["fast.py", "gradrace.toml", ".github/workflows/gradrace.yml"])
def test_nothing_is_replaced(tmp_path, there) -> None:
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).write_text("mine")
    done = called(str(tmp_path), "--framework", "torch", "--optimizer", "fast")
    assert done.exit_code == 2 and f"{there} is there already" in done.output.replace("\n", " ")
    assert written(tmp_path) == {there: "mine"}


def test_a_dry_run_prints_the_files(tmp_path) -> None:
    done = called(str(tmp_path), "--framework", "jax", "--dry-run", "--nightly")
    assert done.exit_code == 0 and written(tmp_path) == {}
    assert "def for_optax" in done.output and "history-branch" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere-at-all",), "no such folder"),
        ((".", "--framework", "torhc"), "did you mean 'torch'?"),
        ((".", "--optimizer", "My-Optimizer"), "lower-case letters"),
        ((".", "--optimizer", "../x"), "lower-case letters"),
        ((".", "--action", "gradrace"), "OWNER/REPOSITORY@REF"),
        ((".", "--action", "a/b@v1\n      - run: x"), "OWNER/REPOSITORY@REF"),
        ((".", "--source", "gradrace; rm"), "in one word"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(tmp_path, monkeypatch, arguments, words) -> None:
    monkeypatch.chdir(tmp_path)
    done = called(*arguments)
    assert done.exit_code == 2 and words in " ".join(done.output.split()), done.output
    assert written(tmp_path) == {}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("nightly", [False, True])
def test_the_workflow_fits_the_action(framework, nightly) -> None:
    source = "git+https://example.org/gradrace@v1"
    asked = Beginning(framework, "fast", "me/gradrace@v1", source, nightly)
    texts = {str(path): text for path, text in contents(asked).items()}
    workflow = yaml.safe_load(texts[".github/workflows/gradrace.yml"])
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert list(workflow["jobs"]) == ["gate", "history"][: 1 + nightly]
    for job in workflow["jobs"].values():
        checkout, gate = job["steps"]
        assert checkout["uses"] == CHECKOUT.partition(" ")[0] and gate["uses"] == asked.action
        assert gate["with"].keys() <= action["inputs"].keys()
        assert gate["with"]["gradrace"] == source and gate["with"]["load"] == "fast.py"
    assert tomllib.loads(texts["gradrace.toml"])["frameworks"] == [framework]
    compile(texts["fast.py"], "fast.py", "exec")
    left = [word for word in ("NAME", "FRAMEWORK", "BINDING", "WITH") if word in str(texts)]
    assert not left


def test_the_checkout_is_the_one_that_our_own_workflows_use() -> None:
    assert CHECKOUT in (ROOT / ".github" / "workflows" / "regression.yml").read_text()
