"""The cost of driving a framework through the harness: a Session beside a loop by hand, paired.

    python tests/benchmarks/overhead.py [--launches 6] [--pairs 60] [--device gpu] [--json FILE]
        [CASE ...]

CASES below has the cases and by_hand.py their loops. Those whose names end in "+" have the same
session beside another loop; by default all others of the frameworks that are installed are taken.
A case that fails is left out, and the exit code is 1.
digits_mlp, batch 32, Adam, float32, one thread. A block is one epoch (36 steps) and the fetch of
its losses. Each launch is a fresh process, on a CPU pinned to one core, in which both sides take
turns in ABBA order; first they must give the same losses. A launch's ratio is the median over its
pairs, the interval is a t interval over launches. "CPU" is the same ratio of the process's CPU
time, which other work on the machine moves less; "calls" are Python's function calls a step, which
nothing moves. Nothing is asserted about speed."""

from __future__ import annotations

import cProfile
import importlib.metadata
import json
import os
import pstats
import subprocess
import sys
import time
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import by_hand
import numpy as np

PAIRS, EPOCH, WARM_UP = 60, 36, 5
RATIOS = ("ratio", "cpu_ratio")
TIMES = ("hand_us", "harness_us")
CALLS = ("hand_calls", "harness_calls")
PACKAGES = ("torch", "tensorflow", "keras", "jax", "flax", "optax", "numpy")


class Case(NamedTuple):
    """A session's framework and mode, and the loop beside it."""

    framework: str
    mode: str
    by_hand: Callable[[by_hand.Work], by_hand.Loop]


CASES = {
    "torch-eager": Case("torch", "eager", by_hand.torch_eager),
    "torch-fused": Case("torch", "eager-fused", by_hand.torch_fused),
    "tensorflow-graph": Case("tensorflow", "graph", by_hand.tensorflow_concrete),
    "tensorflow-graph+": Case("tensorflow", "graph", by_hand.tensorflow_function),
    "tensorflow-loop": Case("tensorflow", "loop", by_hand.tensorflow_loop),
    "jax-jit": Case("jax", "jit", by_hand.jax_indexed),
    "jax-jit+": Case("jax", "jit", by_hand.jax_staged),
    "jax-scan": Case("jax", "scan", by_hand.jax_scan),
    "jax-nnx": Case("jax", "nnx", by_hand.jax_nnx),
    "jax-nnx+": Case("jax", "nnx", by_hand.jax_nnx_cached),
}


def run_of(framework: str, mode: str, device: str, steps: int) -> Any:
    """digits_mlp with the library's own Adam."""
    from gradrace.registry import load_registry
    from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec

    task = load_registry().tasks["digits_mlp"]
    return RunSpec(
        task=task.model_copy(update={"steps": steps}),
        optimizer=OptimizerSpec(name="adam", rule="native"),
        schedule=ScheduleSpec(kind="constant", base_lr=by_hand.RATE),
        framework=framework,
        mode=mode,
        device=device,
    )


def launch(case: Case, pairs: int, device: str) -> dict[str, float]:
    """One process's: median ratios harness / by hand; microseconds and calls a step of both."""
    if device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    sides = started(case, pairs + WARM_UP + 1, device)
    wall, cpu = np.empty((2, pairs)), np.empty((2, pairs))
    for pair in range(-WARM_UP, pairs):
        for side in (0, 1) if pair % 2 else (1, 0):
            began = time.perf_counter_ns(), time.process_time_ns()
            sides[side](1 + pair + WARM_UP)
            if pair >= 0:
                wall[side, pair] = time.perf_counter_ns() - began[0]
                cpu[side, pair] = time.process_time_ns() - began[1]
    ratios = [float(np.median(taken[1] / taken[0])) for taken in (wall, cpu)]
    times = [float(np.median(side)) / EPOCH / 1000 for side in wall]
    counts = [calls(side, pairs + WARM_UP + 1) for side in sides]
    return dict(zip((*RATIOS, *TIMES, *CALLS), (*ratios, *times, *counts), strict=True))


def calls(side: by_hand.Loop, number: int) -> float:
    """Python's function calls a step in this block."""
    profile = cProfile.Profile()
    profile.runcall(side, number)
    return float(pstats.Stats(profile).total_calls) / EPOCH  # type: ignore[attr-defined]


def started(case: Case, blocks: int, device: str) -> Sequence[by_hand.Loop]:
    """The loop by hand and the session, ready for blocks 1 to `blocks`; SystemExit if their losses
    in block 0 differ."""
    sides = _sides(case, blocks, device)
    first = [np.asarray(side(0), dtype=float) for side in sides]
    if not np.allclose(*first, rtol=1e-3):
        raise SystemExit(f"the two sides train differently: {first[0][:3]} and {first[1][:3]}")
    return sides


