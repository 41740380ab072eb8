"""Made-up sweeps of every kind, through the store: each outcome follows a rule stated here."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from gradrace.layers import Activation, Dense
from gradrace.record import Curve
from gradrace.results import frame
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec
from records import MODES, Verdict, make_results

# The best learning rate of an optimizer, its validation loss there, and the rate from which on it
# diverges.
BEST_RATE = {"sgd": 0.1, "momentum": 0.03, "adam": 0.001, "lion": 0.0003}
FLOOR = {"sgd": 0.3, "momentum": 0.2, "adam": 0.1, "lion": 0.12}
DIVERGES_ABOVE = 30.0


def task(
    name: str = "mlp",
    steps: int = 100,
    batch_size: int = 16,
    target: float = 0.9,
    units: Sequence[int] = (8,),
) -> TaskSpec:
    """Ten classes, an evaluation every tenth of the steps."""
    layers = [layer for size in units for layer in (Dense(units=size), Activation(function="relu"))]
    return TaskSpec(
        name=name,
        title=f"Made up, {name}",
        data="digits",
        input_shape=(64,),
        model=(*layers, Dense(units=10)),
        batch_size=batch_size,
        steps=steps,
        eval_every=max(1, steps // 10),
        target=target,
        target_origin="made up",
    )


def spec(
    of: TaskSpec, optimizer: str = "adam", rate: float | None = None, seed: int = 0, **fields: Any
) -> RunSpec:
    """A canonical JAX run at the best rate, but for `fields`, `rule`, `kind` and `hyper`."""
    framework = fields.pop("framework", "jax")
    rule, hyper, kind = (
        fields.pop("rule", "canonical"),
        fields.pop("hyper", {}),
        fields.pop("kind", "constant"),
    )
    return RunSpec(
        task=of,
        optimizer=OptimizerSpec(name=optimizer, rule=rule, hyper=hyper),
        framework=framework,
        mode=MODES[framework][0],
        schedule=ScheduleSpec(
            kind=kind, base_lr=BEST_RATE.get(optimizer, 0.01) if rate is None else rate
        ),
        seed=seed,
        **fields,
    )


def loss_floor(run: RunSpec) -> float:
    """The last validation loss: log10 is a parabola over log10 of the rate around the best."""
    distance = np.log10(run.schedule.base_lr / BEST_RATE.get(run.optimizer.name, 0.01))
    varied = sum(
        zlib.crc32(f"{key}={value}".encode()) % 7
        for key, value in run.variations.items()
        if key != "draw"
    )
    return float(
        FLOOR.get(run.optimizer.name, 0.2) * 10 ** (0.4 * distance**2) * (1 + 0.1 * varied)
    )


def curve(run: RunSpec) -> Curve:
    """Validation loss from 2.3 to `loss_floor`, exponentially over a quarter of the steps times the
    floor's square root; the accuracy is 1 - loss / 2.3 * 0.9, so 0.1 at the start. Seeds differ by
    some percent."""
    rng = np.random.default_rng([run.seed, zlib.crc32(run.optimizer.name.encode())])
    steps, evaluated = (
        np.arange(run.task.steps),
        np.arange(0, run.task.steps + 1, run.task.eval_every),
    )
    floor, length = (
        loss_floor(run) * rng.lognormal(0, 0.05),
        run.task.steps * 0.25 * rng.lognormal(0, 0.2),
    )
    validation = floor + max(2.3 - floor, 0.0) * np.exp(-evaluated / length)
    train = 0.8 * floor + max(2.3 - floor, 0.0) * np.exp(-steps / length) * rng.lognormal(
        0, 0.1, steps.size
    )
    return Curve(train, evaluated, validation, np.clip(1 - 0.9 * validation / 2.3, 0, 1))


def verdict(run: RunSpec) -> Verdict:
    """Diverged above DIVERGES_ABOVE times the best rate; at exactly that rate, of seed 0."""
    factor = run.schedule.base_lr / BEST_RATE.get(run.optimizer.name, 0.01)
    lost = factor > DIVERGES_ABOVE * 1.001 or (factor > DIVERGES_ABOVE * 0.999 and run.seed == 0)
    return ("diverged", "the loss became inf") if lost else ("ok", "")


def load(output: Path, suites: dict[str, Iterable[RunSpec]], **options: Any) -> frame.Frames:
    """Frames of these suites, with outcomes by the rules above."""
    for name, runs in suites.items():
        make_results(
            output,
            name,
            list(runs),
            options.get("judge", verdict),
            title=name,
            curve=options.get("curve", curve),
        )
    return frame.load(output)


def optimizers(
    tasks: Sequence[TaskSpec],
    names: Sequence[str] = tuple(BEST_RATE),
    seeds: int = 5,
    factors: Sequence[float] = (0.1, 1.0, 10.0),
    frameworks: Sequence[str] = ("jax",),
) -> list[RunSpec]:
    """Every optimizer at some factors of its best rate."""
    return [
        spec(of, name, BEST_RATE.get(name, 0.01) * factor, seed, framework=framework)
        for of, framework, name, factor, seed in product(
            tasks, frameworks, names, factors, range(seeds)
        )
    ]
