"""Two commits are compared by running one's code on the other's gradrace: these names must stay.

Renaming one of them, or using a further one, makes every commit before it useless as a base of
`gradrace compare` and `gradrace gate`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest
from gradrace.adapter import Adapter, Session
from gradrace.gate.traces import ELSEWHERE
from gradrace.paired import worker
from gradrace.paired.sides import QUESTION
from gradrace.registry import Framework, Registry

WORKER = Path(worker.__file__).read_text(encoding="utf-8")
SOURCES = {"paired/worker.py": WORKER, "paired/sides.py": QUESTION, "gate/traces.py": ELSEWHERE}

# Dotted path -> the arguments that another commit gives: how many by position, and which by name.
INTERFACE = {
    "gradrace.registry.load_registry": (1, ()),
    "gradrace.registry.import_adapter": (1, ()),
    "gradrace.spec.RunSpec": (0, ("task", "optimizer", "schedule", "framework", "mode")),
    "gradrace.plan.make_plan": (2, ()),
    "gradrace.plan.initial_weights": (2, ()),
    "gradrace.roles.refused": (4, ()),
    "gradrace.suite.make_suite": (3, ()),
    "gradrace.sweep.Options": (0, ("output", "keyword", "timeout_s")),
    "gradrace.sweep.prepare": (3, ()),
    "gradrace.sweep.execute": (1, ()),
}
# Class -> methods and fields that another commit uses, with the number of arguments besides self.
USED = {
    Registry: {"frameworks": None, "optimizers": None},
    Framework: {"versions": 0},
    Adapter: {"versions": 0, "supports": 2, "open": 3},
    Session: {"train": 1, "sync": 0, "losses": 0, "weights": 0},
}


def imported(source: str) -> set[str]:
    """Dotted paths that the source takes from gradrace, `import gradrace` itself left out."""
    return {
        f"{node.module}.{name.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gradrace")
        for name in node.names
    }


def test_other_commits_run_on_these_names_alone():
    assert set().union(*map(imported, SOURCES.values())) == set(INTERFACE)


@pytest.mark.parametrize(("path", "given"), INTERFACE.items(), ids=INTERFACE)
def test_every_name_exists_and_takes_what_other_commits_give(path, given):
    module, _, name = path.rpartition(".")
    positional, named = given
    parameters = inspect.signature(getattr(importlib.import_module(module), name))
    parameters.bind(*range(positional), **dict.fromkeys(named))


@pytest.mark.parametrize(
    ("kind", "name", "count"),
    [(kind, name, count) for kind, names in USED.items() for name, count in names.items()],
)
def test_every_method_takes_what_other_commits_give(kind, name, count):
    if count is None:
        assert name in inspect.get_annotations(kind)
    else:
        inspect.signature(getattr(kind, name)).bind(None, *range(count))


def test_each_import_is_marked():
    lines = [line for line in WORKER.splitlines() if line.lstrip().startswith("from gradrace")]
    assert lines and all(line.endswith("# between commits") for line in lines)
