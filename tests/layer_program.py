"""Layers, losses, metrics and short sessions of one framework, saved as arrays for `test_layers_keras_flax.py`.

A program of its own, because one process holds one framework: `python tests/layer_program.py FRAMEWORK OUT.npz`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from gradrace.adapter import Adapter
from gradrace.data import Data, Split, load
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
from gradrace.plan import Plan, draw_batches, initial_weights
from gradrace.registry import Registry, import_adapter, load_registry
from gradrace.schedules import table
from gradrace.spec import OptimizerSpec, Regularization, RunSpec, ScheduleSpec, TaskSpec
from layer_cases import CASES, Case, prepare

STEPS = 20
Arrays = dict[str, np.ndarray]


def make_task(name: str, input_shape: tuple[int, ...], model: tuple[Any, ...], **more: Any) -> TaskSpec:
    fixed = {"title": name, "data": "digits", "batch_size": 16, "steps": STEPS, "eval_every": 10, "target": 0.5}
    return TaskSpec(name=name, input_shape=input_shape, model=model, target_origin="none", **{**fixed, **more})


EVERYTHING = Regularization(l1=1e-3, l2=1e-2, decay=0.1, clip_norm=1.0)
# No bias before a batch norm: its gradient is 0 but for rounding, which Adam would blow up.
IMAGE = (
    Conv2D(filters=4, stride=2, bias=False), BatchNorm(momentum=0.8), Activation(function="leaky_relu"),
    MaxPool2D(window=3, stride=1), Conv2D(filters=4, kernel=2, padding="valid", bias=False),
    AvgPool2D(window=1, padding="same"), Flatten(), Dropout(rate=0.4), Dense(units=12, weight_norm=True), LayerNorm(),
    Activation(function="gelu"), Dropout(rate=0.2), Dense(units=10),
)  # fmt: skip
WORDS = (
    Embedding(vocabulary=9, units=5), Gru(units=6, sequences=True), SimpleRnn(units=5, sequences=True), Dropout(rate=0.3),
    Lstm(units=4, sequences=True), Dense(units=3),
)  # fmt: skip
SMALL = (Dense(units=6, bias=False), BatchNorm(), Activation(function="elu"), Dense(units=2))

TASKS = {
    "image": make_task("image", (8, 8, 1), IMAGE, label_smoothing=0.1, regularization=EVERYTHING),
    "plain image": make_task("plain_image", (8, 8, 1), (Conv2D(filters=3), MaxPool2D(), Flatten(), Dense(units=10))),
    "words": make_task("words", (6,), WORDS, regularization=Regularization(l2=0.1)),
    "regression": make_task(
        "regression", (4,), SMALL, loss="mean_squared_error", metric="r2", regularization=Regularization(l1=1e-2)
    ),
    "huber": make_task("huber", (4,), SMALL, loss="huber", metric="r2", regularization=Regularization(clip_norm=0.1)),
    "binary": make_task("binary", (4,), (Dense(units=1),), loss="binary_cross_entropy", label_smoothing=0.2),
    "branin": make_task(
        "branin", (1,), (Point(objective="branin", start=(2.0, 7.0)),), loss="output", metric="negative_loss",
        regularization=Regularization(l2=0.1, clip_norm=5.0),
    ),
}  # fmt: skip

# name -> task, shape of outputs, of y, number of classes (0: y is a target)
LOSSES = {
    "softmax": (make_task("a", (4,), (Dense(units=5),)), (7, 5), (7,), 5),
    "softmax by step": (make_task("a", (3, 4), (Dense(units=5),)), (7, 3, 5), (7, 3), 5),
    "softmax smoothed": (make_task("a", (4,), (Dense(units=5),), label_smoothing=0.1), (7, 5), (7,), 5),
    "binary": (make_task("a", (4,), (Dense(units=1),), loss="binary_cross_entropy"), (7, 1), (7,), 2),
    "binary smoothed": (
        make_task("a", (4,), (Dense(units=1),), loss="binary_cross_entropy", label_smoothing=0.1), (7, 1), (7,), 2,
    ),
    "squared": (make_task("a", (4,), (Dense(units=2),), loss="mean_squared_error", metric="r2"), (7, 2), (7, 2), 0),
    "huber": (make_task("a", (4,), (Dense(units=2),), loss="huber", metric="negative_loss"), (7, 2), (7, 2), 0),
    "output": (make_task("a", (4,), (Dense(units=1),), loss="output", metric="negative_loss"), (7, 1), (7,), 0),
}  # fmt: skip


def data_of(name: str) -> Data:
    """Digits for images; words with the label of each step; 5000 rows of training, more than are evaluated at once."""
    if "image" in name:
        return load("digits")
    splits, rng = {}, np.random.default_rng(5)
    for split, n in (("train", 5000), ("validation", 64), ("test", 64)):
        x = rng.normal(size=(n, 4))
        y: np.ndarray = np.stack([np.sin(3.0 * x[:, 0]), x[:, 1] * x[:, 2]], axis=1)
        if name == "words":
            x = rng.integers(0, 9, (n, 6))
            y = np.cumsum(x, axis=1) % 3
        elif name == "binary":
            y = (y[:, 0] > 0).astype(np.int64)
        elif name == "branin":
            x, y = x[:, :1], np.zeros(n)
        splits[split] = Split(x, y)
    return Data(name, splits, classes=3, source="made up")


def open_session(adapter: Adapter, registry: Registry, name: str, mode: str, task: TaskSpec, seed: int = 0) -> Any:
    optimizer = registry.optimizers["adam"]
    run = RunSpec(
        task=task, optimizer=OptimizerSpec(name="adam"), schedule=ScheduleSpec(kind="constant", base_lr=0.01),
        framework=adapter.name, mode=mode, dtype="float64", seed=seed,
    )  # fmt: skip
    data = data_of(name)
    rows = draw_batches(len(data.train.y), task.batch_size, STEPS, seed)
    reason = adapter.supports(run, optimizer)
    assert reason is None, reason
    return adapter.open(run, initial_weights(task, 0), Plan(optimizer, data, rows, table(run.schedule, STEPS), seed))


def trained(session: Any) -> Arrays:
    found: Arrays = {f"start|{name}": value for name, value in session.weights().items()}
    session.train(range(0, 7))
    session.train(range(7, STEPS))
    found["losses"] = session.losses()
    found["metrics"] = np.array([*session.evaluate("train"), *session.evaluate("validation")])
    found |= {f"weight|{name}": value for name, value in session.weights().items()}
    session.close()
    return found


def cases(mode: str) -> list[Case]:
    """Those that a mode computes in its own way."""
    return [case for case in CASES if mode != "scan" or isinstance(case.layer, Conv2D | MaxPool2D | AvgPool2D)]


def layers(adapter: Adapter, modes: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Every case in float64 in every mode that changes it, and in float32 in the first."""
    single = ((modes[0], "float32"),) if adapter.name != "numpy" else ()
    for mode, dtype in (*((mode, "float64") for mode in modes), *single):
        for case in cases(mode):
            told = adapter.differentiate(*prepare(case), dtype=dtype, mode=mode)
            own = {"output": told.output, "input": told.input_gradient, **told.gradients, **told.state}
            for what, value in own.items():
                if value is not None:
                    yield f"layer|{mode}|{dtype}|{case.name}|{what}", value


