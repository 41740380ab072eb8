"""The cost of driving a framework through the harness: a Session beside a loop by hand, paired.

    python tests/benchmarks/overhead.py [--launches 6] [FRAMEWORK ...]

FRAMEWORK is torch, tensorflow, tensorflow-loop, jax-jit or jax-scan; all by default.
digits_mlp, batch 32, Adam, float32, one thread. A block is one epoch (36 steps) and the fetch of
its losses. Each launch is a fresh process in which both sides take turns in ABBA order; the ratio
of a launch is the median over its pairs, the interval is a t interval over launches. Nothing is
asserted; the figures are printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import Any

import numpy as np

PAIRS, EPOCH = 60, 36
CASES = {
    "torch": ("torch", "eager-fused"),
    "tensorflow": ("tensorflow", "graph"),
    "tensorflow-loop": ("tensorflow", "loop"),
    "jax-jit": ("jax", "jit"),
    "jax-scan": ("jax", "scan"),
}
Block = Callable[[int], Any]


def run_of(framework: str, mode: str, steps: int | None = None) -> Any:
    """digits_mlp with the library's own Adam."""
    from gradrace.registry import load_registry
    from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec

    task = load_registry().tasks["digits_mlp"]
    return RunSpec(
        task=task.model_copy(update={"steps": steps or task.steps}),
        optimizer=OptimizerSpec(name="adam", rule="native"),
        schedule=ScheduleSpec(kind="constant", base_lr=1e-3),
        framework=framework,
        mode=mode,
    )


def launch(case: str) -> None:
    """One process: prints the median ratio harness / by hand, and microseconds a step of both."""
    from gradrace.plan import initial_weights, make_plan
    from gradrace.registry import import_adapter, load_registry

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    framework, mode = CASES[case]
    registry = load_registry()
    run = run_of(framework, mode, EPOCH * (2 * PAIRS + 20))
    plan, start = make_plan(run, registry.optimizers["adam"]), initial_weights(run.task, 0)
    session = import_adapter(registry.frameworks[framework]).open(run, start, plan)
    x, y = plan.data.train.x.astype(np.float32), plan.data.train.y

    def ours(epoch: int) -> Any:
        session.train(range(epoch * EPOCH, (epoch + 1) * EPOCH))
        return session.losses()

    theirs = HAND_WRITTEN[case](start, x, y, plan.batches)
    counts, taken = [0, 0], [[], []]
    sides: list[Block] = [theirs, ours]
    for pair in range(-5, PAIRS):
        for side in (0, 1) if pair % 2 else (1, 0):
            began = time.perf_counter_ns()
            sides[side](counts[side])
            if pair >= 0:
                taken[side].append(time.perf_counter_ns() - began)
            counts[side] += 1
    hand, harness = np.array(taken, dtype=float) / EPOCH / 1000
    medians = {"hand_us": float(np.median(hand)), "harness_us": float(np.median(harness))}
    print(json.dumps({"ratio": float(np.median(harness / hand)), **medians}))


