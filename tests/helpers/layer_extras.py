"""What one framework computes beyond tests/helpers/layer_table.py: float32, modes, reused programs,
staging, native dropout.

A program of its own, because one process holds one framework: `python tests/helpers/layer_extras.py
FRAMEWORK OUT.npz`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
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
    Flatten,
    MaxPool2D,
)
from gradrace.plan import RunInputs, draw_batches, initial_weights
from gradrace.registry import Registry, import_adapter, load_registry
from gradrace.schedules import table
from gradrace.spec import Regularization, TaskSpec
from layer_cases import CASES, Case, prepare
from layer_table import Arrays, task
from runs import spec_of

STEPS = 20
# Three steps of the image task: TensorFlow stages its masks, 4 and 12 bytes a sample, JAX its
# samples too, 64 of float64.
LITTLE = {"_MASK_BYTES": 3 * 16 * 16, "_STAGED_BYTES": 3 * 16 * (16 + 64 * 8)}

# No bias before a batch norm: its gradient is 0 but for rounding, which Adam would blow up.
ELU = Activation(function="elu")
REGRESSION = (Dense(units=6, bias=False), BatchNorm(), ELU, Dense(units=2))
TASKS = {
    "image": task(
        "image",
        (
            *(Conv2D(filters=4, stride=2, bias=False), BatchNorm(momentum=0.8)),
            *(Activation(function="leaky_relu"), MaxPool2D(window=3, stride=1)),
            *(Conv2D(filters=4, kernel=2, padding="valid"), AvgPool2D(window=1)),
            *(Dropout(rate=0.4), Flatten(), Dense(units=12, weight_norm=True)),
            *(Activation(function="gelu"), Dropout(rate=0.2), Dense(units=10)),
        ),
        label_smoothing=0.1,
        regularization=Regularization(l1=1e-3, l2=1e-2, decay=0.1, clip_norm=1.0),
    ),
    "regression": task(
        "regression",
        REGRESSION,
        **{"input_shape": (4,), "loss": "mean_squared_error", "metric": "r2"},
        regularization=Regularization(l1=1e-2),
    ),
    # The same but for numbers that are compiled in.
    "another regression": task(
        "another regression",
        REGRESSION,
        **{"input_shape": (4,), "loss": "huber", "metric": "negative_loss"},
        regularization=Regularization(l1=2e-2, clip_norm=0.1),
    ),
}
NATIVE = task("native", (Flatten(), Dropout(rate=0.5, masks="native"), Dense(units=10)))


def numbers() -> Data:
    """5000 rows of training, more than are evaluated at once, and targets of two sizes."""
    splits, rng = {}, np.random.default_rng(5)
    for split, n in (("train", 5000), ("validation", 64), ("test", 64)):
        x = rng.normal(size=(n, 4))
        splits[split] = Split(
            x, np.stack([np.sin(3.0 * x[:, 0]), 10.0 + x[:, 1] * x[:, 2]], axis=1)
        )
    return Data("numbers", splits, classes=0, source="drawn")


def open_session(
    adapter: Adapter, registry: Registry, mode: str, spec: TaskSpec, seed: int = 0
) -> Any:
    optimizer = registry.optimizers["adam"]
    run = spec_of(spec, "adam", 0.01, framework=adapter.name, mode=mode, seed=seed)
    data = load("digits") if len(spec.input_shape) == 3 else numbers()
    rows = draw_batches(len(data.train.y), spec.batch_size, STEPS, seed=0)
    reason = adapter.supports(run, optimizer)
    assert reason is None, reason
    return adapter.open(
        run,
        initial_weights(spec, 0),
        RunInputs(optimizer, data, rows, table(run.schedule, STEPS), seed),
    )


def trained(session: Any) -> Arrays:
    session.train(range(0, 7))
    session.train(range(7, STEPS))
    found = {
        "losses": session.losses(),
        "metrics": np.array([*session.evaluate("train"), *session.evaluate("validation")]),
    }
    found |= {f"weight|{name}": value for name, value in session.weights().items()}
    session.close()
    return found


def cases(mode: str) -> list[Case]:
    """Those that a mode computes in its own way."""
    return [
        case
        for case in CASES
        if mode != "scan" or isinstance(case.layer, Conv2D | MaxPool2D | AvgPool2D)
    ]


def layers(adapter: Adapter, modes: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """In float32 in the first mode, in float64 in all."""
    single = ((modes[0], "float32"),) if adapter.name != "numpy" else ()
    for mode, dtype in (*((mode, "float64") for mode in modes), *single):
        for case in cases(mode):
            told = adapter.differentiate(*prepare(case), dtype=dtype, mode=mode)
            own = {
                "output": told.output,
                "input": told.input_gradient,
                **told.gradients,
                **told.state,
            }
            for what, value in own.items():
                if value is not None:
                    yield f"layer|{mode}|{dtype}|{case.name}|{what}", value


def sessions(
    adapter: Adapter, registry: Registry, modes: tuple[str, ...]
) -> Iterator[tuple[str, np.ndarray]]:
    """Each task twice, since compiled code is reused; the image also with little memory."""
    for mode in modes:
        for attempt in ("session", "again"):
            for name, spec in TASKS.items():
                session = open_session(adapter, registry, mode, spec)
                yield from (
                    (f"{attempt}|{mode}|{name}|{what}", value)
                    for what, value in trained(session).items()
                )
    modules = [
        module for name, module in sys.modules.items() if name.startswith("gradrace.adapters.")
    ]
    for module, limit in product(modules, LITTLE):
        if hasattr(module, limit):
            setattr(module, limit, LITTLE[limit])
    for mode in modes:
        session = open_session(adapter, registry, mode, TASKS["image"])
        yield from (
            (f"little|{mode}|image|{what}", value) for what, value in trained(session).items()
        )


def native_dropout(
    adapter: Adapter, registry: Registry, modes: tuple[str, ...]
) -> Iterator[tuple[str, np.ndarray]]:
    """Losses of two runs of one seed and of one of another, with equal weights and batches."""
    for mode in modes:
        for attempt, seed in (("first", 1), ("second", 1), ("other", 2)):
            yield (
                f"native|{mode}|{attempt}",
                trained(open_session(adapter, registry, mode, NATIVE, seed))["losses"],
            )


def main() -> None:
    """Saves everything under its name."""
    framework, out = sys.argv[1:]
    registry = load_registry()
    adapter, modes = (
        import_adapter(registry.frameworks[framework]),
        registry.frameworks[framework].proof_modes,
    )
    arrays = dict(layers(adapter, modes)) | dict(sessions(adapter, registry, modes))
    np.savez(out, **arrays, **dict(native_dropout(adapter, registry, modes)))


if __name__ == "__main__":
    main()
