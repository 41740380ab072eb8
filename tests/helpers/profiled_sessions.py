"""Profiles sessions of one framework, plain and with planted faults; prints all of it as JSON.

`python tests/helpers/profiled_sessions.py FRAMEWORK FOLDER`: one process holds one framework.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from runs import REGISTRY, opened, spec_of

STEPS = 20
MODES = {"jax": ("jit", "scan"), "tensorflow": ("graph", "loop", "xla"), "numpy": ("reference",)}
BATCH = np.ones((256, 64), np.float32)
Fault = Callable[[int], Any]


def profiler(framework: str) -> Any:
    """The module, loaded from its file as a side's process does: under no name."""
    file = REGISTRY.frameworks[framework].file.parent / "profiling.py"
    spec = importlib.util.spec_from_file_location("profiling", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def faults(framework: str) -> dict[str, Fault]:
    """What is done after each step, by name."""
    if framework == "jax":
        import jax
        import jax.numpy as jnp

        held, double = jnp.asarray(BATCH), jax.jit(lambda a: a * 2)
        kind = jax.ShapeDtypeStruct(held.shape, held.dtype)
        back = jax.jit(lambda a: jax.pure_callback(lambda v: np.asarray(v) * 2, kind, a))
        return {
            "wait": lambda step: double(held).block_until_ready(),
            "read": lambda step: np.asarray(double(held)),
            "compilation": lambda step: None if step % 10 else double(np.ones(step + 1)),
            "copy": lambda step: jnp.copy(held),
            "callback": lambda step: back(held),
            "transfer": lambda step: jax.device_put(BATCH),
        }
    if framework == "tensorflow":
        import tensorflow as tf

        held = tf.constant(BATCH)
        double = tf.function(lambda a: a * 2)
        back = tf.function(lambda a: tf.numpy_function(lambda v: v, [a], tf.float32))
        return {
            "wait": lambda step: float(tf.reduce_sum(double(held))),
            "read": lambda step: double(held).numpy(),
            "callback": lambda step: back(held),
            "compilation": lambda step: None if step % 10 else double(np.ones(step + 1)),
            "copy": lambda step: tf.constant(BATCH),
        }
    return {"copy": lambda step: BATCH.copy()}


def finished(value: Any) -> None:
    """Waits for an array of JAX; others are there at once."""
    getattr(value, "block_until_ready", int)()


def profiled(module: Any, session: Any, first: int, folder: Path, fault: Fault | None) -> Any:
    """The profile of STEPS steps from this one on, with the seconds of such a step."""
    taken: list[float] = []
    last: list[Any] = []

    def timed(do: Callable[..., None]) -> Callable[..., None]:
        def call(*steps: range) -> None:
            began = time.perf_counter()
            do(*steps)
            taken.append((time.perf_counter() - began) / STEPS)

        return call

    def train(steps: range) -> None:
        if fault is None:
            session.train(steps)
        for step in steps if fault else ():
            session.train(range(step, step + 1))
            last[:] = [fault(step)]

    def sync() -> None:
        session.sync()
        for value in last:
            finished(value)

    folder.mkdir(parents=True)
    steps = range(first, first + STEPS)
    found = module.profile(timed(train), timed(sync), steps, folder)
    return {**found, "wall_s": sum(taken)}


def main(framework: str, folder: Path) -> dict[str, Any]:
    """By mode, and by fault in the first mode."""
    module, found = profiler(framework), {}
    for mode in MODES[framework]:
        task = REGISTRY.tasks["digits_mlp"].model_copy(update={"steps": 400})
        dtype = "float64" if framework == "numpy" else "float32"
        session = opened(spec_of(task, "adam", framework=framework, mode=mode, dtype=dtype))
        steps = iter(range(0, 400, STEPS))
        for _ in range(3):
            first = next(steps)
            session.train(range(first, first + STEPS))
            session.sync()
        found[mode] = profiled(module, session, next(steps), folder / mode, None)
        for name, fault in faults(framework).items() if mode == MODES[framework][0] else ():
            # Programs that the fault calls at every step are compiled before.
            finished(fault(1000))
            first = next(steps)
            found[name] = profiled(module, session, first, folder / name, fault)
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2])), allow_nan=False))
