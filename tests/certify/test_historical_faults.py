"""Faults of released optimizers, planted in users' files: certify names each by the fitting check.

Every framework's files are certified in one process, by the worker's machinery."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import certify_many
import pytest
from gradrace.executor.environment import environment
from gradrace.registry import load_registry
from gradrace.verify.driver import some_run
from planted_files import CLAIM, FAULTS, SOUND


def requests(folder: Path, framework: str) -> dict[str, dict[str, object]]:
    """The sound file with every check that finds a fault, and each fault with its own check."""
    name, sound = SOUND[framework]
    faults = {k: fault for k, fault in FAULTS.items() if fault.framework == framework}
    sources = {"sound": sound, **{key: fault.source for key, fault in faults.items()}}
    wanted = {key: [fault.check] for key, fault in faults.items()}
    wanted["sound"] = list({check for checks in wanted.values() for check in checks})
    found: dict[str, dict[str, object]] = {}
    for key, source in sources.items():
        file = folder / f"{key}.py"
        file.write_text(source)
        # Without the claim only what can never be right fails.
        rule = "adamw" if CLAIM in wanted[key] else ""
        request = {"path": f"{framework}:{file}:{name}", "rule": rule}
        found[key] = {"request": request, "only": wanted[key]}
    return found


@cache
def said(folder: Path, framework: str) -> dict[str, dict[str, object]]:
    file = folder / f"{framework}.json"
    file.write_text(json.dumps(requests(folder, framework)))
    done = subprocess.run(
        [sys.executable, certify_many.__file__, str(file)],
        env=environment(some_run(load_registry().frameworks[framework])),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_the_fitting_check(folder, name):
    fault = FAULTS[name]
    answer = said(folder, fault.framework)[name]
    assert not answer["refused"]
    outcome, text, script = answer["found"][fault.check]
    assert outcome == "failed" and fault.says in text, text
    assert "gradrace" not in script


@pytest.mark.parametrize("framework", SOUND)
def test_a_sound_file_passes_the_same_checks(folder, framework):
    answer = said(folder, framework)["sound"]
    checks = {fault.check for fault in FAULTS.values() if fault.framework == framework}
    assert checks <= set(answer["found"])
    assert {outcome for outcome, *_ in answer["found"].values()} == {"passed"}, answer["found"]
