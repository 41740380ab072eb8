"""Runs the steps of action.yml as GitHub would, as far as this action needs: strict and small.

An expression, a context or a key that is not known here is an error, so that a typing error in the
action is one as well. Steps that use another action are noted and not run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from paths import ROOT

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEP_KEYS = {"name", "id", "if", "uses", "with", "run", "shell", "env"}
# A stand-in for GitHub's command line: writes down each call, answers with the ids that it knows.
GH = """#!/usr/bin/env bash
set -euo pipefail
echo "$*" >> "$GH_STATE/calls"
[ ! -e "$GH_STATE/refused" ] || { echo "HTTP 403" >&2; exit 1; }
for word in "$@"; do
  case $word in body=@*) cp "${word#body=@}" "$GH_STATE/body.md" ;; esac
done
case " $* " in
  *" POST "*) echo 77 > "$GH_STATE/id" ;;
  *" PATCH "*) ;;
  *) cat "$GH_STATE/id" 2> /dev/null || true ;;
esac
"""


@dataclass
class Job:
    """A job on a runner: environment, contexts, and what its steps left.

    bin: the folder that is first on PATH. github: that context, `event.name` with its dot."""

    bin: Path
    workspace: Path
    temp: Path
    action_path: Path
    github: Mapping[str, str]
    event: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.temp.mkdir(parents=True, exist_ok=True)
        gh = self.temp / "gh-bin" / "gh"
        gh.parent.mkdir(exist_ok=True)
        gh.write_text(GH)
        gh.chmod(0o755)

    def run(self, only: tuple[str, ...] = (), **inputs: str) -> int:
        """The exit code of the first step that fails, 0 if none does. only: names of steps."""
        unknown = inputs.keys() - {name.replace("-", "_") for name in ACTION["inputs"]}
        assert not unknown, unknown
        given = {
            name: inputs.get(name.replace("-", "_"), about["default"])
            for name, about in ACTION["inputs"].items()
        }
        for step in ACTION["runs"]["steps"]:
            assert not step.keys() - STEP_KEYS, step
            name = step.get("name", step.get("uses", "").partition("@")[0])
            if "uses" in step or (only and name not in only) or not self._wanted(step, given):
                continue
            self.ran.append(name)
            if code := self._step(step, given):
                return code
        return 0

    def outputs(self, inputs: Mapping[str, str] | None = None) -> dict[str, str]:
        """The action's own."""
        named = ACTION["outputs"].items()
        return {name: self.text(about["value"], inputs or {}) for name, about in named}

    def _step(self, step: dict[str, Any], inputs: Mapping[str, str]) -> int:
        assert step["shell"] == "bash"
        files = {
            name: self.temp / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
        }
        files["GITHUB_OUTPUT"].write_text("")
        values = {name: self.text(text, inputs) for name, text in step.get("env", {}).items()}
        assert "${{" not in step["run"], "a value in a script would be code"
        script = self.temp / "script.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            # As GitHub calls it.
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace,
            env=self._environment() | {k: str(v) for k, v in files.items()} | values,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log += done.stdout
        lines = files["GITHUB_OUTPUT"].read_text().splitlines()
        self.steps[step.get("id", "")] = dict(line.split("=", 1) for line in lines)
        return done.returncode

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        path = f"{self.bin}:{self.temp / 'gh-bin'}:/usr/local/bin:/usr/bin:/bin"
        offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
        told = {f"GITHUB_{name.upper()}": value for name, value in self.github.items()}
        return {**kept, **offline, **told, "PATH": path, "GH_STATE": str(self.temp), "LANG": "C"}

    def _wanted(self, step: dict[str, Any], inputs: Mapping[str, str]) -> bool:
        parts = step.get("if", "always()").split(" && ")
        return all(self._true(part.strip(), inputs) for part in parts)

    def _true(self, text: str, inputs: Mapping[str, str]) -> bool:
        if text == "always()":
            return True
        compared = re.fullmatch(r"(\S+) (==|!=) '([^']*)'", text)
        assert compared, f"not understood: {text}"
        name, sign, wanted = compared.groups()
        return (self.value(name, inputs) == wanted) == (sign == "==")

    def text(self, text: str, inputs: Mapping[str, str]) -> str:
        """With all expressions replaced."""
        replaced = re.sub(
            r"\$\{\{ (\S+) \}\}", lambda found: self.value(found.group(1), inputs), str(text)
        )
        assert "${{" not in replaced, replaced
        return replaced

    def value(self, name: str, inputs: Mapping[str, str]) -> str:
        """Of a dotted name. KeyError if there is none; '' for a field that an event lacks."""
        context, _, key = name.partition(".")
        if context == "inputs":
            return inputs[key]
        if context == "steps":
            step, _, output = key.partition(".outputs.")
            assert any(each.get("id") == step for each in ACTION["runs"]["steps"]), step
            return self.steps.get(step, {}).get(output, "")
        if key.startswith("event."):
            return self.event.get(key.removeprefix("event."), "")
        own = {"github.action_path": str(self.action_path), "runner.temp": str(self.temp)}
        return own[name] if name in own else self.github[key] if context == "github" else own[name]
