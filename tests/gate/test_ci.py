"""Workflows, and pages that show some: valid YAML; command lines with real options."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from gradrace.cli import app
from paths import ROOT

yaml = pytest.importorskip("yaml")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGES = ("ci", "exporting", "publishing")


def fenced(language: str) -> dict[str, str]:
    """Place -> text, of the blocks of the pages."""
    found = {}
    for page in PAGES:
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
        found |= {f"docs/{page}.md {language} {n}": block for n, block in enumerate(blocks)}
    return found


def workflows() -> dict[str, dict]:
    texts = {file.name: file.read_text(encoding="utf-8") for file in WORKFLOWS}
    texts |= fenced("yaml")
    return {name: yaml.safe_load(text) for name, text in texts.items()}


def scripts() -> dict[str, str]:
    """place -> script, of every script that is run."""
    found = fenced("") | fenced("sh")
    for name, workflow in workflows().items():
        for job, content in workflow["jobs"].items():
            for number, step in enumerate(content["steps"]):
                if "run" in step:
                    found[f"{name} {job} {number}"] = step["run"]
    return found


def command_lines() -> list[tuple[str, str]]:
    """(where, arguments) of every call of gradrace."""
    found = []
    for where, script in scripts().items():
        for line in script.replace("\\\n", " ").splitlines():
            called = re.match(r"\s*(?:\S*/)?gradrace\s+(.*)", line)
            if called:
                found.append((where, called.group(1)))
    return found


COMMANDS = typer.main.get_command(app).commands


@pytest.mark.parametrize(("where", "arguments"), command_lines())
def test_command_lines_have_real_options(where, arguments):
    words = shlex.split(arguments, comments=True)
    command = COMMANDS[words.pop(0)]
    if isinstance(command, typer.core.TyperGroup):
        command = command.commands[words.pop(0)]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known, where
    # Values and arguments are checked as well; nothing is run.
    command.make_context("gradrace", words)


def test_the_commands_are_found():
    found = [arguments.split()[0] for _, arguments in command_lines()]
    assert found.count("gate") >= 5 and {"baseline", "calibrate", "export", "publish"} <= set(found)
    assert sum("--base" in arguments for _, arguments in command_lines()) >= 3


@pytest.mark.parametrize(
    "name", [name for name in workflows() if name.startswith(("regression", "docs"))]
)
def test_a_gate_of_commits_has_the_history_and_tells_its_codes_apart(name):
    for job in workflows()[name]["jobs"].values():
        script = "\n".join(step.get("run", "") for step in job["steps"])
        if "--base" not in script:
            continue
        checkout = next(step for step in job["steps"] if "checkout" in step.get("uses", ""))
        assert checkout["with"]["fetch-depth"] == 0
        assert "could not measure" in script and "Regression" in script and "exit $code" in script
        kept = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
        assert any(step["if"] == "always()" for step in kept)
        # A branch's name goes through the environment, where it is no code.
        assert "${{" not in script


def test_comments_need_rights_and_forks_have_none():
    workflow = workflows()["regression.yml"]
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}
    steps = workflow["jobs"]["gate"]["steps"]
    comment = next(step for step in steps if step.get("name") == "comment")
    assert "head.repo.full_name == github.repository" in comment["if"]
    assert "always()" in comment["if"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_have_the_keys_that_actions_needs(file):
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    # YAML 1.1 reads the key `on` as true.
    assert {"name", "jobs"} <= content.keys() and content[True]
    for job in content["jobs"].values():
        assert job["runs-on"]
        assert job["timeout-minutes"]
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])
