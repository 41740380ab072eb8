"""What there is to run, as tables for people and programs."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from .. import data, suite
from ..registry import load_registry
from ..spec import number_text

Rows = list[dict[str, str]]


def catalogue(plugins: Sequence[Path] = ()) -> dict[str, Rows]:
    """tasks, data, optimizers, schedules, frameworks and suites, each a list of equal dicts of
    texts.
    """
    registry = load_registry(plugins)
    return {
        "tasks": [
            {
                "task": t.name,
                "what": t.title,
                "batch": str(t.batch_size),
                "steps": str(t.steps),
                "target": f"{t.target:g}",
            }
            for t in registry.tasks.values()
        ],
        "data": [
            {
                "data": name,
                "training samples": str(known.training),
                "here": f"no: gradrace fetch {name}" if data.missing(name) else "yes",
                "tasks": ", ".join(t.name for t in registry.tasks.values() if t.data == name),
            }
            for name, known in data.SETS.items()
        ],
        "optimizers": [
            {
                "optimizer": o.name,
                "learning rate": f"{o.learning_rate:g}",
                "hyperparameters": ", ".join(
                    f"{name}={hyper.default:g}" for name, hyper in o.hyper.items()
                ),
                "in": ", ".join(f"{name}: {binding.label}" for name, binding in o.bindings.items()),
                "paper": o.paper,
            }
            for o in registry.optimizers.values()
        ],
        "schedules": [
            {
                "schedule": s.name,
                "what": s.summary,
                "parameters": ", ".join(
                    f"{name}={number_text(param.default)}" for name, param in s.params.items()
                ),
                "source": s.source,
            }
            for s in registry.schedules.values()
        ],
        "frameworks": [
            {
                "framework": f.name,
                "what": f.title,
                "modes": ", ".join(f.modes),
                "installed": ", ".join(f"{n} {v}" for n, v in (f.versions() or {}).items()) or "no",
            }
            for f in registry.frameworks.values()
        ],
        "suites": [{"suite": name, **_suite(file)} for name, file in suite.built_in().items()],
    }


def _suite(file: Path) -> dict[str, str]:
    with file.open("rb") as opened:
        content = tomllib.load(opened)
    return {
        "question": str(content.get("question", "")),
        "scales": ", ".join(content.get("scales", ())),
    }
