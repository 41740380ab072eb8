"""Runs with parameter groups in one framework: `python grouped_runs.py FRAMEWORK OUT.npz`.

Saves `<case>|<mode>|<array>`, and as JSON in "said" what else there is to know."""

from __future__ import annotations

import json
import sys
from typing import Any, NamedTuple

import numpy as np
from gradrace.adapter import LanesImpossible
from gradrace.data import Data, Split
from gradrace.importpath import ImportPath
from gradrace.layers import Dense, Embedding, Gru
from gradrace.plan import RunInputs, draw_batches, initial_weights, make_plan
from gradrace.registry import import_adapter, load_registry
from gradrace.roles import others_of, refused
from gradrace.schedules import table
from gradrace.spec import OptimizerSpec, ParameterGroup, RunSpec, ScheduleSpec, TaskSpec
from gradrace.verify.cases import variants

PATH = ImportPath.parse("torch:torch.optim.Adam")
REGISTRY = load_registry([PATH])
OPTIMIZERS = REGISTRY.optimizers
STEPS, HALF = 12, 6
MODES = {
    "numpy": ("reference",),
    "torch": ("eager", "eager-fused"),
    "tensorflow": ("loop",),
    "jax": ("scan", "nnx"),
}


def _group(*roles: Any, name: str, factor: float = 1.0, **hyper: float) -> ParameterGroup:
    complete = OPTIMIZERS[name].hypers(hyper)
    return ParameterGroup(roles=roles, name=name, hyper=complete, rate_factor=factor)


class GroupedCase(NamedTuple):
    """every: in all modes, else in the first alone."""

    task: TaskSpec
    optimizer: str
    groups: tuple[ParameterGroup, ...]
    every: bool = False


TEXT = REGISTRY.tasks["shakespeare_gru"].model_copy(
    update={
        "input_shape": (5,),
        "model": (Embedding(vocabulary=7, units=3), Gru(units=4), Dense(units=7)),
        "batch_size": 8,
    }
)
PENALISED = next(t for t in variants(REGISTRY) if t.name == "digits_mlp+all_penalties")
CASES = {
    "penalties": GroupedCase(
        PENALISED,
        "adamw",
        (
            _group("bias", name="adamw", weight_decay=0.0),
            _group("head", name="momentum", factor=0.3),
        ),
        every=True,
    ),
    "embedding": GroupedCase(
        TEXT,
        "adam",
        (
            _group("embedding", name="adagrad", factor=2.0),
            _group("recurrent_kernel", "bias", name="nesterov", factor=3.0),
        ),
    ),
    # Two optimizers that evaluate other weights than they train.
    "averages": GroupedCase(
        REGISTRY.tasks["digits_mlp"],
        "schedule_free_adamw",
        (_group("bias", "head", name="schedule_free_sgd", factor=5.0),),
    ),
}


def _text() -> Data:
    """Integers below 7; the label is the next one."""
    rng, splits = np.random.default_rng(3), {}
    for split in ("train", "validation", "test"):
        x = rng.integers(0, 7, (40, 5))
        splits[split] = Split(x, (x[:, 0] + x[:, -1]) % 7)
    return Data("text", splits, classes=7, source="drawn")


def run_of(case: GroupedCase, framework: str, mode: str) -> RunSpec:
    own = OptimizerSpec(
        name=case.optimizer, hyper=OPTIMIZERS[case.optimizer].hypers({}), groups=case.groups
    )
    return RunSpec(
        task=case.task.model_copy(update={"steps": STEPS, "eval_every": STEPS}),
        optimizer=own,
        schedule=ScheduleSpec(kind="warmup_cosine", base_lr=0.01),
        framework=framework,
        mode=mode,
        dtype="float64",
    )


def inputs_of(run: RunSpec) -> RunInputs:
    optimizer = OPTIMIZERS[run.optimizer.name]
    if run.task.model != TEXT.model:
        return make_plan(run, optimizer, optimizers=OPTIMIZERS)
    data, rates = _text(), table(run.schedule, STEPS)
    rows = draw_batches(len(data.train.y), run.task.batch_size, STEPS, seed=0)
    return RunInputs(optimizer, data, rows, rates, 0, others_of(run, OPTIMIZERS))


def trained(adapter: Any, run: RunSpec) -> dict[str, Any]:
    """Losses, evaluation, weights; rates are replaced on the way, and parts probed at the end."""
    inputs = inputs_of(run)
    session = adapter.open(run, initial_weights(run.task, 0), inputs)
    session.train(range(HALF))
    halved = np.where(np.arange(STEPS) < HALF, 1.0, 0.5) * inputs.learning_rates
    session.set_learning_rates(halved)
    session.train(range(HALF, STEPS))
    found = {"losses": session.losses(), "evaluated": np.array(session.evaluate("validation"))}
    found |= {f"weight {name}": np.array(value) for name, value in session.weights().items()}
    found["state bytes"] = np.array(session.state_bytes())
    for part in session.parts():
        session.probe(part, range(2))
    session.sync()
    after = session.weights()
    found |= {f"probed {name}": np.array(value) for name, value in after.items()}
    session.close()
    return found


def _natively(adapter: Any, kernels: str, others: str, mode: str) -> dict[str, Any]:
    """digits_mlp under the native rule: hidden kernels by one class, the rest by another."""
    rest = ("bias", "norm", "head", "embedding", "recurrent_kernel")
    group = ParameterGroup(roles=rest, name=others, rate_factor=0.1)
    own = OptimizerSpec(name=kernels, rule="native", groups=(group,))
    run = run_of(CASES["penalties"], "torch", mode).model_copy(update={"optimizer": own})
    assert refused(adapter, run, OPTIMIZERS[kernels], OPTIMIZERS) is None
    return trained(adapter, run)


def main() -> None:
    framework, out = sys.argv[1:]
    adapter = import_adapter(REGISTRY.frameworks[framework])
    arrays: dict[str, Any] = {}
    said: dict[str, Any] = {"refused": {}}
    for name, case in CASES.items():
        for mode in MODES[framework] if case.every else MODES[framework][:1]:
            run = run_of(case, framework, mode)
            optimizer = OPTIMIZERS[case.optimizer]
            if reason := refused(adapter, run, optimizer, OPTIMIZERS):
                said["refused"][name] = reason
                continue
            found = trained(adapter, run)
            arrays |= {f"{name}|{mode}|{key}": value for key, value in found.items()}
    if framework == "torch":
        for key, others in (("named", "adam"), ("imported", PATH.name)):
            found = _natively(adapter, "muon", others, "eager")
            arrays |= {f"{key}|eager|{name}": value for name, value in found.items()}
    run = run_of(CASES["penalties"], framework, REGISTRY.frameworks[framework].convergence_mode)
    try:
        said["lanes"] = repr(adapter.lane_key(run, inputs_of(run)))
    except LanesImpossible as reason:
        said["lanes"] = str(reason)
    np.savez(out, said=np.array(json.dumps(said)), **arrays)


if __name__ == "__main__":
    main()
