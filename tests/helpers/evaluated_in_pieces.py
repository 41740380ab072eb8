"""Evaluations of a framework in pieces beside those in one, of losses and metrics of every kind.

`python tests/helpers/evaluated_in_pieces.py FRAMEWORK` prints each task's largest difference."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import numpy as np
from gradrace.adapters import large_data
from gradrace.data import load
from gradrace.layers import Activation, Dense, build
from gradrace.plan import initial_weights, make_plan
from gradrace.registry import import_adapter
from gradrace.spec import POPULATION
from runs import REGISTRY, spec_of

LANES, STEPS, ROWS = 3, 4, 8
TASKS = ("digits_mlp", "digits_cnn", "breast_cancer_logreg", "diabetes_mlp", "copy_gru")


def task_of(name: str, **changed: Any) -> Any:
    usual = {"steps": STEPS, "eval_every": STEPS}
    return REGISTRY.tasks[name].model_copy(update={**usual, **changed})


def tasks() -> dict[str, Any]:
    """Softmax, images, sequences of labels, smoothed classes, both regressions, loss as metric."""
    found = {name: task_of(name) for name in TASKS}
    found["smoothed"] = task_of("breast_cancer_logreg", label_smoothing=0.1)
    found["huber"] = task_of("diabetes_mlp", loss="huber")
    found["loss alone"] = task_of("diabetes_mlp", metric="negative_loss")
    model = (Dense(units=8), Activation(function="tanh"), Dense(units=1))
    found["a column"] = task_of("diabetes_mlp", model=model)
    return found


def evaluated(adapter: Any, task: Any, lanes: int) -> np.ndarray:
    """[lanes, 2]: loss and metric of the validation split after some steps."""
    mode = REGISTRY.frameworks[adapter.name].convergence_mode
    run = spec_of(task, framework=adapter.name, mode=mode)
    runs = [run.model_copy(update={"seed": seed}) for seed in range(lanes)]
    optimizer = REGISTRY.optimizers[run.optimizer.name]
    inputs = [make_plan(each, optimizer) for each in runs]
    starts = [initial_weights(each.task, each.seed) for each in runs]
    if lanes == 1:
        session = adapter.open(run, starts[0], inputs[0])
        session.train(range(STEPS))
        return np.array([session.evaluate("validation")])
    shared = [each.model_copy(update={"mode": POPULATION, "lanes": lanes}) for each in runs]
    population = adapter.open_population(shared, starts, inputs, lanes)
    population.train(range(STEPS))
    return np.array(population.evaluate("validation"))


def in_pieces(framework: str) -> None:
    """From now on: of ROWS rows at most, if the widest layer has ten entries, and added up."""
    large_data.EVALUATED_BYTES = 8 * 10 * ROWS
    if framework == "torch":
        for name in ("session", "population"):
            importlib.import_module(f"gradrace.adapters.torch.{name}").OUTPUTS_HELD = 0


def main() -> None:
    """Prints name -> [of a session, of a population], relative to 1 or the figure itself."""
    framework = sys.argv[1]
    adapter = import_adapter(REGISTRY.frameworks[framework])
    sizes = (1, LANES)
    whole = {n: [evaluated(adapter, t, size) for size in sizes] for n, t in tasks().items()}
    in_pieces(framework)
    found = {}
    for name, task in tasks().items():
        layers = build(task.model, task.input_shape)
        rows = len(load(task.data).splits["validation"].y)
        assert 4 * large_data.rows_at_once(layers, 4096, 8) < rows, name
        pairs = zip(whole[name], (evaluated(adapter, task, size) for size in sizes), strict=True)
        found[name] = [float(np.max(np.abs(a - b) / np.maximum(1, np.abs(a)))) for a, b in pairs]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
