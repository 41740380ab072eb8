"""Drives the JAX adapter in every mode and saves the results.

`python tests/helpers/modes_jax.py OUT.npz`, because one process holds one framework.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import layer_table
import numpy as np
from gradrace import data
from gradrace.adapters.jax import MODES, batches
from gradrace.layers import BatchNorm, Dense, Dropout
from gradrace.plan import initial_weights
from gradrace.spec import RunSpec, TaskSpec
from runs import REGISTRY, opened, spec_of

STEPS = 12
TASKS = ("digits_mlp", "digits_cnn", "digits_lstm")
MANY_LAYERS = (
    "everything on a perceptron",
    "dropout between flattening and dense",
    "recurrent layers on top of each other",
    "a class at every step of a sequence of words",
    "rosenbrock",
)
Saved = Iterator[tuple[str, Any]]
OWN = {spec.title: spec for spec in layer_table.TASKS}
# Masks by the harness and running statistics, and little to compile.
SMALL = layer_table.task(
    "small",
    (Dense(units=16, bias=False), BatchNorm(), Dropout(rate=0.4), Dense(units=10)),
    input_shape=(64,),
)


def run_of(
    task: TaskSpec, mode: str, optimizer: str = "momentum", kind: str = "constant", **more: Any
) -> RunSpec:
    """STEPS steps in float64, unless `more` says otherwise."""
    short = task.model_copy(update={"steps": STEPS})
    return spec_of(short, optimizer, kind=kind, framework="jax", mode=mode, **more)


def trained(session: Any) -> dict[str, Any]:
    """loss, end|<parameter>, metrics and state of all steps in two calls."""
    session.train(range(0, 5))
    session.train(range(5, STEPS))
    found = {
        "loss": session.losses(),
        "metrics": np.array(session.evaluate("validation")),
        "state": session.state_bytes(),
    }
    return found | {f"end|{name}": value for name, value in session.weights().items()}


def same_numbers() -> Saved:
    """`same|<mode>|<cell>|...` of jit and nnx: all kinds of layers, dropout, clipping, rates."""
    runs = [(title, OWN[title], "momentum", "warmup_cosine") for title in MANY_LAYERS]
    runs += [
        (name, REGISTRY.tasks[name], "adam", kind)
        for name, kind in (("digits_mlp", "constant"), *((name, "warmup_cosine") for name in TASKS))
    ]
    # Corrected in a buffer and in an argument; evaluated at other parameters than it is trained at.
    runs += [
        (name, REGISTRY.tasks["digits_mlp"], name, "warmup_cosine")
        for name in ("amsgrad", "schedule_free_adamw")
    ]
    for title, task, optimizer, kind in runs:
        for mode in ("jit", "nnx"):
            found = trained(opened(run_of(task, mode, optimizer, kind)))
            yield from (
                (f"same|{mode}|{title} {kind}|{key}", value) for key, value in found.items()
            )


def pipelines() -> Saved:
    """`input|<mode>|<resident, pipeline or windows>|...`; windows: few masks fit on the device."""
    for mode in MODES:
        for given in ("resident", "pipeline"):
            found = trained(opened(run_of(SMALL, mode, input=given)))
            yield from ((f"input|{mode}|{given}|{key}", value) for key, value in found.items())
        honest, batches._STAGED_BYTES = batches._STAGED_BYTES, 16 * 16 * 4
        found = trained(opened(run_of(SMALL, mode)))
        batches._STAGED_BYTES = honest
        yield from ((f"input|{mode}|windows|{key}", value) for key, value in found.items())


def bfloat16() -> Saved:
    """`bfloat16|<mode>|<task>|...` of Adam; dtypes is what its parameters and state are kept as."""
    for mode in MODES:
        named = [REGISTRY.tasks[name] for name in (TASKS if mode == "jit" else TASKS[:1])]
        for task in (*named, SMALL):
            session = opened(run_of(task, mode, "adam", dtype="bfloat16"))
            found = trained(session)
            programs, held = session._programs, session._held
            kept = [
                *programs.arrays(held).items(),
                *enumerate(jax.tree.leaves(programs.state(held))),
            ]
            found["dtypes"] = sorted(
                {
                    str(value.dtype)
                    for name, value in kept
                    if value.ndim and "moving" not in str(name)
                }
            )
            yield from (
                (f"bfloat16|{mode}|{task.title}|{key}", value) for key, value in found.items()
            )


def probes() -> Saved:
    """`probe|<mode>|<optimizer>|...`: what is trained beside probes of every part, and without."""
    for mode in MODES:
        for optimizer in ("sgd", "adam") if mode == "jit" else ("sgd",):
            run = run_of(SMALL, mode, optimizer, dtype="float32")
            plain, probed = opened(run), opened(run)
            for part in ("update", "forward", "gradient", "update"):
                probed.probe(part, range(0, 4))
                if part != "update":
                    first = np.concatenate([np.atleast_1d(loss) for loss in probed._probed])
                    yield f"probe|{mode}|{optimizer}|{part}", first
            probed.sync()
            start = {
                name: value.astype(np.float32)
                for name, value in initial_weights(run.task, 0).items()
            }
            yield (
                f"probe|{mode}|{optimizer}|untouched",
                all(np.array_equal(v, start[n]) for n, v in probed.weights().items()),
            )
            yield f"probe|{mode}|{optimizer}|unreported", len(probed.losses()) == 0
            for name, session in (("plain", plain), ("probed", probed)):
                session.train(range(0, 5))
                if name == "probed":
                    session.probe("update", range(2, 6))
                session.train(range(5, STEPS))
                found = {
                    "loss": session.losses(),
                    **{f"end|{n}": v for n, v in session.weights().items()},
                }
                yield from (
                    (f"probe|{mode}|{optimizer}|{name}|{key}", value)
                    for key, value in found.items()
                )


def compilations() -> Saved:
    """`compiled|<mode>`: programs before the first step, then after every call of 1, 3, 3, 2 and 3
    steps, and after each part was probed for 3 steps, twice."""
    for mode in MODES:
        run = run_of(SMALL, mode, "adam", dtype="float32")
        timing = {"measure": "timing", "timing": {"warmup_steps": 2, "blocks": 3, "block_steps": 3}}
        session = opened(RunSpec.model_validate({**run.to_json(), **timing}))
        counts, first = [session.compilations()], 0
        for steps in (1, 3, 3, 2, 3):
            session.train(range(first, first + steps))
            first += steps
            counts.append(session.compilations())
        for part in (*session.parts(), *session.parts()):
            session.probe(part, range(0, 3))
            session.sync()
            counts.append(session.compilations())
        yield f"compiled|{mode}", counts


def rates() -> Saved:
    """`rates|<mode>|loss` of a corrected optimizer whose learning rates are halved midway."""
    for mode in MODES:
        session = opened(run_of(SMALL, mode, "adamax"))
        session.train(range(0, 6))
        table = session._inputs.learning_rates.copy()
        table[6:] *= 0.5
        session.set_learning_rates(table)
        session.train(range(6, STEPS))
        yield f"rates|{mode}|loss", session.losses()


SECTIONS: tuple[Callable[[], Saved], ...] = (
    same_numbers,
    pipelines,
    bfloat16,
    probes,
    compilations,
    rates,
)


def main() -> None:
    """Saves everything under its name."""
    load = data.load
    data.load = lambda name: (
        layer_table.made_up(name) if name in ("words", "numbers", "binary") else load(name)
    )
    wanted = sys.argv[2:] or [section.__name__ for section in SECTIONS]
    np.savez(
        sys.argv[1],
        **dict(pair for section in SECTIONS if section.__name__ in wanted for pair in section()),
    )


if __name__ == "__main__":
    main()
