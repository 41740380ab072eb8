"""A suite that the NumPy reference runs in a fraction of a second: as a value, as TOML, swept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradrace import sweep
from gradrace.results import frame
from gradrace.suite import make_suite

TINY: dict[str, Any] = {
    **{"title": "Tiny", "tasks": ["digits_mlp"], "frameworks": ["numpy"]},
    **{
        "optimizers": ["sgd", "adam"],
        "seeds": 2,
        "dtype": "float64",
        "steps": 20,
        "eval_every": 10,
    },
    "timing": {
        "rule": "canonical",
        "launches": 1,
        "warmup_steps": 2,
        "blocks": 4,
        "block_steps": 3,
    },
}


def planned(
    output: Path,
    plugins: Sequence[Path] = (),
    options: sweep.Options | None = None,
    **changes: Any,
) -> sweep.Sweep:
    """The tiny suite with these changes, not timed unless they say so, ready to be executed."""
    suite = make_suite("tiny", {**TINY, "timing": False, **changes})
    return sweep.prepare(suite, plugins, options or sweep.Options(output=output))


def swept(
    output: Path,
    plugins: Sequence[Path] = (),
    options: sweep.Options | None = None,
    **changes: Any,
) -> tuple[sweep.Outcome, frame.Frames]:
    """`planned`, executed in this process: its outcome, and all results in the folder."""
    return sweep.execute(planned(output, plugins, options, **changes)), frame.load(output)


def toml(content: dict[str, Any]) -> str:
    """The content of a suite as TOML, tables inline."""

    def value(given: Any) -> str:
        if isinstance(given, dict):
            return "{" + ", ".join(f"{key} = {value(item)}" for key, item in given.items()) + "}"
        if isinstance(given, list):
            return "[" + ", ".join(map(value, given)) + "]"
        return json.dumps(given)

    return "".join(f"{key} = {value(item)}\n" for key, item in content.items())
