"""Shell scripts of the repository: each parses, and those of CI stop at their first error."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACKED = subprocess.run(
    ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
).stdout.splitlines()
SCRIPTS = [name for name in TRACKED if name == ".ci/run" or name.endswith(".sh")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_parses_and_in_ci_stops_at_its_first_error(name: str) -> None:
    done = subprocess.run(["bash", "-n", str(ROOT / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # A job of a cluster goes on after a failed run: `run` has said so already.
    alone = name.startswith("examples/")
    assert alone or "\nset -euo pipefail\n" in (ROOT / name).read_text(encoding="utf-8")
