"""What a finished run costs the driver in a population, and what many runs cost a reader.

    python tests/benchmarks/population_store.py [--runs 1024] [--steps 20]

First made-up results: message, check and storage, and then reading them, together and in a folder
each. Then a real sweep of the NumPy adapter, of which only the driver's own CPU time counts: its
workers are other processes. CPU time, so that other work on the machine counts little."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from gradrace.executor import PlannedRun
from gradrace.machine import this_machine
from gradrace.record import Curve, RunRecord, RunResult, Summary
from gradrace.registry import load_registry
from gradrace.results import frame
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec, digest
from gradrace.suite import make_suite
from gradrace.sweep import Options, execute, prepare
from gradrace.sweep.store import PlanFile, Store, stored
from gradrace.worker.packed import packed, unpacked

VERSIONS = {"jax": "0.10.2", "optax": "0.2.8", "flax": "0.12.0", "numpy": "2.4.6", "python": "3.12"}
SOURCES = {f"file{number}.py": f"{number:024x}" for number in range(20)}

T = TypeVar("T")


def main() -> None:
    """Prints microseconds of CPU time a run."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    results = [_result(number, given.steps) for number in range(given.runs)]
    with tempfile.TemporaryDirectory() as folder:
        _made_up(Path(folder), results)
        _swept(Path(folder), given.runs, given.steps)


def _timed(what: str, runs: int, work: Callable[[], T]) -> T:
    began = time.process_time()
    found = work()
    print(f"{what:<58} {(time.process_time() - began) / runs * 1e6:8.0f} us a run")
    return found


def _made_up(output: Path, results: Sequence[RunResult]) -> None:
    count = len(results)
    runs = [PlannedRun(r.record.spec, r.record.digest, {}, SOURCES, Path()) for r in results]
    # The first use of each library is not a run's.
    _written(output / "first", results[:2], Store.write_many)
    _written(output / "first", results[:2], _write_each)
    frame.load(output / "first")
    text = _timed("worker: packed, to JSON", count, lambda: json.dumps(packed(results)))
    again = _timed("driver: from JSON, unpacked", count, lambda: unpacked(json.loads(text), runs))
    for name, write in (("together", Store.write_many), ("alone", _write_each)):
        _timed(
            f"driver: stored {name}", count, lambda w=write, n=name: _written(output / n, again, w)
        )
    for name in ("together", "alone"):
        place = output / name
        _timed(
            f"reader: records {name}",
            count,
            lambda p=place: stored(p, "many").sound([run.digest for run in runs]),
        )
        _timed(f"reader: frames {name}", count, lambda p=place: frame.load(p))
    for name in ("together", "alone"):
        files = [file for file in (output / name).rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        print(f"{f'stored {name}':<58} {size / count:8.0f} bytes a run in {len(files)} files")


def _write_each(store: Store, results: Sequence[RunResult]) -> None:
    for result in results:
        store.write(result)


def _written(output: Path, results: Sequence[RunResult], write: Any) -> None:
    digests = tuple(result.record.digest for result in results)
    with Store(output, "many") as store:
        store.write_plan(PlanFile(suite="many", title="Many", question="", digests=digests))
        write(store, results)


def _swept(output: Path, runs: int, steps: int) -> None:
    content = {
        **{"title": "Many", "tasks": ["digits_mlp"], "frameworks": ["numpy"], "seeds": runs},
        **{"optimizers": ["sgd"], "dtype": "float64", "steps": steps, "eval_every": steps // 2},
        "timing": False,
    }
    for lanes in (runs, "off"):
        options = Options(output=output / f"swept{lanes}", population=lanes, timeout_s=3600)
        sweep = prepare(make_suite("many", content), options=options)
        began = time.perf_counter()
        said = f"driver: a sweep of the NumPy adapter, --population {lanes}"
        outcome = _timed(said, runs, lambda sweep=sweep: execute(sweep))
        wall = time.perf_counter() - began
        print(f"  {dict(outcome.counts)}, {wall:.1f} s of wall clock", file=sys.stderr)


def _result(number: int, steps: int) -> RunResult:
    short = {"steps": steps, "eval_every": steps // 2}
    spec = RunSpec(
        **{"framework": "jax", "mode": "population", "lanes": 1024, "seed": number},
        task=load_registry().tasks["digits_mlp"].model_copy(update=short),
        optimizer=OptimizerSpec(name="adam", hyper={"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
        schedule=ScheduleSpec(kind="constant", base_lr=1e-4 * (1 + number)),
    )
    rng, evaluated = np.random.default_rng(number), np.arange(0, steps + 1, steps // 2)
    losses, metrics = rng.random(len(evaluated)), rng.random(len(evaluated))
    curve = Curve(rng.random(steps), evaluated, losses, metrics)
    last, best = float(losses[-1]), float(losses.min())
    summary = Summary(
        **{"steps_done": steps, "final_train_loss": float(curve.train_losses[-1])},
        **{"final_validation_loss": last, "best_validation_loss": best, "test_loss": last},
        **{"final_validation_metric": float(metrics[-1]), "test_metric": float(metrics[-1])},
        **{"best_validation_metric": float(metrics.max()), "steps_to_target": steps},
    )
    record = RunRecord(
        **{"digest": digest(spec, VERSIONS, SOURCES), "spec": spec, "status": "ok"},
        **{"lanes": 1024, "summary": summary, "import_s": 1.0, "setup_s": 0.1, "wall_s": 0.5},
        **{"state_bytes": 4096, "started_at": "2026-01-01T00:00:00+00:00"},
        **{"versions": VERSIONS, "sources": SOURCES, "machine": this_machine(), "cores": (0, 1)},
    )
    return RunResult(record, curve)


if __name__ == "__main__":
    main()
