"""`gradrace list`: what there is to run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument

from ..errors import UserError, nearest
from ..output.terminal import print_table, say
from . import options

_WHAT = "tasks, data, optimizers, schedules, frameworks, suites or all."

Rows = list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace list` takes."""

    what: Annotated[str, Argument("all", help=_WHAT)]
    load: options.Load
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """List what there is to run; --load adds what your own files bring."""
    tables = catalogue(args.load)
    if args.what != "all" and args.what not in tables:
        known = nearest(args.what, [*tables, "all"])
        raise UserError(f"nothing called {args.what!r} to list{known}")
    chosen = tables if args.what == "all" else {args.what: tables[args.what]}
    if args.as_json:
        say(json.dumps(chosen, indent=1))
        return
    for title, rows in chosen.items():
        print_table(title, rows)


def catalogue(plugins: Sequence[Path] = ()) -> dict[str, Rows]:
    """A list of equal dicts of texts for each of _WHAT."""
    from .. import data, suite
    from ..registry import load_registry
    from ..spec import number_text

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
                **_data(name),
                "tasks": ", ".join(t.name for t in registry.tasks.values() if t.data == name),
            }
            for name in [*data.SETS, *registry.data]
        ],
        "optimizers": [
            {
                "optimizer": o.name,
                "learning rate": f"{o.learning_rate:g}",
                "hyperparameters": _pairs("=", {n: f"{h.default:g}" for n, h in o.hyper.items()}),
                "in": _pairs(": ", {name: b.label for name, b in o.bindings.items()}),
                "paper": o.paper,
            }
            for o in registry.optimizers.values()
        ],
        "schedules": [
            {
                "schedule": s.name,
                "what": s.summary,
                "parameters": _pairs("=", {n: number_text(p.default) for n, p in s.params.items()}),
                "source": s.source,
            }
            for s in registry.schedules.values()
        ],
        "frameworks": [
            {
                "framework": f.name,
                "what": f.title,
                "modes": ", ".join(f.modes),
                "installed": _pairs(" ", f.versions() or {}) or "no",
            }
            for f in registry.frameworks.values()
        ],
        "suites": [{"suite": name, **_suite(file)} for name, file in suite.built_in().items()],
    }


def _here(name: str) -> str:
    from .. import data

    if data.missing(name):
        return f"no: gradrace fetch {name}"
    return data.whereabouts(name) or "yes"


def _data(name: str) -> dict[str, str]:
    """Of a user's data the function is called: whether it can be trained on shows here first."""
    from .. import data

    try:
        return {"training samples": str(data.training_samples(name)), "here": _here(name)}
    except UserError as error:
        return {"training samples": "", "here": f"no: {error}"}


def _pairs(sign: str, texts: Mapping[str, str]) -> str:
    return ", ".join(f"{name}{sign}{text}" for name, text in texts.items())


def _suite(file: Path) -> dict[str, str]:
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        "question": str(content.get("question", "")),
        "scales": ", ".join(content.get("scales", ())),
    }
