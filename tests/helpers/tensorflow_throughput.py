"""Lets programs of TensorFlow serve many runs, for tests/adapters/test_throughput_tensorflow.py.

`python tests/helpers/tensorflow_throughput.py OUT.npz`, because one process holds one framework.
Beside the arrays, OUT.npz holds one text "said": JSON of everything that is not an array.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapters.tensorflow import ADAPTER, MODES
from gradrace.adapters.tensorflow import optimizer as optimizers
from gradrace.adapters.tensorflow import session as sessions
from gradrace.adapters.tensorflow.adjustable import NONE, adjustable
from gradrace.adapters.tensorflow.optimizer import Updater, traced_with
from gradrace.adapters.tensorflow.program import traced
from gradrace.binding import bind
from gradrace.optimizer import Optimizer
from gradrace.plan import initial_weights, make_plan
from gradrace.spec import OptimizerSpec, RunSpec
from gradrace.worker.train import train
from tensorflow_modes import MOVING, REGISTRY, RICH, STEPS, named, opened, outcome, run_of
from update_rules import SHAPES, gradients, start

MLP = REGISTRY.tasks["digits_mlp"]
REUSING = ("loop", "graph")
UPDATES = 10
# Configurations that have a program of their own to be compared with.
OWN = (0, 4, 8, 11)

Arrays = dict[str, np.ndarray]


def configurations(mode: str) -> Iterator[RunSpec]:
    """Of one shape; they differ in all that a sweep changes, the number of steps included."""
    kinds, steps = ("constant", "warmup_cosine", "step"), (12, 9, 15)
    for index in range(12):
        hyper = {
            "beta1": 0.5 + 0.04 * index,
            "beta2": 1.0 - 10.0 ** (-1.0 - index / 4),
            "epsilon": 10.0 ** (-4 - index / 2),
        }
        run = run_of(
            MLP,
            "adam",
            mode,
            dtype="float32",
            kind=kinds[index % 3],
            steps=steps[index % 3],
            seed=index,
        )
        schedule = run.schedule.model_copy(update={"base_lr": 1e-3 * (1 + index)})
        yield run.model_copy(
            update={"schedule": schedule, "optimizer": OptimizerSpec(name="adam", hyper=hyper)}
        )


def trained_in(run: RunSpec, bounds: Sequence[int]) -> tuple[Arrays, int]:
    """In calls between these bounds; and what was traced."""
    session = opened(run)
    for first, last in pairwise(bounds):
        session.train(range(first, last))
    session.evaluate("validation")
    compilations = session.compilations()
    return outcome(session), compilations


def sweep(said: dict[str, Any]) -> Arrays:
    """Every configuration by a program of its own, then all of them by one."""
    arrays: Arrays = {}
    for mode in REUSING:
        for position, run in enumerate(configurations(mode)):
            sessions._IDLE.clear()
            if position in OWN:
                arrays |= named(f"sweep|{mode}|{position}|own", trained_in(run, (0, run.steps))[0])
        sessions._IDLE.clear()
        said[f"sweep {mode}"] = []
        for position, run in enumerate(configurations(mode)):
            found, compilations = trained_in(run, (0, run.steps))
            arrays |= named(f"sweep|{mode}|{position}|shared", found)
            said[f"sweep {mode}"].append(compilations)
    return arrays


def chunks() -> Arrays:
    """One run in chunks of several sizes, after another run of its program, in a warm process."""
    arrays: Arrays = {}
    for mode in REUSING:
        for name, task, optimizer in (("mlp", MLP, "adam"), ("moving", MOVING, "momentum")):
            run = run_of(task, optimizer, mode, dtype="float32", kind="warmup_cosine")
            for label, eval_every in (("first", 5), ("single", 1), ("whole", STEPS), ("again", 5)):
                spec = run.task.model_copy(update={"eval_every": eval_every})
                session = opened(run.model_copy(update={"task": spec}))
                arrays[f"chunks|{mode}|{name}|{label}"] = train(session, spec).curve.train_losses
                session.close()
                other = run.model_copy(update={"seed": 7, "task": spec})
                trained_in(other, (0, 2))
    return arrays


def changed(optimizer: Optimizer) -> dict[str, float]:
    """Other hyperparameters: decays half as far from 1, all else half as much again. 0 stays 0."""
    other = {}
    for name, hyper in optimizer.hyper.items():
        decay = 0.5 < hyper.default < hyper.high == 1.0
        other[name] = (
            1.0 - 1.5 * (1.0 - hyper.default) if decay else min(1.5 * hyper.default, hyper.high)
        )
    return other


def updated(optimizer: Optimizer, dtype: str, adjusted: bool) -> Arrays | None:
    """After updates with changed hyperparameters, by a step traced with them as constants, or with
    the defaults.

    None where that step cannot follow the change.
    """
    run = run_of(MLP, optimizer.name, "loop", dtype=dtype)
    later = run.model_copy(
        update={"optimizer": OptimizerSpec(name=optimizer.name, hyper=changed(optimizer))}
    )
    rates = np.geomspace(0.02, 0.01, UPDATES)
    first, then = (bind(each, optimizer, rates) for each in (run if adjusted else later, later))
    keras.config.set_floatx(dtype)
    variables = [keras.Variable(value, dtype=dtype) for value in start().values()]
    with mock.patch.object(optimizers, "adjustable", adjustable if adjusted else lambda *_: NONE):
        updater = Updater(run, first, variables)
        updater.restart(first)
        step = traced(
            updater.apply, [[tf.TensorSpec(variable.shape, dtype) for variable in variables]]
        )
        if traced_with(run, first) != traced_with(later, then) or not updater.fits(then):
            return None
        updater.restart(then)
        for given in gradients()[:UPDATES]:
            step(*(tf.constant(given[name], dtype) for name in SHAPES))
    return {
        name: np.array(variable.value) for name, variable in zip(SHAPES, variables, strict=True)
    }


def updates(said: dict[str, Any]) -> Arrays:
    """Of every optimizer that TensorFlow binds canonically."""
    arrays: Arrays = {}
    said["optimizers"] = []
    for name, optimizer in REGISTRY.optimizers.items():
        if "tensorflow" in optimizer.bindings and "tensorflow" not in optimizer.differs:
            said["optimizers"].append(name)
            for dtype in ("float32", "float64"):
                for adjusted in (True, False):
                    found = updated(optimizer, dtype, adjusted)
                    if found is not None:
                        arrays |= named(f"updates|{name}|{dtype}|{adjusted}", found)
    return arrays


class Choosy(keras.optimizers.SGD):
    """Takes its arguments in every way that a step cannot follow: `plain` it can."""

    def __init__(
        self,
        learning_rate: Any,
        plain: float,
        steering: float,
        typed: float,
        used_early: float,
        unseen: float,
    ) -> None:
        super().__init__(learning_rate)
        self.plain, self.steering, self.typed, self.used_early = plain, steering, typed, used_early
        self._half = used_early / 2.0
        self._hidden = lambda: unseen

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        factor = self.plain * (1.0 if self.steering > 0.5 else 3.0) * self._half * self._hidden()
        if isinstance(self.typed, float):
            factor = factor * self.typed
        self.assign_sub(
            variable, gradient * (factor * keras.ops.cast(learning_rate, variable.dtype))
        )


def choosy(said: dict[str, Any]) -> None:
    """Which of Choosy's arguments may change, and the weight after a step of runs that differ."""
    import gradrace.optimizer as o

    names = ("plain", "steering", "typed", "used_early", "unseen")
    optimizer = Optimizer(
        "choosy",
        "Choosy",
        "",
        0.1,
        {name: o.Hyper(0.75, "") for name in names},
        {"tensorflow": o.Binding(lambda: Choosy)},
    )
    said["choosy"] = {
        "may change": sorted(adjustable(Choosy, dict.fromkeys(names, 0.75)).arguments),
        "moves": {},
    }
    before = run_of(MLP, "sgd", "loop")
    weights = initial_weights(MLP, 0)
    changes = [
        {},
        *({name: 0.9} for name in names),
        {"steering": 0.25},
        {"steering": 0.3, "plain": 0.5},
    ]
    for hyper in changes * 2:
        run = before.model_copy(update={"optimizer": OptimizerSpec(name="choosy", hyper=hyper)})
        session = ADAPTER.open(run, weights, make_plan(run, optimizer))
        name = next(iter(weights))
        gradient = session.gradients(0)[name]
        session.train(range(1))
        moved = (weights[name] - session.weights()[name]) / run.schedule.base_lr
        share = float((moved * gradient).sum() / (gradient**2).sum())
        said["choosy"]["moves"].setdefault(json.dumps(hyper), []).append(
            [share, session.compilations()]
        )
        session.close()


