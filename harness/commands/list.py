"""`gradrace list`: what there is to run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from ..errors import UserError, nearest
from ..importpath import is_import_path
from ..output.terminal import print_pairs, print_table, say
from . import completion, options

if TYPE_CHECKING:
    from ..optimizer import Binding, Optimizer

_WHAT = (
    "tasks, data, optimizers, schedules, frameworks, suites or all; or an optimizer's import path."
)
_NAME = "One of the tasks, optimizers, schedules or suites, to be shown in full."
_DETAILED = ("tasks", "optimizers", "schedules", "suites")
# Columns of a terminal if standard output is none and $COLUMNS says nothing.
_WIDTH = 80

Rows = list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace list` takes."""

    what: Annotated[str, Argument("all", help=_WHAT, autocompletion=completion.kinds)]
    name: Annotated[str, Argument("", help=_NAME, autocompletion=completion.of_kind)]
    load: options.Load
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """List what there is to run; --load adds what your own files bring.

    With a name, show that one in full: `gradrace list optimizers adam`."""
    if args.name:
        _show_one(args)
        return
    is_path = is_import_path(args.what)
    tables = by_path(args.what) if is_path else catalogue(args.load)
    whole = args.what == "all" or is_path
    if not whole and args.what not in tables:
        known = nearest(args.what, [*tables, "all"])
        raise UserError(f"nothing called {args.what!r} to list{known}")
    chosen = tables if whole else {args.what: tables[args.what]}
    if args.as_json:
        say(json.dumps(chosen, indent=1))
        return
    for title, rows in chosen.items():
        print_table(title, rows if is_path else _short(title, rows), _WIDTH)


def _show_one(args: Arguments) -> None:
    from ..describing import described
    from ..registry import load_registry
    from .detail import detail

    if args.what not in _DETAILED:
        raise UserError(f"{args.what} {args.name}: one can be shown of {', '.join(_DETAILED)}")
    found = detail(args.what, args.name, described(load_registry(args.load)))
    if args.as_json:
        say(json.dumps(found, indent=1))
        return
    facts = {name: text for name, text in found.items() if isinstance(text, str)}
    print_pairs(facts, _WIDTH)
    for title, rows in found.items():
        if rows and not isinstance(rows, str):
            print_table(title, rows, _WIDTH)


def _short(title: str, rows: Rows) -> Rows:
    """For a terminal: of optimizers the frameworks alone; `list optimizers NAME` has the rest."""
    if title != "optimizers":
        return rows
    shown = ("optimizer", "learning rate", "hyperparameters")
    return [
        {**{name: row[name] for name in shown}, "in": ", ".join(_frameworks(row["in"]))}
        for row in rows
    ]


def _frameworks(classes: str) -> list[str]:
    """'torch: torch.optim.Adam, jax: optax.adam' -> torch, jax."""
    return [part.partition(": ")[0] for part in classes.split(", ") if ": " in part]


def catalogue(plugins: Sequence[Path] = ()) -> dict[str, Rows]:
    """A list of equal dicts of texts for each of _WHAT."""
    from .. import data, suite
    from ..describing import described
    from ..registry import load_registry
    from ..spec import number_text

    registry = described(load_registry(plugins))
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
        "optimizers": [_optimizer(each) for each in registry.optimizers.values()],
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


def _optimizer(optimizer: Optimizer) -> dict[str, str]:
    hyper = {name: f"{each.default:g}" for name, each in optimizer.hyper.items()}
    return {
        "optimizer": optimizer.name,
        "learning rate": f"{optimizer.learning_rate:g}",
        "hyperparameters": _pairs("=", hyper),
        "in": _pairs(": ", {name: _class(each) for name, each in optimizer.bindings.items()}),
        "paper": optimizer.paper,
    }


def by_path(text: str) -> dict[str, Rows]:
    """An optimizer that comes by its import path, and the arguments of its class."""
    from ..describing import described
    from ..imported.arguments import aliases_of
    from ..importpath import ImportPath
    from ..registry import load_registry

    path = ImportPath.parse(text)
    found = described(load_registry([path])).optimizers[path.name]
    if found.absent:
        raise UserError(f"{text}: {found.absent}")
    known = found.arguments[path.framework]
    places = aliases_of(known).items()
    rows = [
        {
            "argument": name,
            "default": "needed" if each.required else each.shown,
            "also by": ", ".join(other for other, place in places if place.argument == name),
        }
        for name, each in known.items()
    ]
    return {"optimizers": [_optimizer(found)], "arguments": rows}


def _class(binding: Binding) -> str:
    """The library's class, and the packages of others that it needs and that are not here."""
    from ..plugins.imports import NOT_INSTALLED
    from ..sweep.installed import packages_of

    absent = [n for n, found in packages_of(binding, None).items() if found == NOT_INSTALLED]
    return f"{binding.label} (not installed: {', '.join(absent)})" if absent else binding.label


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
