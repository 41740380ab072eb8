"""Runs of one optimizer on one task, and their sessions."""

from __future__ import annotations

from typing import Any

from gradrace.plan import initial_weights, make_plan
from gradrace.registry import import_adapter, load_registry
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec

REGISTRY = load_registry()


def spec_of(
    task: TaskSpec,
    optimizer: str = "sgd",
    rate: float | None = None,
    *,
    kind: str = "constant",
    rule: Any = "canonical",
    hyper: dict[str, float] | None = None,
    **fields: Any,
) -> RunSpec:
    """A float64 run of the NumPy reference at the optimizer's own rate, unless stated otherwise."""
    base = REGISTRY.optimizers[optimizer].learning_rate if rate is None else rate
    usual: dict[str, Any] = {
        "task": task,
        "optimizer": OptimizerSpec(name=optimizer, rule=rule, hyper=hyper or {}),
        "schedule": ScheduleSpec(kind=kind, base_lr=base),
        **{"framework": "numpy", "mode": "reference", "dtype": "float64"},
    }
    return RunSpec(**{**usual, **fields})


def opened(run: RunSpec) -> Any:
    """A session of the run at step 0; the adapter must support it."""
    adapter = import_adapter(REGISTRY.frameworks[run.framework])
    optimizer = REGISTRY.optimizers[run.optimizer.name]
    reason = adapter.supports(run, optimizer)
    assert reason is None, f"{run.id}: {reason}"
    return adapter.open(run, initial_weights(run.task, run.seed), make_plan(run, optimizer))
