"""The optimizer that `gradrace init` writes computes its own rule in every framework."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest
from gradrace.starting.files import Beginning, contents, write

TOLD = {"torch": "torch", "jax": "optax", "tensorflow": "keras"}


@pytest.mark.parametrize("framework", sorted(TOLD))
def test_the_class_and_the_rule_agree(framework, tmp_path) -> None:
    if find_spec(TOLD[framework]) is None:
        pytest.skip(f"{framework} is not installed")
    write(tmp_path, contents(Beginning(framework, "fast")))
    command = [sys.executable, "-m", "gradrace", "verify", "--load", "fast.py"]
    command += ["--framework", framework, "-k", "updates fast"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 equal, 0 differs by definition, 0 unavailable, 0 FAILED" in done.stdout
