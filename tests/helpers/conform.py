"""Trains the conformance table in one framework, in float64, and saves losses and final weights.

`python tests/helpers/conform.py FRAMEWORK OUT.npz`, because one process holds one framework."""

from __future__ import annotations

import itertools
import sys

import numpy as np
from gradrace.plan import initial_weights, make_plan
from gradrace.registry import Registry, import_adapter, load_registry
from gradrace.spec import RunSpec
from paths import ROOT
from runs import spec_of

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
    """Mode x task x optimizer, under a constant rate and under one that rises and falls."""
    entry, found = registry.frameworks[framework], []
    for mode in entry.modes:
        proven = mode in entry.proof_modes
        kinds = ("constant", "warmup_cosine") if proven else ("constant",)
        for task, optimizers in (TASKS if proven else FEWER).items():
            for name, kind in itertools.product(optimizers, kinds):
                if task in registry.tasks and name in registry.optimizers:
                    spec = registry.tasks[task].model_copy(update={"steps": STEPS})
                    rate = registry.optimizers[name].learning_rate
                    fields = {"kind": kind, "framework": framework, "mode": mode}
                    found.append(spec_of(spec, name, rate, **fields))
    return found


def main() -> None:
    """Saves `<mode>|<task>|<optimizer>|<schedule>|loss`, `...|weight|<name>` of supported runs."""
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