def slopes(said: dict[str, Any]) -> Arrays:
    """gradients() against central differences in every mode; training with and without it."""
    arrays: Arrays = {}
    for mode in MODES:
        for name, task in (("rich", RICH), ("moving", MOVING)):
            if mode in REUSING or task is MOVING:
                given = "pipeline" if (mode, name) == ("loop", "rich") else "resident"
                run = run_of(task, "momentum", mode, input=given)
                arrays |= named(f"disturbed|{mode}|{name}", disturbed(run, said))
                arrays |= named(f"alone|{mode}|{name}", trained_in(run, (0, 5, STEPS))[0])
                arrays |= named(f"slopes|{mode}|{name}", slope(run_of(task, "sgd", mode)))
    return arrays


def disturbed(run: RunSpec, said: dict[str, Any]) -> Arrays:
    """Trained, with gradients asked for before, between and of steps to come."""
    session = opened(run)
    traces = []
    session.train(range(5))
    traces.append(session.compilations())
    for step in (0, 5, STEPS - 1, 2):
        session.gradients(step)
        traces.append(session.compilations())
    session.train(range(5, STEPS))
    session.gradients(STEPS - 1)
    session.evaluate("validation")
    said.setdefault("gradient traces", {})[f"{run.mode}|{run.task.name}"] = traces
    return outcome(session)


