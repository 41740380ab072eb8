"""Runs, in one framework, the optimizers that need more than a rule for one element.

`python tests/helpers/per_tensor_rules.py FRAMEWORK OUT.npz`: one process holds one framework.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
from gradrace.optimizer import Hyper, Optimizer
from gradrace.plan import Weights, initial_weights, make_plan
from gradrace.registry import Registry, import_adapter, load_registry
from gradrace.spec import RunSpec
from update_rules import STEPS, rates, run_of

# Kernels of convolutions whose two largest axes are and are not the last two, wide and tall
# matrices, a vector.
SHAPES = {
    "a.kernel": (3, 3, 1, 8),
    "b.kernel": (2, 2, 6, 4),
    "c.kernel": (4, 7),
    "d.kernel": (9, 3),
    "d.bias": (3,),
}
MATRICES = {name: shape for name, shape in SHAPES.items() if len(shape) == 2}
TASKS = ("digits_cnn", "digits_lstm")


def start(shapes: dict[str, tuple[int, ...]] = SHAPES) -> dict[str, np.ndarray]:
    """Tensors of about one."""
    return {name: np.random.default_rng(1).normal(size=shape) for name, shape in shapes.items()}


def gradients(shapes: dict[str, tuple[int, ...]] = SHAPES) -> list[dict[str, np.ndarray]]:
    """Over four decades; the first row of the last axis is zero every third step."""
    rng = np.random.default_rng(2)
    scales = {name: 10.0 ** rng.uniform(-4.0, 0.0, shape) for name, shape in shapes.items()}
    taken = [
        {name: scale * rng.normal(size=scale.shape) for name, scale in scales.items()}
        for _ in range(STEPS)
    ]
    for given in taken[::3]:
        for gradient in given.values():
            gradient[..., 0] = 0.0
    return taken


def slopes(optimizer: Optimizer, table: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Gradients of a convex quadratic (condition 100) along the reference's path; one vector."""
    sizes = [int(np.prod(shape)) for shape in SHAPES.values()]
    n, rng = sum(sizes), np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.normal(size=(n, n)))
    matrix = basis * np.geomspace(1.0, 100.0, n) @ basis.T
    hyper, point = (
        optimizer.hypers({}),
        np.concatenate([array.ravel() for array in start().values()]),
    )
    state, taken = optimizer.rule.init(point, hyper), []
    for t, rate in enumerate(table, start=1):
        slope = matrix @ point
        pieces = np.split(slope, np.cumsum(sizes)[:-1])
        taken.append(
            {
                name: p.reshape(shape)
                for (name, shape), p in zip(SHAPES.items(), pieces, strict=True)
            }
        )
        point, state = optimizer.rule.update(point, slope, state, float(rate), t, hyper)
    return taken


def updates(registry: Registry, framework: str, adapter: Any) -> dict[str, np.ndarray]:
    """`<optimizer>|<schedule>|<tensor>` -> [STEPS, *shape], canonical rule, float64."""
    arrays: dict[str, np.ndarray] = {}
    for name, optimizer in registry.optimizers.items():
        run = run_of(registry, framework, name)
        if not (optimizer.per_tensor or optimizer.full_batch) or adapter.supports(run, optimizer):
            continue
        for kind in ("constant", "decaying"):
            table = rates(kind, optimizer.learning_rate)
            given = slopes(optimizer, table) if optimizer.full_batch else gradients()
            arrays |= stacked(
                f"{name}|{kind}", adapter.updates(run, optimizer, start(), given, table)
            )
    return arrays


