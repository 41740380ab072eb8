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
PAGES = ("action", "ci", "exporting", "publishing")


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
    assert found.count("gate") >= 3 and {"baseline", "calibrate", "export", "publish"} <= set(found)
    assert any("--base" in arguments for _, arguments in command_lines())


def uses_of_the_action() -> list[tuple[str, dict, dict]]:
    """(where, job, step) of every use of this repository's action."""
    return [
        (name, job, step)
        for name, workflow in workflows().items()
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if step.get("uses") == "./" or "/gradrace@" in step.get("uses", "")
    ]


@pytest.mark.parametrize(("where", "job", "step"), uses_of_the_action())
def test_a_use_of_the_action_has_its_inputs_and_rights(where, job, step):
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert step.get("with", {}).keys() <= action["inputs"].keys(), where
    rights = job.get("permissions") or workflows()[where]["permissions"]
    branch = step.get("with", {}).get("history-branch")
    # A comment needs one right, the branch of the history the other; neither has both.
    assert rights == ({"contents": "write"} if branch else COMMENTING), where


COMMENTING = {"contents": "read", "pull-requests": "write"}


def test_the_action_is_used():
    assert {"regression.yml", "history.yml", "docs/action.md yaml 0"} <= {
        where for where, *_ in uses_of_the_action()
    }


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_have_the_keys_that_actions_needs(file):
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    # YAML 1.1 reads the key `on` as true.
    assert {"name", "jobs"} <= content.keys() and content[True]
    for job in content["jobs"].values():
        assert job["runs-on"]
        assert job["timeout-minutes"]
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])


def test_the_table_of_inputs_is_the_action_s():
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "action.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| (.*) \|$", text, re.M)
    assert [name for name, _ in rows] == list(action["inputs"])
    for name, default in rows:
        given = action["inputs"][name]["default"]
        # A default in signs is one in words in the table, if it is empty or an address.
        assert default == f"`{given}`" or not given or given.startswith("https"), name
    assert all(f"`{name}`" in text for name in action["outputs"])