def losses(adapter: Adapter) -> Iterator[tuple[str, np.ndarray]]:
    for name, (task, shape, of_y, classes) in LOSSES.items():
        rng = np.random.default_rng(len(name))
        outputs, y = 3.0 * rng.normal(size=shape), rng.integers(0, classes, of_y) if classes else rng.normal(size=of_y)
        loss, gradient = adapter.loss(task, outputs, y)
        yield f"loss|{name}|loss", np.array(loss)
        yield f"loss|{name}|gradient", gradient
        yield f"loss|{name}|metric", np.array(adapter.metric(task, outputs, y))


def sessions(adapter: Adapter, registry: Registry, modes: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Each task twice, since compiled code is reused; the image also with little memory for what is staged."""
    for mode in modes:
        for name, task in TASKS.items():
            for again in ("", "|again"):
                session = open_session(adapter, registry, name, mode, task)
                yield from ((f"session{again}|{mode}|{name}|{what}", v) for what, v in trained(session).items())
    module = sys.modules[type(adapter).__module__]
    for limit in ("_MASK_BYTES", "_STAGED_BYTES"):
        if hasattr(module, limit):
            setattr(module, limit, 3 * 16 * 1000)
            for mode in modes:
                session = open_session(adapter, registry, "image", mode, TASKS["image"])
                yield from ((f"session|little|{mode}|{what}", value) for what, value in trained(session).items())


def native_dropout(adapter: Adapter, registry: Registry, modes: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    model = (Flatten(), Dropout(rate=0.5, masks="native"), Dense(units=10))
    task = make_task("image", (8, 8, 1), model)
    for mode in modes:
        for attempt, seed in (("first", 1), ("second", 1), ("other", 2)):
            session = open_session(adapter, registry, "image", mode, task, seed)
            yield f"native|{mode}|{attempt}", trained(session)["losses"]


def main() -> None:
    framework, out = sys.argv[1:]
    registry = load_registry([])
    adapter, modes = import_adapter(registry.frameworks[framework]), registry.frameworks[framework].modes
    arrays = dict(layers(adapter, modes))
    arrays |= dict(losses(adapter)) | dict(native_dropout(adapter, registry, modes)) | dict(sessions(adapter, registry, modes))
    np.savez(out, **arrays)


if __name__ == "__main__":
    main()