def variants(registry: Registry, framework: str, adapter: Any) -> dict[str, np.ndarray]:
    """The rules as they would be without what makes them canonical."""
    arrays: dict[str, np.ndarray] = {}
    adafactor, muon, prodigy = (
        registry.optimizers[name] for name in ("adafactor", "muon", "prodigy")
    )
    run, table = (
        run_of(registry, framework, "adafactor"),
        rates("constant", adafactor.learning_rate),
    )
    if framework == "torch":
        as_stored = replace(adafactor, per_tensor=False)
        arrays |= stacked(
            "adafactor as stored", adapter.updates(run, as_stored, start(), gradients(), table)
        )
    if framework in muon.bindings or framework == "numpy":
        # Under the settings nearest to the canonical rule; matrices only, for torch.
        table, given = rates("constant", muon.learning_rate), gradients(MATRICES)
        taken = adapter.updates(
            run_of(registry, framework, "muon"), muon, start(MATRICES), given, table
        )
        arrays |= stacked("muon of matrices", taken)
    if framework in prodigy.bindings or framework == "numpy":
        far = {"distance": Hyper(0.05, "far enough to be seen beside rounding")}
        further = replace(prodigy, hyper=dict(prodigy.hyper) | far)
        taken = adapter.updates(
            run_of(registry, framework, "prodigy"), further, start(), gradients(), np.ones(STEPS)
        )
        arrays |= stacked("prodigy from afar", taken)
    return arrays


def stacked(key: str, taken: list[Weights]) -> dict[str, np.ndarray]:
    """`<key>|<tensor>` -> [steps, *shape]."""
    return {f"{key}|{name}": np.stack([step[name] for step in taken]) for name in taken[0]}


def trajectories(registry: Registry, framework: str, adapter: Any) -> dict[str, np.ndarray]:
    """`<task>|<optimizer>|<schedule>|<mode>` -> losses of 50 steps, loss and metric after them."""
    arrays: dict[str, np.ndarray] = {}
    for task in (*TASKS, "digits_mlp"):
        # `verify` has constant rates on these tasks.
        kinds = ("warmup_cosine",) if task in TASKS else ("constant", "warmup_cosine")
        for name in ("adafactor", "muon", "lamb") if task in TASKS else ("schedule_free_adamw",):
            for kind in kinds:
                for mode in registry.frameworks[framework].proof_modes:
                    run = changed(
                        run_of(registry, framework, name), registry, task, kind, mode, STEPS
                    )
                    if not adapter.supports(run, registry.optimizers[name]):
                        arrays |= trained(run, registry, adapter, f"{task}|{name}|{kind}|{mode}")
    return arrays


def asking(registry: Registry, framework: str, adapter: Any) -> dict[str, np.ndarray]:
    """`asks|<optimizer>|<mode>` -> 20 float32 losses on full batches; it evaluates the loss."""
    arrays: dict[str, np.ndarray] = {}
    for name, optimizer in registry.optimizers.items():
        if framework in optimizer.bindings and optimizer.bindings[framework].asks_for_loss:
            for mode in registry.frameworks[framework].proof_modes:
                run = run_of(registry, framework, name, rule="native", dtype="float32")
                run = changed(run, registry, "digits_mlp", "constant", mode, 20, batch_size=1152)
                arrays |= trained(run, registry, adapter, f"asks|{name}|{mode}")
    return arrays


def changed(
    run: RunSpec, registry: Registry, task: str, kind: str, mode: str, steps: int, **more: int
) -> RunSpec:
    """The run on another task, under another schedule and in another mode."""
    spec = registry.tasks[task].model_copy(update={"steps": steps, **more})
    schedule = run.schedule.model_copy(update={"kind": kind})
    return run.model_copy(update={"task": spec, "schedule": schedule, "mode": mode})


def trained(run: RunSpec, registry: Registry, adapter: Any, key: str) -> dict[str, np.ndarray]:
    """Losses, evaluation and bytes of state of a run."""
    optimizer = registry.optimizers[run.optimizer.name]
    session = adapter.open(run, initial_weights(run.task, run.seed), make_plan(run, optimizer))
    session.train(range(run.steps))
    arrays = {
        f"{key}|losses": session.losses(),
        f"{key}|evaluated": np.array(session.evaluate("validation")),
        f"{key}|state": np.array(session.state_bytes()),
    }
    session.close()
    return arrays


def main() -> None:
    """Saves all of it."""
    framework, out = sys.argv[1], sys.argv[2]
    registry = load_registry()
    adapter = import_adapter(registry.frameworks[framework])
    found: dict[str, np.ndarray] = {}
    for part in (updates, variants, trajectories, *(() if framework == "numpy" else (asking,))):
        found |= part(registry, framework, adapter)
    np.savez(out, **found)


if __name__ == "__main__":
    main()
