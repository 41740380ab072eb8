"""Holds a framework's populations against its single runs, and saves what it finds.

`python tests/helpers/lanes.py FRAMEWORK OUT.npz TASK:OPTIMIZER...`, because one process holds one
framework. TASK is a built-in one, or one of layer_table.py with "_" for blanks. A pair may go on:
TASK:OPTIMIZER:DTYPE:LANES:RULE, by default float64, 5 lanes, of which each trains a run, and
canonical. For every pair it saves
    <pair>|worst        the largest scaled difference of a lane's losses, weights and evaluations
                        from those of the same run by itself
    <pair>|bits         1 if no bit of a lane depends on its place or on the other lanes
    <pair>|impossible   instead, why the runs can only be trained one by one
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import layer_table
import numpy as np
from gradrace import data
from gradrace.adapter import LanesImpossible
from gradrace.layers import Dropout
from gradrace.plan import initial_weights, make_plan
from gradrace.registry import import_adapter
from gradrace.spec import POPULATION, RunSpec, TaskSpec
from runs import REGISTRY, spec_of

LANES, STEPS = 5, 100

Arrays = dict[str, np.ndarray]


def varied(task: Any, name: str, count: int, steps: int = STEPS, **fields: Any) -> list[RunSpec]:
    """Runs that differ in seed, learning rate, schedule, real hyperparameters, penalties, label
    smoothing and dropout."""
    optimizer, native = REGISTRY.optimizers[name], fields.get("rule") == "native"
    runs = []
    for lane in range(count):
        run = spec_of(
            _varied_task(task, lane, steps),
            name,
            rate=optimizer.learning_rate * (0.4 + 0.2 * lane),
            kind="constant" if lane % 2 else "warmup_cosine",
            seed=lane,
            **fields,
        )
        hyper = {
            key: value * (1.0 - 0.01 * lane) if 0.0 < value < 1.0 else value
            for key, value in ({} if native else optimizer.hypers({})).items()
        }
        optimizer_spec = run.optimizer.model_copy(update={"hyper": hyper})
        runs.append(run.model_copy(update={"optimizer": optimizer_spec}))
    return runs


def _varied_task(task: TaskSpec, lane: int, steps: int) -> TaskSpec:
    """Its own penalties if it has some, else L2 and decay."""
    own = {key: value * (1.0 + 0.1 * lane) for key, value in dict(task.regularization).items()}
    usual = {"l1": 0.0, "l2": 1e-4 * (1 + lane), "decay": 1e-3 * lane + 1e-3}
    model = [
        (
            layer.model_copy(update={"rate": layer.rate * (1.0 - 0.05 * lane)})
            if isinstance(layer, Dropout) and layer.masks == "harness"
            else layer
        )
        for layer in task.model
    ]
    changed = {
        **{"steps": steps, "eval_every": steps // 2, "model": [m.model_dump() for m in model]},
        "regularization": own if any(own.values()) else usual,
        "label_smoothing": task.label_smoothing * (1.0 + 0.1 * lane),
    }
    return TaskSpec.model_validate_json(json.dumps({**task.to_json(), **changed}))


def alone(adapter: Any, run: RunSpec, mode: str) -> Arrays:
    """The run by itself, in two calls, with its learning rates halved before the second."""
    single = run.model_copy(update={"mode": mode, "lanes": 1})
    optimizer = REGISTRY.optimizers[run.optimizer.name]
    if reason := adapter.supports(single, optimizer):
        raise LanesImpossible(reason)
    inputs = make_plan(single, optimizer)
    session = adapter.open(single, initial_weights(run.task, run.seed), inputs)
    evaluations = []
    for steps in halves(run):
        if steps.start:
            session.set_learning_rates(halved(inputs.learning_rates, steps.start))
        session.train(steps)
        evaluations.append(session.evaluate("validation"))
    arrays = {"losses": session.losses(), "evaluations": np.array(evaluations)}
    arrays |= {name: np.array(value) for name, value in session.weights().items()}
    session.close()
    return arrays


def together(adapter: Any, runs: Sequence[RunSpec], lanes: int) -> list[Arrays]:
    """The same in populations, one for each `lane_key`."""
    optimizer = REGISTRY.optimizers[runs[0].optimizer.name]
    runs = [run.model_copy(update={"mode": POPULATION, "lanes": lanes}) for run in runs]
    inputs = [make_plan(run, optimizer) for run in runs]
    keys = [adapter.lane_key(run, each) for run, each in zip(runs, inputs, strict=True)]
    found: dict[int, Arrays] = {}
    for key in dict.fromkeys(keys):
        mine = [lane for lane, other in enumerate(keys) if other == key]
        chosen = [runs[lane] for lane in mine], [inputs[lane] for lane in mine]
        found |= dict(zip(mine, _population(adapter, *chosen, lanes), strict=True))
    return [found[lane] for lane in range(len(runs))]


def _population(
    adapter: Any, runs: Sequence[RunSpec], inputs: Sequence[Any], lanes: int
) -> list[Arrays]:
    starts = [initial_weights(run.task, run.seed) for run in runs]
    population = adapter.open_population(runs, starts, inputs, lanes)
    evaluations = []
    for steps in halves(runs[0]):
        for lane, each in enumerate(inputs if steps.start else ()):
            population.set_learning_rates(lane, halved(each.learning_rates, steps.start))
        population.train(steps)
        evaluations.append(population.evaluate("validation"))
    losses = population.losses()
    assert losses.shape == (len(runs), len(inputs[0].batches)), losses.shape
    found = [
        {
            "losses": losses[lane],
            "evaluations": np.array([each[lane] for each in evaluations]),
            **{name: np.array(value) for name, value in population.weights(lane).items()},
        }
        for lane in range(len(runs))
    ]
    population.close()
    return found


def halves(run: RunSpec) -> list[range]:
    bounds = [0, run.steps // 2, run.steps]
    return [range(first, last) for first, last in pairwise(bounds)]


def halved(rates: np.ndarray, start: int) -> np.ndarray:
    return np.where(np.arange(len(rates)) < start, 1.0, 0.5) * rates


def worst(one: Arrays, other: Arrays) -> float:
    """The largest difference, scaled by the array's largest magnitude or 1."""
    assert one.keys() == other.keys()
    return max(
        float(np.abs(one[name] - other[name]).max() / max(1.0, np.abs(one[name]).max()))
        for name in one
    )


