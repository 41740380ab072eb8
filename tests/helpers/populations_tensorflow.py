"""Populations of TensorFlow, for tests/adapters/test_populations_tensorflow.py.

`python tests/helpers/populations_tensorflow.py OUT.npz`, because one process holds one framework.
Saves what lanes.py saves, for lanes that differ in all that may differ, and one text "said": JSON
of everything else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gradrace.adapters.tensorflow import ADAPTER
from gradrace.layers import Activation, BatchNorm, Conv2D, Dense, Dropout, Flatten
from gradrace.spec import Regularization, RunSpec
from lanes import LANES, alone, same_bits, together, varied, worst
from layer_table import task
from runs import REGISTRY

STEPS = 20

# A step with all that it may hold: batch statistics, fed masks, penalties, clipping, decay.
RICH = task(
    "rich",
    (
        *(Conv2D(filters=16, bias=False), BatchNorm(momentum=0.8), Activation(function="relu")),
        *(Dropout(rate=0.4), Flatten(), Dense(units=12), Activation(function="gelu")),
        *(Dropout(rate=0.2), Dense(units=10)),
    ),
    label_smoothing=0.1,
)
DROPPING = task("dropping", (Flatten(), Dropout(rate=0.3, masks="native"), Dense(units=10)))
NARROW = task("narrow", (Flatten(), Dense(units=12), BatchNorm(), Dense(units=10)))


def rich(optimizer: str, dtype: str = "float64") -> list[RunSpec]:
    """Lanes that differ in every number of the task."""

    def own(lane: int, run: RunSpec) -> RunSpec:
        rules = Regularization(
            l1=1e-4 * (1 + lane),
            l2=1e-2 / (1 + lane),
            decay=0.1 + 0.01 * lane,
            clip_norm=0.5 + lane,
        )
        model = tuple(
            layer.model_copy(update={"rate": layer.rate * (1.0 - 0.1 * lane)})
            if isinstance(layer, Dropout)
            else layer
            for layer in run.task.model
        )
        changed = {
            "regularization": rules,
            "model": model,
            "label_smoothing": 0.05 * (1 + lane),
        }
        return run.model_copy(update={"task": run.task.model_copy(update=changed)})

    return [own(lane, run) for lane, run in enumerate(of(RICH, optimizer, dtype=dtype))]


def of(spec: Any, optimizer: str, rule: str = "canonical", **fields: Any) -> list[RunSpec]:
    """The yardstick's lanes, in fewer steps."""
    runs = varied(spec, optimizer, LANES, STEPS, framework="tensorflow", mode="loop", **fields)
    native = {"rule": rule, "hyper": {}}
    if rule == "canonical":
        return runs
    return [
        run.model_copy(update={"optimizer": run.optimizer.model_copy(update=native)})
        for run in runs
    ]


def cases() -> dict[str, Callable[[], list[RunSpec]]]:
    """Held against single runs in float64, and against other places in their own dtype."""
    tasks = REGISTRY.tasks
    return {
        "digits_mlp momentum": lambda: of(tasks["digits_mlp"], "momentum"),
        "digits_mlp adafactor": lambda: of(tasks["digits_mlp"], "adafactor"),
        "digits_mlp nadam": lambda: of(tasks["digits_mlp"], "nadam"),
        "digits_lstm lamb": lambda: of(tasks["digits_lstm"], "lamb"),
        "digits_gru adam": lambda: of(tasks["digits_gru"], "adam"),
        "rich amsgrad": lambda: rich("amsgrad"),
        "dropping adam": lambda: of(DROPPING, "adam"),
        "native schedule_free_adamw": lambda: of(DROPPING, "schedule_free_adamw", "native"),
        "float32 digits_mlp adam": lambda: of(tasks["digits_mlp"], "adam", dtype="float32"),
        "float32 rich momentum": lambda: rich("momentum", "float32"),
    }


def held(runs: Sequence[RunSpec]) -> dict[str, np.ndarray]:
    found = together(ADAPTER, runs, LANES)
    singles = [alone(ADAPTER, run, "loop") for run in runs]
    return {
        "worst": np.array(max(map(worst, singles, found))),
        "bits": np.array(same_bits(ADAPTER, runs, found)),
    }


def main() -> None:
    arrays: dict[str, Any] = {}
    chosen = sys.argv[2:] or list(cases())
    for name in chosen:
        arrays |= {f"{name}|{what}": value for what, value in held(cases()[name]()).items()}
        print(name, arrays[f"{name}|worst"], arrays[f"{name}|bits"], flush=True)
    np.savez(sys.argv[1], **arrays)


if __name__ == "__main__":
    main()