def torch_loop(start: Any, x: np.ndarray, y: np.ndarray, batches: np.ndarray) -> Block:
    """Pre-loaded tensors, nn.Sequential, fused Adam."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    layers = [nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    inputs, labels, order = torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(batches)

    def epoch(number: int) -> Any:
        losses = []
        for rows in order[number * EPOCH : (number + 1) * EPOCH]:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses).numpy()

    return epoch


def _tensorflow_step() -> Any:
    import keras
    import tensorflow as tf

    hidden = [keras.layers.Dense(128, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.layers.Input((64,)), *hidden, keras.layers.Dense(10)])
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)

    def step(a: Any, b: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(a, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=b, logits=logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return step


def tensorflow_steps(start: Any, x: np.ndarray, y: np.ndarray, batches: np.ndarray) -> Block:
    """One tf.function a step, batches gathered per epoch."""
    import tensorflow as tf

    step = tf.function(_tensorflow_step())
    inputs, labels = tf.constant(x), tf.constant(y)

    def epoch(number: int) -> Any:
        rows = batches[number * EPOCH : (number + 1) * EPOCH]
        taken = (tf.unstack(tf.gather(values, rows)) for values in (inputs, labels))
        return tf.stack([step(a, b) for a, b in zip(*taken, strict=True)]).numpy()

    return epoch


def tensorflow_loop(start: Any, x: np.ndarray, y: np.ndarray, batches: np.ndarray) -> Block:
    """One tf.function an epoch, with a loop over its batches in it."""
    import tensorflow as tf

    step = _tensorflow_step()
    inputs, labels = tf.constant(x), tf.constant(y)

    @tf.function
    def steps(rows: Any) -> Any:
        losses = tf.TensorArray(tf.float32, size=EPOCH)
        for t in tf.range(EPOCH):
            losses = losses.write(t, step(tf.gather(inputs, rows[t]), tf.gather(labels, rows[t])))
        return losses.stack()

    return lambda number: steps(tf.constant(batches[number * EPOCH : (number + 1) * EPOCH])).numpy()


def _jax_step() -> tuple[Any, Any]:
    import jax
    import optax

    optimizer = optax.adam(1e-3)

    def loss_of(p: Any, a: Any, b: Any) -> Any:
        h = jax.nn.relu(a @ p["0_dense.kernel"] + p["0_dense.bias"])
        h = jax.nn.relu(h @ p["2_dense.kernel"] + p["2_dense.bias"])
        logits = h @ p["4_dense.kernel"] + p["4_dense.bias"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, b).mean()

    def step(carry: Any, batch: Any) -> Any:
        p, state = carry
        loss, gradient = jax.value_and_grad(loss_of)(p, *batch)
        updates, state = optimizer.update(gradient, state, p)
        return (optax.apply_updates(p, updates), state), loss

    return optimizer, step


def jax_jit_loop(start: Any, x: np.ndarray, y: np.ndarray, batches: np.ndarray) -> Block:
    """One jitted, donating step at a time over batches that are on the device."""
    import jax
    import jax.numpy as jnp

    optimizer, step = _jax_step()
    p = {name: jnp.asarray(value, jnp.float32) for name, value in start.items()}
    carry = [(p, optimizer.init(p))]
    jitted = jax.jit(step, donate_argnums=0)
    targets = y.astype(np.int32)
    staged = [(jax.device_put(x[rows]), jax.device_put(targets[rows])) for rows in batches]

    def epoch(number: int) -> Any:
        losses = []
        for batch in staged[number * EPOCH : (number + 1) * EPOCH]:
            carry[0], loss = jitted(carry[0], batch)
            losses.append(loss)
        return np.array(jax.device_get(losses))

    return epoch


def jax_scan_loop(start: Any, x: np.ndarray, y: np.ndarray, batches: np.ndarray) -> Block:
    """lax.scan over the epoch's batches."""
    import jax
    import jax.numpy as jnp

    optimizer, step = _jax_step()
    p = {name: jnp.asarray(value, jnp.float32) for name, value in start.items()}
    carry = [(p, optimizer.init(p))]
    inputs, labels = jnp.asarray(x), jnp.asarray(y.astype(np.int32))
    jitted = jax.jit(
        lambda c, rows: jax.lax.scan(lambda c, r: step(c, (inputs[r], labels[r])), c, rows),
        donate_argnums=0,
    )

    def epoch(number: int) -> Any:
        carry[0], losses = jitted(carry[0], batches[number * EPOCH : (number + 1) * EPOCH])
        return np.asarray(losses)

    return epoch


HAND_WRITTEN = {
    "torch": torch_loop,
    "tensorflow": tensorflow_steps,
    "tensorflow-loop": tensorflow_loop,
    "jax-jit": jax_jit_loop,
    "jax-scan": jax_scan_loop,
}


def main() -> None:
    """Launches every case several times and prints ratio, interval and step times."""
    from gradrace.executor.environment import environment
    from scipy import stats

    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--launches", type=int, default=6)
    given = parser.parse_args()
    env = environment(run_of("torch", "eager-fused"))
    for case in given.cases:
        rows = []
        for _ in range(given.launches):
            command = [sys.executable, __file__, "--launch", case]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
        logs = np.log([row["ratio"] for row in rows])
        error = logs.std(ddof=1) / np.sqrt(len(logs)) if len(logs) > 1 else np.nan
        half = stats.t.ppf(0.975, max(1, len(logs) - 1)) * error
        low, middle, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
        hand, harness = (np.median([row[key] for row in rows]) for key in ("hand_us", "harness_us"))
        times = f"hand-written {hand:6.1f} us, harness {harness:6.1f} us a step"
        print(f"{case:15} ratio {middle:.3f} [{low:.3f}, {high:.3f}]  {times}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--launch"]:
        launch(sys.argv[2])
    else:
        main()
