"""Drives the JAX adapter as sweeps do, and prints the results as JSON.

`python tests/helpers/throughput_jax.py [SECTION …]`, because one process holds one framework.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optax
from gradrace.adapters.jax import ADAPTER, modes
from gradrace.adapters.jax import optimizer as optimizers
from gradrace.binding import Bound
from gradrace.layers import Dense
from gradrace.spec import EarlyStopping, OptimizerSpec, Regularization, RunSpec, ScheduleSpec
from gradrace.worker.train import train
from modes_jax import MODES, REGISTRY, SMALL, opened, run_of

Saved = Iterator[tuple[str, Any]]
STEPS, CHUNK = 70, 30
TINY = REGISTRY.tasks["digits_mlp"].model_copy(
    update={"model": (Dense(units=10),), "steps": STEPS, "eval_every": CHUNK, "target": 1.0}
)
COMPILED: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: (
        COMPILED.append(event) if event.endswith("backend_compile_duration") else None
    )
)


def sweep_run(
    rate: float = 0.01,
    seed: int = 0,
    kind: str = "constant",
    optimizer: str = "adam",
    hyper: dict[str, float] | None = None,
    params: dict[str, float] | None = None,
    **task: Any,
) -> RunSpec:
    """A short float32 run of TINY in the loop."""
    schedule = ScheduleSpec(kind=kind, base_lr=rate, params=params or {})
    chosen = OptimizerSpec(name=optimizer, hyper=hyper or {})
    fields = {"framework": "jax", "mode": "scan", "seed": seed}
    return RunSpec(task=TINY.model_copy(update=task), optimizer=chosen, schedule=schedule, **fields)


def curve_of(run: RunSpec) -> list[float]:
    """The training losses of a run through the harness's own loop."""
    session = opened(run)
    losses = train(session, run.task, schedule=run.schedule).curve.train_losses
    session.close()
    return list(losses)


def compilations() -> Saved:
    """`compiled|<what>`: programs that XLA was asked for: by a first run, by others of its shape,
    and by what has another.
    """

    def compiled(*runs: RunSpec) -> int:
        before = len(COMPILED)
        for run in runs:
            assert len(curve_of(run)) == run.task.steps, run.id
        return len(COMPILED) - before

    yield "compiled|first", compiled(sweep_run())
    session = opened(sweep_run())
    yield "compiled|loops before", session._programs.step._cache_size()
    rates, seeds = (0.001, 0.003, 0.03), (1, 2)
    others = [
        sweep_run(rate, seed, hyper={"beta1": b1, "epsilon": 10 * rate * b1})
        for rate in rates
        for seed in seeds
        for b1 in (0.5, 0.95)
    ]
    yield "compiled|others", [len(others), compiled(*others)]
    step = sweep_run(kind="step", params={"every": 20.0})
    kinds = [sweep_run(kind="cosine"), sweep_run(kind="warmup_cosine"), step]
    yield "compiled|schedules", compiled(*kinds)
    # Waits for one evaluation without a gain that no run can make, so that rates change in the
    # middle.
    plateau = sweep_run(kind="plateau", params={"patience": 1.0, "min_delta": 9.0, "factor": 0.5})
    applied = train(opened(plateau), plateau.task, schedule=plateau.schedule).curve.learning_rates
    yield "compiled|plateau", [len(set(applied.tolist())), compiled(plateau)]
    stopping = sweep_run(early_stopping=EarlyStopping(patience=9))
    yield "compiled|longer", compiled(sweep_run(steps=2 * CHUNK + STEPS), stopping)
    yield "compiled|loops after", session._programs.step._cache_size()
    for hyper in ({"beta2": 0.9}, {"beta2": 0.99}):
        other, step = opened(sweep_run(hyper=hyper)), 0
        found = len(COMPILED)
        while step < STEPS:
            # As a diagnosed run goes.
            other.gradients(step)
            other.train(range(step, step + 1))
            other.train(range(step + 1, min(step + CHUNK, STEPS)))
            other.losses()
            step += CHUNK
        yield f"compiled|diagnosed {hyper['beta2']}", len(COMPILED) - found


def curves() -> Saved:
    """`curve|<how>`: one run's losses in its own programs, in others', after them, in chunks."""
    run = sweep_run(
        0.02, seed=3, kind="warmup_cosine", optimizer="rmsprop_momentum", hyper={"rho": 0.8}
    )
    yield "curve|alone", curve_of(run)
    lengths = {"again": CHUNK, "in chunks of 7": 7, "whole": STEPS, "one by one": 1}
    for how, every in lengths.items():
        task = run.task.model_copy(update={"eval_every": every})
        yield f"curve|{how}", curve_of(run.model_copy(update={"task": task}))
    modes.kept.cache_clear()
    other = run.model_copy(
        update={"optimizer": OptimizerSpec(name="rmsprop_momentum", hyper={"rho": 0.99}), "seed": 1}
    )
    yield "curve|another's", curve_of(other)
    yield "curve|in another's program", curve_of(run)
    paused = opened(run)
    for step in range(0, STEPS, 10):
        paused.train(range(step, step + 10))
        paused.gradients(min(step + 10, STEPS - 1))
        paused.evaluate("validation")
    yield "curve|diagnosed", list(paused.losses())


