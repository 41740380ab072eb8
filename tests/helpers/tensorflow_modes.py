"""Runs TensorFlow in each of its modes, for tests/adapters/test_modes_tensorflow.py.

`python tests/helpers/tensorflow_modes.py OUT.npz`, because one process holds one framework. Beside
the arrays, OUT.npz holds one text "said": JSON of everything that is not an array.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from gradrace.adapters.tensorflow import ADAPTER, MODES
from gradrace.layers import Activation, BatchNorm, Conv2D, Dense, Dropout, Flatten, MaxPool2D
from gradrace.spec import Regularization, RunSpec, TaskSpec
from layer_table import task
from runs import REGISTRY, opened, spec_of

STEPS, CUT = 12, 7
INPUTS = ("resident", "pipeline")

# A step with all that it may hold: fed masks, batch statistics, penalties, clipping, decay.
RICH = task(
    "rich",
    (
        *(Conv2D(filters=4, bias=False), BatchNorm(momentum=0.8), Activation(function="relu")),
        *(Dropout(rate=0.4), MaxPool2D(window=2), Flatten(), Dense(units=12)),
        *(Dropout(rate=0.2), Dense(units=10)),
    ),
    label_smoothing=0.1,
    regularization=Regularization(l1=1e-3, l2=1e-2, decay=0.1, clip_norm=1.0),
)
# Forward passes move these: batch statistics and the generators of dropout.
MOVING = task(
    "moving",
    (
        *(Flatten(), Dense(units=12, bias=False), BatchNorm(momentum=0.8)),
        *(Dropout(rate=0.3, masks="native"), Dense(units=10)),
    ),
)
CELLS = {
    "digits_mlp": ("adam", ("constant", "warmup_cosine")),
    "digits_cnn": ("momentum", ("constant",)),
    "digits_lstm": ("adam", ("constant",)),
}


def run_of(
    spec: TaskSpec, optimizer: str = "momentum", mode: str = "graph", **changes: Any
) -> RunSpec:
    """A short run in float64, under a constant rate, with anything replaced."""
    task = spec.model_copy(update={"steps": changes.pop("steps", STEPS)})
    return spec_of(task, optimizer, framework="tensorflow", mode=mode, **changes)


def outcome(session: Any) -> dict[str, np.ndarray]:
    """Of a session that has trained, which is then closed."""
    found = {"losses": session.losses(), "metrics": np.array(session.evaluate("validation"))}
    found |= {f"weight {name}": value for name, value in session.weights().items()}
    session.close()
    return found


def trained(run: RunSpec) -> dict[str, np.ndarray]:
    session = opened(run)
    session.train(range(0, CUT))
    session.train(range(CUT, run.steps))
    return outcome(session)


def named(prefix: str, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}|{name}": value for name, value in found.items()}


def modes() -> dict[str, np.ndarray]:
    """Each mode on whole tasks; a program traced under the first schedule serves the second."""
    arrays: dict[str, np.ndarray] = {}
    for name, (optimizer, kinds) in CELLS.items():
        for mode in MODES:
            for kind in kinds:
                run = run_of(REGISTRY.tasks[name], optimizer, mode, kind=kind)
                arrays |= named(f"mode|{name} {kind}|{mode}", trained(run))
    return arrays


def inputs() -> dict[str, np.ndarray]:
    """Each mode on the rich task, and one without masks, from both inputs."""
    arrays: dict[str, np.ndarray] = {}
    for mode in MODES:
        for given in INPUTS:
            arrays |= named(
                f"rich|{given}|{mode}",
                trained(run_of(RICH, "momentum", mode, input=given, kind="warmup_cosine")),
            )
            if mode != "xla":
                run = run_of(REGISTRY.tasks["digits_mlp"], "adam", mode, input=given)
                arrays |= named(f"plain|{given}|{mode}", trained(run))
    return arrays


def single() -> dict[str, np.ndarray]:
    """bfloat16: losses of a run, by mode and model."""
    cells = [("digits_mlp", mode) for mode in MODES] + [
        ("digits_cnn", "loop"),
        ("digits_lstm", "loop"),
    ]
    return {
        f"bfloat16|{name}|{mode}|{what}": value
        for name, mode in cells
        for what, value in trained(
            run_of(REGISTRY.tasks[name], "nesterov", mode, dtype="bfloat16", steps=40)
        ).items()
    }


def probed(run: RunSpec, said: dict[str, Any]) -> dict[str, np.ndarray]:
    """Trained with every part probed between the steps; traces of each call go to `said`."""
    session = opened(run)
    traces = [session.compilations()]

    def probe(steps: range) -> None:
        for part in session.parts():
            session.probe(part, steps)
            session.sync()
            traces.append(session.compilations())

    probe(range(0, CUT))
    forward = np.array(session._probes["forward"]._kept, dtype=np.float64)
    session.train(range(0, CUT))
    traces.append(session.compilations())
    probe(range(0, CUT))
    probe(range(CUT, run.steps))
    session.train(range(CUT, run.steps))
    traces.append(session.compilations())
    said[f"{run.mode} {run.input} {run.optimizer.name}"] = traces
    return {"forward": forward, **outcome(session)}


def probes(said: dict[str, Any]) -> dict[str, np.ndarray]:
    """With and without probing; momentum would move weights at a rate of 0."""
    arrays: dict[str, np.ndarray] = {}
    for mode, given, optimizer in (
        ("graph", "resident", "sgd"),
        ("graph", "pipeline", "momentum"),
        ("xla", "resident", "momentum"),
        ("loop", "resident", "sgd"),
        ("loop", "pipeline", "momentum"),
    ):
        run = run_of(MOVING, optimizer, mode, input=given, measure="timing", timing=_timing())
        arrays |= named(f"with|{mode}|{given}|{optimizer}", probed(run, said))
        arrays |= named(f"without|{mode}|{given}|{optimizer}", trained(run))
    return arrays


def _timing() -> Any:
    from gradrace.spec import TimingSpec

    return TimingSpec(warmup_steps=STEPS - 5, blocks=1, block_steps=1, breakdown=True)


def traces_by_length() -> dict[str, Sequence[int]]:
    """Traces after calls of 3, 3, 5 and 1 steps, in a session that traces for itself."""
    found: dict[str, Sequence[int]] = {}
    for mode in MODES:
        session = opened(
            run_of(REGISTRY.tasks["digits_mlp"], "sgd", mode, measure="timing", timing=_timing())
        )
        found[mode] = []
        for first, last in ((0, 3), (3, 6), (6, 11), (11, 12)):
            session.train(range(first, last))
            found[mode].append(session.compilations())
        session.close()
    return found


def refusals() -> dict[str, str | None]:
    """Whether the adapter supports what tests ask for."""
    asked = {
        "an unknown mode": {"mode": "eager"},
        "a GPU": {"device": "gpu"},
        **{f"{mode}": {"mode": mode} for mode in MODES},
        **{f"{mode} in bfloat16": {"mode": mode, "dtype": "bfloat16"} for mode in MODES},
        **{
            f"{name} in bfloat16": {"optimizer": name, "dtype": "bfloat16"}
            for name in ("adam", "lion", "adamax", "lamb")
        },
        **{
            f"native {name} in bfloat16": {"optimizer": name, "rule": "native", "dtype": "bfloat16"}
            for name in ("adamw", "nadam", "muon")
        },
    }
    wine = REGISTRY.tasks["wine_mlp"]
    runs = {name: run_of(wine, **changes) for name, changes in asked.items()}
    return {
        name: ADAPTER.supports(run, REGISTRY.optimizers[run.optimizer.name])
        for name, run in runs.items()
    }


def other_answers() -> dict[str, Any]:
    """Policy, memory, and the refusal of a probe."""
    import tensorflow as tf

    run = run_of(REGISTRY.tasks["digits_mlp"], mode="fit")
    session = opened(run)
    try:
        session.probe("forward", range(0, 1))
        refused = ""
    except ValueError as error:
        refused = str(error)
    return {
        "policy": ADAPTER.policy(run),
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "parts": {
            mode: opened(run_of(REGISTRY.tasks["digits_mlp"], mode=mode)).parts() for mode in MODES
        },
        "refused": refused,
        "peak": session.peak_bytes(),
    }


def ties_in_xla() -> dict[str, np.ndarray]:
    """The gradient of padded maximum pooling if largest values are equal, graph and XLA."""
    import tensorflow as tf

    x = tf.constant([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])

    def gradient() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            pooled = tf.nn.max_pool2d(tf.reshape(x, [1, 3, 3, 1]), 2, 2, "SAME")
        return tape.gradient(pooled, x)

    return {
        f"ties|{mode}": tf.function(gradient, jit_compile=mode == "xla")().numpy()
        for mode in ("graph", "xla")
    }


def main() -> None:
    """Everything, in one process."""
    # A pipeline that runs dry is a warning only, to Keras.
    warnings.simplefilter("error", UserWarning)
    said: dict[str, Any] = {"refusals": refusals(), "answers": other_answers(), "probed": {}}
    arrays = modes() | inputs() | single() | probes(said["probed"]) | ties_in_xla()
    said["traces"] = traces_by_length()
    np.savez(sys.argv[1], said=np.array(json.dumps(said)), **arrays)


if __name__ == "__main__":
    main()
