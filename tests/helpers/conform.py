"""Trains the conformance table in one framework, in float64, and saves losses and final weights.

A program of its own, because one process holds one framework: `python
tests/helpers/conform.py FRAMEWORK
OUT.npz`."""

from __future__ import annotations

import sys

import numpy as np
from gradrace.plan import initial_weights, make_plan
from gradrace.registry import Registry, import_adapter, load_registry
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec
from paths import ROOT

STEPS = 50
# Modes in which `verify` does not prove every piece train only these: compiling takes most of their
# time.
FEWER = {"digits_mlp": ("momentum", "adam"), "digits_cnn": ("adam",), "digits_lstm": ("adam",)}
# What stands for the whole catalogue here: `gradrace verify` and test_update_rules.py go through
# the rest.
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "sign_momentum")
TASKS = {
    "digits_mlp": OPTIMIZERS,
    "digits_cnn": ("momentum", "adam"),
    "digits_lstm": ("momentum", "adam"),
}
EXAMPLE = ROOT / "examples" / "my_optimizer.py"


def runs(registry: Registry, framework: str) -> list[RunSpec]:
    """Mode x task x optimizer of this framework, under a constant rate and under one that rises and
    falls.
    """
    return [
        RunSpec(
            task=registry.tasks[task].model_copy(update={"steps": STEPS}),
            optimizer=OptimizerSpec(name=name),
            schedule=ScheduleSpec(kind=kind, base_lr=registry.optimizers[name].learning_rate),
            framework=framework,
            mode=mode,
            dtype="float64",
        )
        for mode in registry.frameworks[framework].modes
        for task, optimizers in (
            TASKS if mode in registry.frameworks[framework].proof_modes else FEWER
        ).items()
        for name in optimizers
        for kind in (
            ("constant", "warmup_cosine")
            if mode in registry.frameworks[framework].proof_modes
            else ("constant",)
        )
        if task in registry.tasks and name in registry.optimizers
    ]


def main() -> None:
    """Saves `<mode>|<task>|<optimizer>|<schedule>|loss` and `...|weight|<name>` for all that the
    adapter supports.
    """
    framework, out = sys.argv[1], sys.argv[2]
    registry = load_registry([EXAMPLE])
    adapter = import_adapter(registry.frameworks[framework])
    arrays: dict[str, np.ndarray] = {}
    for run in runs(registry, framework):
        optimizer = registry.optimizers[run.optimizer.name]
        if adapter.supports(run, optimizer):
            continue
        session = adapter.open(run, initial_weights(run.task, run.seed), make_plan(run, optimizer))
        for chunk in (range(0, 25), range(25, STEPS)):
            session.train(chunk)
        cell = f"{run.mode}|{run.task.name}|{optimizer.name}|{run.schedule.kind}"
        arrays[f"{cell}|loss"] = session.losses()
        arrays[f"{cell}|state"] = np.array(session.state_bytes())
        arrays[f"{cell}|metrics"] = np.array(session.evaluate("validation"))
        arrays |= {f"{cell}|weight|{name}": value for name, value in session.weights().items()}
        session.close()
    np.savez(out, **arrays)


if __name__ == "__main__":
    main()
