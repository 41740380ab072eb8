"""Runs a program of this folder in a process of its own: one process holds one framework."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from gradrace.executor.environment import environment
from paths import HELPERS
from runs import REGISTRY, spec_of


@cache
def variables(dtype: str = "float64") -> dict[str, str]:
    """The environment of a worker with one thread on a CPU."""
    return environment(spec_of(REGISTRY.tasks["digits_mlp"], dtype=dtype))


def printed(
    program: str, *arguments: str, given: str = "", dtype: str = "float64", **own: str
) -> str:
    """What a program prints; `program` is a file of this folder, or the text of a script.

    `given` goes to its standard input, `own` are environment variables of its own.
    """
    what = [str(HELPERS / program)] if program.endswith(".py") else ["-c", program]
    done = subprocess.run(
        [sys.executable, *what, *arguments],
        input=given,
        env=variables(dtype) | {"PYTHONPATH": str(HELPERS)} | own,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, f"{program} {arguments}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout


printed_once = cache(printed)


@cache
def saved(program: str, *arguments: str, **own: str) -> dict[str, Any]:
    """What a program saves as OUT.npz, its last argument."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        printed(program, *arguments, str(out), **own)
        return dict(np.load(out))


def below(table: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The entries whose names begin so, by the rest of their names; there are some."""
    found = {
        key.removeprefix(prefix): value for key, value in table.items() if key.startswith(prefix)
    }
    assert found, prefix
    return found


class Found(NamedTuple):
    """The arrays that a program saved, and the JSON of its text "said"."""

    arrays: dict[str, np.ndarray]
    said: dict[str, Any]

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays of one run."""
        return below(self.arrays, f"{prefix}|")


def found_by(program: str) -> Found:
    arrays = dict(saved(program))
    return Found(arrays, json.loads(str(arrays.pop("said"))))