def constants() -> Saved:
    """`constants|<optimizer>|<dtype>`: the largest relative distance of ten steps' parameters with
    hyperparameters as arguments from those with constants; how many expressions are arguments;
    which real arguments remained constants."""
    rng = np.random.default_rng(0)
    start = {"a.kernel": rng.normal(size=(6, 4)), "a.bias": rng.normal(size=4)}
    gradients = [
        {name: rng.normal(size=value.shape) for name, value in start.items()} for _ in range(10)
    ]
    rates = 0.01 * np.linspace(1.0, 0.5, 10)
    honest = optimizers.open_recipe
    for name, optimizer in REGISTRY.optimizers.items():
        for dtype in ("float32", "float64"):
            run = run_of(TINY, "scan", name, dtype=dtype) if "jax" in optimizer.bindings else None
            if run is None or ADAPTER.supports(run, optimizer):
                continue
            recipes = []

            def kept(*given: Any) -> Any:
                recipes.append(honest(*given))  # noqa: B023
                return recipes[-1]  # noqa: B023

            ends = []
            for chosen in (kept, lambda bound, *_: optimizers.recipe(bound)):
                optimizers.open_recipe = chosen
                ends.append(ADAPTER.updates(run, optimizer, start, gradients, rates))
            optimizers.open_recipe = honest
            distances = [
                np.abs(one[key] - other[key]).max() / np.abs(other[key]).max()
                for one, other in zip(*ends, strict=True)
                for key in start
            ]
            left = [argument for argument, kind, _ in recipes[0].arguments if kind is float]
            yield f"constants|{name}|{dtype}", [float(max(distances)), len(recipes[0].free), left]


def fallback() -> Saved:
    """`fallback|…`: of a factory that decides by one of its arguments, hashes another and computes
    with a third: what remains constant, and that values of both kinds arrive."""

    def make(
        learning_rate: Any, scale: float, gate: float, key: float, pair: tuple[float, int]
    ) -> Any:
        table = {0.25: 3.0}
        factor = table[key] * pair[0] ** pair[1] * (1.0 - scale) if gate > 0.5 else 0.0
        return optax.chain(optax.scale(factor), optax.scale_by_learning_rate(learning_rate))

    shapes = (("w", (3,)),)

    def bound(scale: float, gate: float = 1.0) -> Bound:
        arguments = {"scale": scale, "gate": gate, "key": 0.25, "pair": (0.5, 2)}
        return Bound(make, arguments, np.full(4, 0.1), {}, {}, 0.1)

    tried = [0]
    traced = optimizers._traced

    def counted(*given: Any) -> Any:
        tried[0] += 1
        return traced(*given)

    optimizers._traced = counted
    for scale, gate in ((0.5, 1.0), (0.75, 1.0), (0.75, 0.0)):
        recipe = optimizers.open_recipe(bound(scale, gate), shapes, "float32")
        given = optimizers.numbers(bound(scale, gate), recipe, "float32")
        update = jax.jit(recipe.update)
        first = given._replace(of_step=given.of_step[0])
        state = recipe.init({"w": np.zeros(3, np.float32)}, first)
        moved = update({"w": np.ones(3, np.float32)}, state, {"w": np.zeros(3, np.float32)}, first)[
            0
        ]["w"]
        constant = sorted(name for name, kind, _ in recipe.arguments if kind is float)
        yield f"fallback|{scale} {gate}", [constant, float(moved[0]), tried[0]]
    optimizers._traced = traced


def gradients() -> Saved:
    """`gradients|<mode>|…`: how far those of a step lie from what plain SGD of that step takes,
    with masks, running statistics and penalties; what they are clipped to; whether training and the
    count of programs feel them."""
    task = SMALL.model_copy(update={"regularization": Regularization(l1=1e-3, l2=1e-2)})
    for mode in MODES:
        run = run_of(task, mode, "sgd")
        plain, asked = opened(run), opened(run)
        for session in (plain, asked):
            session.train(range(0, 3))
        before, count = asked.weights(), asked.compilations()
        asked.gradients(7)
        found = asked.gradients(3)
        yield f"gradients|{mode}|compilations", asked.compilations() - count
        for session in (plain, asked):
            session.train(range(3, 4))
        after, rate = asked.weights(), asked._inputs.learning_rates[3]
        trainable = [p.name for built in asked._layers for p in built.parameters if p.trainable]
        yield f"gradients|{mode}|names", [list(found), trainable]
        moved = {n: (before[n] - after[n]) / rate for n in trainable}
        apart = [np.abs(moved[n] - found[n]).max() / np.abs(found[n]).max() for n in trainable]
        yield f"gradients|{mode}|distance", float(max(apart))
        weights = asked.weights()
        same = [np.array_equal(value, weights[name]) for name, value in plain.weights().items()]
        untouched = all(same) and np.array_equal(plain.losses(), asked.losses())
        yield f"gradients|{mode}|untouched", untouched
        clipped = task.model_copy(
            update={"regularization": Regularization(l1=1e-3, l2=1e-2, clip_norm=1e-3)}
        )
        other = opened(run_of(clipped, mode, "sgd"))
        norms = [_norm(opened(run).gradients(0)), _norm(other.gradients(0))]
        yield f"gradients|{mode}|norms", norms
        low = opened(run_of(SMALL, mode, "adam", dtype="bfloat16", input="pipeline")).gradients(5)
        yield f"gradients|{mode}|bfloat16", sorted({str(value.dtype) for value in low.values()})


def _norm(arrays: Any) -> float:
    return float(np.sqrt(sum(np.square(value).sum() for value in arrays.values())))


SECTIONS: tuple[Callable[[], Saved], ...] = (compilations, curves, fallback, gradients, constants)


def main() -> None:
    """Prints everything, or the named sections, as JSON."""
    wanted = sys.argv[1:] or [section.__name__ for section in SECTIONS]
    found = dict(pair for section in SECTIONS if section.__name__ in wanted for pair in section())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
