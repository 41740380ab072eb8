"""Takes every layer, loss, metric and some whole sessions through one framework in float64.

`python tests/helpers/layer_table.py FRAMEWORK OUT.npz`, because one process holds one framework."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from gradrace import data
from gradrace.adapter import Adapter
from gradrace.layers import (
    Activation,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Gru,
    LayerNorm,
    Lstm,
    MaxPool2D,
    Point,
    SimpleRnn,
)
from gradrace.registry import Registry, import_adapter, load_registry
from gradrace.spec import Regularization, TaskSpec
from layer_cases import CASES, LOSSES, loss_case, prepare
from runs import opened, spec_of

STEPS = 20
MADE_UP = ("words", "numbers", "binary")
Arrays = dict[str, np.ndarray]


def made_up(name: str) -> data.Data:
    """Data sets of each sort of x and y that tasks have, 40 samples a split, drawn."""
    rng = np.random.default_rng(11)

    def split() -> data.Split:
        words, numbers = rng.integers(0, 9, (40, 6)), rng.normal(size=(40, 6))
        targets = np.stack([numbers.sum(axis=1), 3.0 * numbers[:, 0]], axis=1)
        x, y = {
            "words": (words, (words + 1) % 9),
            "numbers": (numbers, targets),
            "binary": (numbers, (targets[:, 0] > 0.0).astype(np.int64)),
        }[name]
        return data.Split(x, y)

    splits = {s: split() for s in ("train", "validation", "test")}
    return data.Data(name=name, splits=splits, classes=9, source="drawn")


def task(name: str, model: tuple[Any, ...], **more: Any) -> TaskSpec:
    """A digits task unless `more` says otherwise."""
    given = {
        **{"name": name.replace(" ", "_"), "title": name, "model": model},
        **{"data": "digits", "input_shape": (8, 8, 1), "batch_size": 16, "steps": STEPS},
        **{"eval_every": STEPS, "target": 1.0, "target_origin": "none"},
    }
    return TaskSpec(**{**given, **more})


# No bias and no weight normalisation stands before a BatchNorm, which takes both out again: their
# gradients are nothing but rounding, and relative differences of that say nothing.
NUMBERS = {"data": "numbers", "input_shape": (6,)}
RELU = Activation(function="relu")
TASKS: list[TaskSpec] = [
    task(
        "everything on a perceptron",
        (
            *(Dense(units=24, bias=False), BatchNorm(), RELU, Dropout(rate=0.4)),
            *(Dense(units=20, weight_norm=True), Activation(function="elu"), Dropout(rate=0.2)),
            Dense(units=10),
        ),
        input_shape=(64,),
        label_smoothing=0.1,
        regularization=Regularization(l1=1e-3, l2=1e-2, decay=0.05, clip_norm=0.5),
    ),
    task(
        "dropout between flattening and dense",
        (
            *(Conv2D(filters=4, stride=2, bias=False), BatchNorm(), RELU),
            *(AvgPool2D(window=3, stride=2, padding="same"), Dropout(rate=0.3), Flatten()),
            *(Dropout(rate=0.3), Dense(units=10)),
        ),
        regularization=Regularization(l2=1e-2),
    ),
    task(
        "an activation between flattening and dense",
        (
            *(Conv2D(filters=4), MaxPool2D(window=3, stride=2, padding="same")),
            *(Flatten(), RELU, Dense(units=10)),
        ),
        regularization=Regularization(clip_norm=0.1),
    ),
    task(
        "normalisation of flattened images",
        (
            *(Conv2D(filters=4, padding="valid", bias=False), LayerNorm(), RELU, Flatten()),
            *(BatchNorm(), Dense(units=10)),
        ),
        regularization=Regularization(decay=0.1),
    ),
    task(
        "recurrent layers on top of each other",
        (
            *(Gru(units=6, sequences=True), LayerNorm(), SimpleRnn(units=6, sequences=True)),
            *(BatchNorm(), Lstm(units=6), Dense(units=10)),
        ),
        input_shape=(8, 8),
        regularization=Regularization(l1=1e-3),
    ),
    task(
        "a class at every step of a sequence of words",
        (
            *(Embedding(vocabulary=9, units=5), Lstm(units=7, sequences=True)),
            *(Dropout(rate=0.2), Dense(units=9)),
        ),
        **{"data": "words", "input_shape": (6,), "label_smoothing": 0.1},
    ),
    task(
        "huber",
        (Dense(units=5), Activation(function="silu"), Dense(units=2)),
        **{**NUMBERS, "loss": "huber", "metric": "r2"},
    ),
    task(
        "squares",
        (Dense(units=5), Activation(function="gelu"), Dense(units=2)),
        **{**NUMBERS, "loss": "mean_squared_error", "metric": "negative_loss"},
    ),
    task(
        "logistic",
        (Dense(units=1),),
        **{**NUMBERS, "data": "binary", "loss": "binary_cross_entropy", "label_smoothing": 0.1},
    ),
    task(
        "rosenbrock",
        (Point(objective="rosenbrock", start=(-1.2, 1.0)),),
        **{**NUMBERS, "loss": "output", "metric": "negative_loss"},
        regularization=Regularization(clip_norm=1.0),
    ),
]


def layers(adapter: Adapter) -> Arrays:
    """`layer|<case>|...`: output, input_gradient, gradient|<parameter>, state|<parameter>."""
    arrays: Arrays = {}
    for case in CASES:
        told = adapter.differentiate(*prepare(case))
        found = {"output": told.output, "input_gradient": told.input_gradient}
        found |= {f"gradient|{name}": value for name, value in told.gradients.items()}
        found |= {f"state|{name}": value for name, value in told.state.items()}
        arrays |= {
            f"layer|{case.name}|{key}": value for key, value in found.items() if value is not None
        }
    return arrays


def losses(adapter: Adapter) -> Arrays:
    """`loss|<case>|...`: value, gradient, and each metric that fits."""
    arrays: Arrays = {}
    for case in LOSSES:
        spec, outputs, y = loss_case(*case)
        value, gradient = adapter.loss(spec, outputs, y)
        name = f"loss|{' '.join(map(str, case))}"
        arrays |= {f"{name}|value": np.array(value), f"{name}|gradient": gradient}
        fitting = {"mean_squared_error": "r2", "huber": "r2", "output": "negative_loss"}
        for metric in {fitting.get(spec.loss, "accuracy"), "negative_loss"}:
            told = adapter.metric(spec.model_copy(update={"metric": metric}), outputs, y)
            arrays[f"{name}|{metric}"] = np.array(told)
    return arrays


def sessions(adapter: Adapter, registry: Registry, framework: str) -> Arrays:
    """`session|<mode>|<task>|...`: loss, start|<parameter>, end|<parameter>, midway, metrics."""
    arrays: Arrays = {}
    for mode in registry.frameworks[framework].proof_modes:
        for spec in TASKS:
            session = opened(spec_of(spec, "momentum", 0.02, framework=framework, mode=mode))
            name = f"session|{mode}|{spec.name}"
            arrays |= {f"{name}|start|{key}": value for key, value in session.weights().items()}
            session.train(range(0, 7))
            arrays[f"{name}|midway"] = np.array(session.evaluate("validation"))
            session.train(range(7, STEPS))
            arrays[f"{name}|loss"] = session.losses()
            arrays[f"{name}|metrics"] = np.array(
                [session.evaluate(s) for s in ("train", "validation", "test")]
            )
            arrays |= {f"{name}|end|{key}": value for key, value in session.weights().items()}
            session.close()
    return arrays


def main() -> None:
    """Saves everything under its name."""
    framework, out = sys.argv[1], sys.argv[2]
    load = data.load
    data.load = lambda name: made_up(name) if name in MADE_UP else load(name)
    registry = load_registry()
    adapter = import_adapter(registry.frameworks[framework])
    np.savez(out, **layers(adapter), **losses(adapter), **sessions(adapter, registry, framework))


if __name__ == "__main__":
    main()
