"""What a shell completes, through the scripts that typer installs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from records import make_results, make_specs

# {output} is a folder of results of the suite "demo".
CASES = [
    ("gradrace exp", {"export"}),
    ("gradrace run qu", {"quick"}),
    ("gradrace run here", {"here.toml"}),
    ("gradrace run folder/", {"folder/there.toml"}),
    ("gradrace list op", {"optimizers"}),
    ("gradrace list optimizers ada", {"adabelief", "adadelta", "adafactor", "adagrad", "adam"}),
    ("gradrace list schedules one", {"one_cycle"}),
    ("gradrace tune --task digits_m", {"digits_mlp"}),
    ("gradrace certify lio", {"lion"}),
    ("gradrace fetch cif", {"cifar10"}),
    ("gradrace export t", {"tensorboard"}),
    ("gradrace run quick --framework j", {"jax"}),
    ("gradrace report -o {output} d", {"demo"}),
    ("gradrace report d", set()),
    ("gradrace show -o {output} ", {"digest"}),
]
SCRIPT = """
import sys
from gradrace.cli import main
sys.argv = ["gradrace"]
try:
    main()
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""
HEAVY = {"torch", "tensorflow", "keras", "jax", "optax", "pandas", "scipy", "matplotlib"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    make_results(folder / "output", specs=make_specs(["mlp"], ["torch"], ["sgd"], [0])[:1])
    (folder / "folder").mkdir()
    for name in ("here.toml", "folder/there.toml"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_a_shell_completes(folder, line, expected):
    line = line.format(output="output")
    words = line.split(" ")
    environment = {
        **os.environ,
        **{"_GRADRACE_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words)},
        **{"COMP_CWORD": str(len(words) - 1)},
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=environment, capture_output=True, text=True
    )
    found = set(done.stdout.split())
    if expected == {"digest"}:
        (only,) = found
        assert len(only) == 24
    else:
        assert found >= expected if "ada" in line else found == expected
    assert not {name.partition(".")[0] for name in done.stderr.split()} & HEAVY
