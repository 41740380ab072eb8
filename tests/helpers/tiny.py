"""A suite that the NumPy reference runs in a fraction of a second, and suites as TOML."""

from __future__ import annotations

import json
from typing import Any

TINY: dict[str, Any] = {
    "title": "Tiny",
    "tasks": ["digits_mlp"],
    "frameworks": ["numpy"],
    "optimizers": ["sgd", "adam"],
    "seeds": 2,
    "dtype": "float64",
    "steps": 20,
    "eval_every": 10,
    "timing": {
        "rule": "canonical",
        "launches": 1,
        "warmup_steps": 2,
        "blocks": 4,
        "block_steps": 3,
    },
}


def toml(content: dict[str, Any]) -> str:
    """The content of a suite as TOML, tables inline."""

    def value(given: Any) -> str:
        if isinstance(given, dict):
            return "{" + ", ".join(f"{key} = {value(item)}" for key, item in given.items()) + "}"
        if isinstance(given, list):
            return "[" + ", ".join(map(value, given)) + "]"
        return json.dumps(given)

    return "".join(f"{key} = {value(item)}\n" for key, item in content.items())