def slope(run: RunSpec) -> Arrays:
    """The first loss's derivative in random directions: by gradients(0), by central differences."""
    inputs, at = make_plan(run, REGISTRY.optimizers["sgd"]), initial_weights(run.task, run.seed)
    session = ADAPTER.open(run, at, inputs)
    found = session.gradients(0)
    session.close()
    rng = np.random.default_rng(3)
    derivatives: list[float] = []
    differences: list[float] = []
    for _ in range(2):
        along = {name: rng.normal(size=value.shape) for name, value in found.items()}
        derivatives.append(sum(float((found[name] * along[name]).sum()) for name in along))
        losses = [
            first_loss(run, inputs, {k: v + h * along.get(k, 0.0) for k, v in at.items()})
            for h in (1e-6, -1e-6)
        ]
        differences.append((losses[0] - losses[1]) / 2e-6)
    return {"derivatives": np.array(derivatives), "differences": np.array(differences)}


def first_loss(run: RunSpec, inputs: Any, weights: Any) -> float:
    session = ADAPTER.open(run, weights, inputs)
    session.train(range(1))
    loss = float(session.losses()[0])
    session.close()
    return loss


def main() -> None:
    """Everything, in one process."""
    said: dict[str, Any] = {}
    arrays = sweep(said) | chunks() | updates(said) | slopes(said)
    choosy(said)
    np.savez(sys.argv[1], said=np.array(json.dumps(said)), **arrays)


if __name__ == "__main__":
    main()
