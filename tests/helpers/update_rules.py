"""Feeds given gradients to one framework's own optimizers and saves the tensors after every step.

A program of its own, because one process holds one framework: `python tests/helpers/update_rules.py
FRAMEWORK OUT.npz`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
from gradrace.optimizer import Optimizer
from gradrace.plan import initial_weights, make_plan
from gradrace.registry import Registry, import_adapter, load_registry
from gradrace.spec import RunSpec
from runs import spec_of

STEPS = 50
SHAPES = {"a.kernel": (6, 5), "a.bias": (5,), "b.kernel": (5, 4), "b.bias": (4,)}
# Rule, dtype and schedule of what is fed with gradients.
CASES = (
    ("canonical", "float64", "constant"),
    ("canonical", "float64", "decaying"),
    ("canonical", "float32", "decaying"),
    ("native", "float64", "decaying"),
    ("native", "float32", "decaying"),
)
# Sessions whose learning rates change half-way; every kind of correction is among them.
CHANGED = ("sgd", "momentum", "adam", "rmsprop_momentum")


def start() -> dict[str, np.ndarray]:
    """Tensors of about one."""
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape) for name, shape in SHAPES.items()}


def gradients() -> list[dict[str, np.ndarray]]:
    """Over four decades from element to element; row 0 is always zero, row 1 every third step."""
    rng = np.random.default_rng(2)
    scales = {name: 10.0 ** rng.uniform(-4.0, 0.0, shape) for name, shape in SHAPES.items()}
    taken = []
    for step in range(STEPS):
        given = {name: scale * rng.normal(size=scale.shape) for name, scale in scales.items()}
        for gradient in given.values():
            gradient[0] = 0.0
            gradient[1] *= step % 3 != 0
        taken.append(given)
    return taken


def rates(kind: str, base: float) -> np.ndarray:
    """float64[STEPS]: constant, or a cosine down to a hundredth."""
    if kind == "constant":
        return np.full(STEPS, base)
    return base * (0.505 + 0.495 * np.cos(np.pi * np.arange(STEPS) / STEPS))


def run_of(registry: Registry, framework: str, name: str, **changes: str) -> RunSpec:
    """A run whose optimizer is asked for its updates; its task plays no part."""
    fields = {"framework": framework, "mode": registry.frameworks[framework].convergence_mode}
    return spec_of(registry.tasks["digits_mlp"], name, **fields, **changes)


def updates(registry: Registry, framework: str) -> dict[str, np.ndarray]:
    """`<optimizer>|<rule>|<dtype>|<schedule>|<tensor>` -> [STEPS, *shape], for all that the
    framework has.
    """
    adapter, arrays = import_adapter(registry.frameworks[framework]), {}
    for name, optimizer in registry.optimizers.items():
        for rule, dtype, kind in CASES:
            run = run_of(registry, framework, name, rule=rule, dtype=dtype)
            if not adapter.supports(run, optimizer) and follows_gradients(
                optimizer, framework, rule
            ):
                arrays |= _taken(adapter, run, optimizer, kind, f"{name}|{rule}|{dtype}|{kind}")
    return arrays


def follows_gradients(optimizer: Optimizer, framework: str, rule: str) -> bool:
    """Whether it needs no more than gradients, of any functions."""
    if optimizer.full_batch:
        return False
    return (
        framework == "numpy"
        or rule == "canonical"
        or not optimizer.bindings[framework].asks_for_loss
    )


def uncorrected(registry: Registry, framework: str) -> dict[str, np.ndarray]:
    """`<optimizer>|without <correction>|float64|decaying|<tensor>`: what each correction is needed
    for.
    """
    adapter, arrays = import_adapter(registry.frameworks[framework]), {}
    for name, optimizer in registry.optimizers.items():
        binding = optimizer.bindings.get(framework)
        for correction in (
            binding.corrections if binding and framework not in optimizer.differs else ()
        ):
            others = tuple(other for other in binding.corrections if other is not correction)
            without = replace(optimizer, bindings={framework: replace(binding, corrections=others)})
            run = run_of(registry, framework, name)
            key = f"{name}|without {correction.name}|float64|decaying"
            arrays |= _taken(adapter, run, without, "decaying", key)
    return arrays


def _taken(
    adapter: Any, run: RunSpec, optimizer: Optimizer, kind: str, key: str
) -> dict[str, np.ndarray]:
    # A hundredth at least: the rounding of tensors of about one would show beside shorter steps.
    table = rates(kind, max(optimizer.learning_rate, 0.01))
    taken = adapter.updates(run, optimizer, start(), gradients(), table)
    return {f"{key}|{tensor}": np.stack([step[tensor] for step in taken]) for tensor in SHAPES}


def changed_rates(registry: Registry, framework: str) -> dict[str, np.ndarray]:
    """`changed|<mode>|<optimizer>|<whole or half>` -> losses of a table given at the start, or from
    step 10 on.
    """
    adapter, arrays = import_adapter(registry.frameworks[framework]), {}
    for mode in registry.frameworks[framework].proof_modes:
        for name in CHANGED:
            run = run_of(registry, framework, name)
            run = run.model_copy(
                update={"mode": mode, "task": run.task.model_copy(update={"steps": 20})}
            )
            inputs, first = make_plan(run, registry.optimizers[name]), initial_weights(run.task, 0)
            later = inputs.learning_rates * np.where(
                np.arange(20) < 10, 1.0, np.linspace(0.5, 0.1, 20)
            )
            for kind in ("whole", "half"):
                session = adapter.open(
                    run, first, replace(inputs, learning_rates=later) if kind == "whole" else inputs
                )
                session.train(range(10))
                if kind == "half":
                    session.set_learning_rates(later)
                session.train(range(10, 20))
                arrays[f"changed|{mode}|{name}|{kind}"] = session.losses()
                session.close()
    return arrays


def main() -> None:
    """Saves them all."""
    framework, out = sys.argv[1], sys.argv[2]
    registry = load_registry()
    parts = (updates, uncorrected, changed_rates)
    np.savez(
        out, **{key: value for part in parts for key, value in part(registry, framework).items()}
    )


if __name__ == "__main__":
    main()
