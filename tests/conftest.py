"""Fixtures that many tests need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gradrace.optimizer import Optimizer
from gradrace.plan import RunInputs, Weights, initial_weights, make_plan
from gradrace.registry import Registry, load_registry
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec
from hypothesis import settings

# A busy machine is no failure: examples have no deadline.
settings.register_profile("gradrace", deadline=None)
settings.load_profile("gradrace")


# Files that take a minute or more: of two processes that share out files, neither shall begin one
# of these last.
_LONG = (
    *("cluster/test_drivers", "adapters/test_layers", "adapters/test_conformance"),
    *("verify/test_device", "guard/test_why", "adapters/test_populations_", "cluster/"),
    *("report/test_machines", "verify/test_mutations", "adapters/", "browser/", "export/"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; else in the order of collection."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    places = (i for i, name in enumerate(_LONG) if f"tests/{name}" in item.nodeid)
    return next(places, len(_LONG))


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture
def make_run(registry: Registry) -> Callable[..., RunSpec]:
    """A RunSpec of the NumPy reference, with anything replaced."""

    def make(
        task: str = "digits_mlp", name: str = "adam", steps: int = 20, **changes: Any
    ) -> RunSpec:
        spec = registry.tasks[task].model_copy(update={"steps": steps, "eval_every": 10})
        fields: dict[str, Any] = {
            "task": spec,
            "optimizer": OptimizerSpec(name=name),
            "schedule": ScheduleSpec(
                kind="constant", base_lr=registry.optimizers[name].learning_rate
            ),
            "framework": "numpy",
            "mode": "reference",
            "dtype": "float64",
        }
        return RunSpec(**{**fields, **changes})

    return make


@pytest.fixture
def open_numpy(registry: Registry) -> Callable[[RunSpec], Any]:
    """A session of the NumPy reference for this run."""
    from gradrace.adapters.numpy import ADAPTER

    def open_(run: RunSpec) -> Any:
        optimizer: Optimizer = registry.optimizers[run.optimizer.name]
        inputs: RunInputs = make_plan(run, optimizer)
        start: Weights = initial_weights(run.task, run.seed)
        return ADAPTER.open(run, start, inputs)

    return open_


@pytest.fixture
def gradrace(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a folder of its own."""

    def call(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gradrace", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=timeout
        )

    return call