def same_bits(
    adapter: Any, runs: Sequence[RunSpec], found: Sequence[Arrays], lanes: int = LANES
) -> bool:
    """In another order, with fewer others, and beside a lane that diverges."""
    last = len(runs) - 1
    wild = runs[1].model_copy(
        update={"schedule": runs[1].schedule.model_copy(update={"base_lr": 1e6})}
    )
    pieces = [
        (list(range(last, -1, -1)), runs[::-1]),
        ([last, 0], [runs[last], runs[0]]),
        ([2], [runs[2]]),
        ([0, None, 3], [runs[0], wild, runs[3]]),
    ]
    return all(
        all(np.array_equal(again[place][name], found[lane][name]) for name in found[lane])
        for places, chosen in pieces
        for again in [together(adapter, chosen, lanes)]
        for place, lane in enumerate(places)
        if lane is not None
    )


def runs_of(pair: str, framework: str, mode: str) -> list[RunSpec]:
    """Those that the pair names, in this mode."""
    task, name, dtype, lanes, rule, *_ = [*pair.split(":"), *[""] * 3]
    fields = {"dtype": dtype or "float64", "rule": rule or "canonical"}
    fields |= {"framework": framework, "mode": mode}
    small = {spec.name: spec for spec in layer_table.TASKS}
    spec, steps = (REGISTRY.tasks[task], STEPS) if task not in small else (small[task], 20)
    return varied(spec, name, int(lanes or LANES), steps, **fields)


def main() -> None:
    framework, out, *pairs = sys.argv[1:]
    load = data.load
    drawn = cache(layer_table.made_up)
    data.load = lambda name: drawn(name) if name in layer_table.MADE_UP else load(name)
    entry = REGISTRY.frameworks[framework]
    adapter = import_adapter(entry)
    arrays: dict[str, Any] = {}
    for pair in pairs:
        runs = runs_of(pair, framework, entry.convergence_mode)
        lanes = len(runs)
        try:
            singles = [alone(adapter, run, entry.convergence_mode) for run in runs]
            found = together(adapter, runs, lanes)
        except LanesImpossible as reason:
            arrays[f"{pair}|impossible"] = np.array(str(reason))
            print(pair, "impossible:", reason, flush=True)
            continue
        arrays[f"{pair}|worst"] = np.array(max(map(worst, singles, found)))
        arrays[f"{pair}|bits"] = np.array(same_bits(adapter, runs, found, lanes))
        print(pair, arrays[f"{pair}|worst"], bool(arrays[f"{pair}|bits"]), flush=True)
    np.savez(out, **arrays)


if __name__ == "__main__":
    main()
