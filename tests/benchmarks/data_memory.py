"""How much memory a worker takes for a large data set, and how often it copies the data.

    python tests/benchmarks/data_memory.py [--rows 200000] [--features 100] [--json FILE] [CASE ...]

A case is FRAMEWORK:MODE, with +pipeline for the input pipeline, +float64 for data stored as float64
and a run in float32; CASES has those of the default. Mode `population` trains 4 lanes. Features lie
in .npy files, 70% of the rows for training, and are read by memory map, as a user's own data are.
Each case is a fresh process. It trains for one epoch, with two evaluations, on 1% of the rows, then
on all, then on the few again. Its private memory (RssAnon: resident pages that no file has, so none
of the map) is read from outside every millisecond.

first: after the few rows. peak: the highest while it trains on all; held: at the end of that, the
session still open; left: after the session on another data set. Copies are the growth beyond first
over the bytes of all features as the run has them. An evaluation's outputs are in them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CASES = (
    "numpy:reference",
    "torch:eager-fused",
    "torch:eager-fused+pipeline",
    "torch:population",
    "tensorflow:loop",
    "tensorflow:loop+pipeline",
    "tensorflow:graph",
    "tensorflow:fit",
    "tensorflow:population",
    "jax:scan",
    "jax:scan+pipeline",
    "jax:jit",
    "jax:population",
    "torch:eager-fused+float64",
    "tensorflow:loop+float64",
    "jax:scan+float64",
)
LANES, BATCH, CLASSES, HIDDEN = 4, 256, 10, 64
SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
# Of a process: the framework is imported; then each data set was trained on and evaluated.
PHASES = ("imported", "first", "held", "left")
MIB, PAGE = 2**20, os.sysconf("SC_PAGE_SIZE")


class Case(NamedTuple):
    """See the module."""

    framework: str
    mode: str
    marks: tuple[str, ...]

    @classmethod
    def parsed(cls, text: str) -> Case:
        """From FRAMEWORK:MODE+MARK."""
        name, *marks = text.split("+")
        framework, _, mode = name.partition(":")
        return cls(framework, mode, tuple(marks))


class Taken(NamedTuple):
    """Private bytes, see the module; size: of the features."""

    imported: int
    first: int
    peak: int
    held: int
    left: int
    size: int

    def copies(self, name: str) -> float:
        """peak, held or left."""
        return float((getattr(self, name) - self.first) / self.size)


def write(folder: Path, rows: int, features: int, dtype: str, name: str) -> None:
    """The splits of a data set; slowly enough that the writer itself stays small."""
    rng = np.random.default_rng(1)
    for split, share in SHARES.items():
        count = int(share * rows)
        place = folder / f"{name}-{split}.npy"
        x = np.lib.format.open_memmap(place, "w+", dtype, (count, features))
        for first in range(0, count, 10_000):
            part = x[first : first + 10_000]
            part[:] = rng.standard_normal(part.shape)
        x.flush()
        np.save(folder / f"{name}-{split}-y.npy", rng.integers(0, CLASSES, count))


def loaded(folder: Path, name: str) -> Any:
    """The data set, read by memory map."""
    from gradrace.data import Data, Split

    def read(file: str) -> np.ndarray:
        found: np.ndarray = np.load(folder / f"{file}.npy", mmap_mode="r", allow_pickle=False)
        return found

    splits = {split: Split(read(f"{name}-{split}"), read(f"{name}-{split}-y")) for split in SHARES}
    return Data(name, splits, CLASSES, "drawn")


def run_of(case: Case, name: str, features: int, rows: int) -> Any:
    """One epoch of momentum on a perceptron of one hidden layer, evaluated at both ends."""
    from gradrace.layers import Activation, Dense
    from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec

    steps = max(1, int(SHARES["train"] * rows) // BATCH)
    task = TaskSpec(
        name=name,
        title=name,
        data=name,
        input_shape=(features,),
        model=(Dense(units=HIDDEN), Activation(function="relu"), Dense(units=CLASSES)),
        batch_size=BATCH,
        steps=steps,
        eval_every=steps,
        target=1.0,
        target_origin="none",
    )
    return RunSpec(
        task=task,
        optimizer=OptimizerSpec(name="momentum", hyper={"momentum": 0.9}),
        schedule=ScheduleSpec(kind="constant", base_lr=1e-3),
        framework=case.framework,
        mode=case.mode,
        dtype="float64" if case.framework == "numpy" else "float32",
        lanes=LANES if case.mode == "population" else 1,
        input="pipeline" if "pipeline" in case.marks else "resident",
    )


def child(case: Case, folder: Path, features: int, sizes: dict[str, int]) -> None:
    """Trains on these data sets one after the other; says what is done, and waits for an answer."""
    from gradrace import data
    from gradrace.data import Loader
    from gradrace.registry import import_adapter, load_registry

    registry = load_registry()
    adapter = import_adapter(registry.frameworks[case.framework])
    for name, rows in sizes.items():
        own = partial(loaded, folder, name)
        data.SETS[name] = Loader(int(SHARES["train"] * rows), own)
    optimizer, phases = registry.optimizers["momentum"], iter(PHASES)
    _say(next(phases))
    for name, rows in sizes.items():
        _train(adapter, optimizer, run_of(case, name, features, rows), partial(_say, next(phases)))


def _train(adapter: Any, optimizer: Any, run: Any, done: Callable[[], None]) -> None:
    from gradrace.plan import initial_weights, make_plan
    from gradrace.spec import POPULATION
    from gradrace.worker.train import LaneTask, OneLane, train_lanes

    lanes = [run.model_copy(update={"seed": seed}) for seed in range(run.lanes)]
    inputs = [make_plan(lane, optimizer) for lane in lanes]
    starts = [initial_weights(lane.task, lane.seed) for lane in lanes]
    if run.mode == POPULATION:
        population = adapter.open_population(lanes, starts, inputs, run.lanes)
    else:
        population = OneLane(adapter.open(run, starts[0], inputs[0]))
    found = train_lanes(population, [LaneTask(lane.task) for lane in lanes])
    assert all(each.status == "ok" for each in found), found[0].reason
    done()
    population.close()


def _say(phase: str) -> None:
    print(phase, flush=True)
    sys.stdin.readline()


class Watch:
    """The private memory of another process, read every millisecond."""

    def __init__(self, process: int) -> None:
        self._statm, self._ended = Path(f"/proc/{process}/statm"), threading.Event()
        self.highest = 0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def now(self) -> int:
        """Resident bytes that belong to no file: RssAnon of proc_pid_statm(5)."""
        _, resident, of_files, *_ = self._statm.read_text().split()
        return (int(resident) - int(of_files)) * PAGE

    def _look(self) -> None:
        while not self._ended.wait(0.001):
            try:
                self.highest = max(self.highest, self.now())
            except (OSError, ValueError):
                return

    def end(self) -> None:
        """Stops reading."""
        self._ended.set()
        self._thread.join()


def measured(case: Case, rows: int, features: int) -> Taken:
    """The memory of a fresh process. RuntimeError if it fails."""
    stored = "float64" if case.framework == "numpy" or "float64" in case.marks else "float32"
    used = np.dtype("float64" if case.framework == "numpy" else "float32")
    sizes = {"small": rows // 100, "large": rows, "other": rows // 100}
    with tempfile.TemporaryDirectory() as folder:
        for name, count in sizes.items():
            write(Path(folder), count, features, stored, name)
        found = _watched(case, Path(folder), features, sizes)
    return Taken(**found, size=rows * features * used.itemsize)


def _watched(case: Case, folder: Path, features: int, sizes: dict[str, int]) -> dict[str, int]:
    from gradrace.executor.environment import environment

    env = environment(run_of(case, "large", features, sizes["large"]))
    given = json.dumps([case, str(folder), features, sizes])
    command = [sys.executable, __file__, "--child", given]
    found: dict[str, int] = {}
    with subprocess.Popen(command, env=env, stdin=-1, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdin and process.stdout and process.stderr
        watch = Watch(process.pid)
        for line in process.stdout:
            if (phase := line.strip()) in PHASES:
                found[phase] = watch.now()
                if phase == "held":
                    found["peak"] = max(watch.highest, found[phase])
                watch.highest = 0
                print(file=process.stdin, flush=True)
        errors = process.stderr.read()
        watch.end()
    if process.returncode or not {*PHASES} <= {*found}:
        raise RuntimeError(f"{case} ended with {process.returncode}:\n{errors[-3000:]}")
    return found


def line(name: str, found: Taken) -> str:
    """A row of the table."""
    sizes = "".join(f"{value / MIB:9.0f}" for value in found[:-1])
    copies = "".join(f"{found.copies(each):7.2f}" for each in ("peak", "held", "left"))
    return f"{name:30}{sizes}   {copies}"


def main() -> None:
    """Measures each case and prints its row."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--child", help=SUPPRESS)
    given = parser.parse_args()
    if given.child:
        case, folder, features, sizes = json.loads(given.child)
        return child(Case(*case), Path(folder), features, sizes)
    print(f"{given.rows} x {given.features}; MiB, then growth in copies of the features")
    heads = ("imported", "first", "peak", "held", "left")
    print(f"{'case':30}{''.join(f'{head:>9}' for head in heads)}      peak   held   left")
    found = {}
    for name in given.cases or CASES:
        found[name] = measured(Case.parsed(name), given.rows, given.features)
        print(line(name, found[name]), flush=True)
    if given.json:
        rows = {name: each._asdict() for name, each in found.items()}
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