def _sides(case: Case, blocks: int, device: str) -> Sequence[by_hand.Loop]:
    from gradrace.plan import initial_weights, make_plan
    from gradrace.registry import import_adapter, load_registry

    registry = load_registry()
    run = run_of(case.framework, case.mode, device, EPOCH * (blocks + 1))
    inputs = make_plan(run, registry.optimizers["adam"])
    start = initial_weights(run.task, 0)
    session = import_adapter(registry.frameworks[case.framework]).open(run, start, inputs)
    train = inputs.data.train
    rows = inputs.batches.reshape(blocks + 1, EPOCH, -1)
    work = by_hand.Work(start, train.x.astype(np.float32), train.y, rows, device)

    def ours(number: int) -> Any:
        session.train(range(number * EPOCH, (number + 1) * EPOCH))
        return session.losses()

    return case.by_hand(work), ours


class Failed(Exception):
    """A launch did not end well."""


def launched(name: str, given: Namespace) -> dict[str, float]:
    """What a fresh process measures. Failed with the end of what it said."""
    from gradrace.executor.environment import environment

    case = CASES[name]
    env = environment(run_of(case.framework, case.mode, given.device, EPOCH))
    command = [sys.executable, __file__, "--device", given.device, "--pairs", str(given.pairs)]
    done = subprocess.run([*command, "--launch", name], env=env, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{name} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean and its 95% t interval; nan for one launch."""
    from scipy import stats

    logs = np.log(ratios)
    error = logs.std(ddof=1) / np.sqrt(len(logs)) if len(logs) > 1 else np.nan
    half = stats.t.ppf(0.975, max(1, len(logs) - 1)) * error
    middle, low, high = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    return float(middle), float(low), float(high)


def surroundings(device: str) -> dict[str, Any]:
    """Machine, versions, time and load: what the figures hold for."""
    from gradrace.machine import this_machine
    from gradrace.machine.place import machine_type

    installed = [name for name in PACKAGES if find_spec(name)]
    return {
        "machine": this_machine().model_dump(),
        "type": machine_type("gpu" if device == "gpu" else "cpu"),
        "device": device,
        "versions": {name: _version(name) for name in installed},
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return importlib.metadata.version(f"{name}-cpu")


def row(rows: Sequence[dict[str, float]]) -> str:
    """One case's line of the table."""
    cells = []
    for key in RATIOS:
        middle, low, high = interval([each[key] for each in rows])
        cells.append(f"{middle:.3f} [{low:.3f}, {high:.3f}]")
    for pair in (TIMES, CALLS):
        hand, harness = (np.median([each[key] for each in rows]) for key in pair)
        cells.append(f"{hand:.1f} / {harness:.1f}")
    return f"{cells[0]:22} {cells[1]:22} {cells[2]:18} {cells[3]}"


def main() -> None:
    """Launches every case several times and prints ratio, interval and step times."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--launches", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--launch", choices=list(CASES), help=SUPPRESS)
    given = parser.parse_args()
    if given.launch:
        print(json.dumps(launch(CASES[given.launch], given.pairs, given.device)))
        return
    unknown = [name for name in given.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; the cases are {', '.join(CASES)}")
    cases = given.cases or [name for name in CASES if name[-1] != "+"]
    cases = [name for name in cases if given.cases or find_spec(CASES[name].framework)]
    around = surroundings(given.device)
    load = ", ".join(f"{value:.1f}" for value in around["load"])
    print(f"{around['type']}; load {load}; {given.launches} launches of {given.pairs} pairs")
    print(", ".join(f"{name} {version}" for name, version in around["versions"].items()))
    print(f"{'case':18}{'harness / by hand':22} {'CPU':22} {'us, hand / harness':18} calls a step")
    found: dict[str, list[dict[str, float]]] = {}
    for name in cases:
        try:
            found[name] = [launched(name, given) for _ in range(given.launches)]
        except Failed as error:
            print(error, file=sys.stderr)
            continue
        print(f"{name:18}{row(found[name])}", flush=True)
    if given.json:
        given.json.write_text(json.dumps({**around, **summed(found), "pairs": given.pairs}))
    sys.exit(len(found) < len(cases))


def summed(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """For --json: every launch, and each case's ratio with its interval, null of one launch."""
    middles = {name: interval([each["ratio"] for each in rows]) for name, rows in found.items()}
    keys = ("ratio", "low", "high")
    ratios = {
        name: {key: None if np.isnan(value) else value for key, value in zip(keys, of, strict=True)}
        for name, of in middles.items()
    }
    return {"ratios": ratios, "launches": found}


if __name__ == "__main__":
    main()
