"""The cost of a report of many runs: stores made-up runs, then times `gradrace report` on them.

    python tests/benchmarks/report_scale.py FOLDER [--runs 10000] [--repeat 2]
    python tests/benchmarks/report_scale.py FOLDER --runs 3018 --cells 6 --seeds 500

The second has few cells with many seeds.

The runs are written by the same Store that a sweep writes with: 5 tasks, 3 frameworks, 8
optimizers, 5 seeds, as many learning rates as it takes, and 3 launches of timing a cell. A FOLDER
that holds them already is used as it is. The first report also gathers what is stored; later ones
find that done. Prints wall and CPU seconds and the peak of the resident memory of each (the largest
process of it), and what was written."""

from __future__ import annotations

import itertools
import math
import os
import resource
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gradrace.machine import this_machine
from gradrace.record import Blocks, Curve, RunRecord, RunResult, Summary
from gradrace.registry import load_registry
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec, TimingSpec, digest
from gradrace.sweep.store import PlanFile, Store

SUITE = "many"
TASKS = ("digits_mlp", "digits_cnn", "digits_rnn", "wine_mlp", "breast_cancer_logreg")
MODES = {"torch": ("eager", "eager"), "tensorflow": ("graph", "graph"), "jax": ("scan", "jit")}
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "nadam")
SEEDS, LAUNCHES, STEPS, EVALUATIONS = 5, 3, 200, 10


def main() -> None:
    """Makes the runs if they are missing, and reports."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    every = "tasks x frameworks x optimizers; all of them by default"
    for name, default, said in (
        ("--runs", 10_000, None),
        ("--repeat", 2, None),
        ("--cells", 120, every),
        ("--seeds", SEEDS, None),
    ):
        parser.add_argument(name, type=int, default=default, help=said)
    given = parser.parse_args()
    if not (given.folder / "runs" / SUITE / "plan.json").exists():
        began = time.perf_counter()
        _store(given.folder, given.runs, given.cells, given.seeds)
        print(f"stored {given.runs:,} runs in {time.perf_counter() - began:.0f} s")
    shutil.rmtree(given.folder / "html", ignore_errors=True)
    for number in range(given.repeat):
        print(f"report {number + 1}: {_reported(given.folder)}")
    page = given.folder / "html" / f"suite-{SUITE}.html"
    sizes = [file.stat().st_size for file in page.parent.rglob("*") if file.is_file()]
    whole = f"{len(sizes):,} files, {sum(sizes) / 2**20:.0f} MiB in all"
    print(f"{page.name} {page.stat().st_size / 2**20:.1f} MiB; {whole}")


def _reported(folder: Path) -> str:
    """The peak is that of the largest child so far: all of them are reports of the same runs."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "gradrace", "report", "--output", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = after.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20
    return f"{wall:.1f} s wall, {cpu:.1f} s CPU, peak {peak:.0f} MiB, {os.cpu_count()} cores"


def _store(folder: Path, runs: int, cells: int, seeds: int) -> None:
    specs = list(itertools.islice(_specs(runs, cells, seeds), runs))
    digests = tuple(digest(spec, {"made_up": "1"}, {}) for spec in specs)
    asked = {"title": "Many runs", "question": "How large may a report grow?"}
    plan = PlanFile(suite=SUITE, digests=digests, **asked)
    with Store(folder, SUITE) as store:
        for spec, key in zip(specs, digests, strict=True):
            store.write(_result(spec, key))
        store.write_plan(plan)


def _specs(runs: int, most: int, seeds: int) -> Iterator[RunSpec]:
    known, short = load_registry().tasks, {"steps": STEPS, "eval_every": STEPS // EVALUATIONS}
    tasks = [known[name].model_copy(update=short) for name in TASKS]
    cells = list(itertools.product(tasks, MODES, OPTIMIZERS))[:most]
    timing = TimingSpec(warmup_steps=10, blocks=20, block_steps=10)
    for cell, launch in itertools.product(cells, range(LAUNCHES)):
        yield _spec(*cell, "native", 0.01, measure="timing", launch=launch, timing=timing)
    rates = np.logspace(-4, 1, max(1, math.ceil((runs / len(cells) - LAUNCHES) / seeds)))
    for cell, rate, seed in itertools.product(cells, rates, range(seeds)):
        yield _spec(*cell, "canonical", float(f"{rate:.3g}"), seed=seed)


def _spec(
    task: TaskSpec, framework: str, name: str, rule: str, rate: float, **fields: Any
) -> RunSpec:
    return RunSpec(
        task=task,
        framework=framework,
        mode=MODES[framework][int(rule == "native")],
        optimizer=OptimizerSpec(name=name, rule=rule),
        schedule=ScheduleSpec(kind="constant", base_lr=rate),
        **fields,
    )


def _result(spec: RunSpec, key: str) -> RunResult:
    rng = np.random.default_rng(int(key[:8], 16))
    trained = spec.measure == "convergence"
    diverged = trained and spec.schedule.base_lr > 3.0
    curve = _curve(spec.task, spec.schedule.base_lr, diverged, rng) if trained else None
    wall = np.rint(rng.lognormal(0, 0.05, 20) * 3e6).astype(np.int64)
    zeros = np.zeros(20, dtype=np.int64)
    blocks = Blocks(np.full(20, 10), wall, wall, zeros, zeros, np.full(20, "step"))
    record = RunRecord(
        digest=key,
        spec=spec,
        status="diverged" if diverged else "ok",
        reason="the loss became inf" if diverged else "",
        summary=_summary(spec.task, curve, diverged) if curve else None,
        import_s=1.0,
        setup_s=0.1,
        first_call_s=0.2,
        state_bytes=1024,
        started_at="2026-01-01T00:00:00+00:00",
        wall_s=0.5,
        versions={"made_up": "1"},
        sources={f"file{i}.py": key for i in range(12)},
        machine=this_machine(),
        cores=(0,),
    )
    return RunResult(record, curve, blocks if spec.timing else None)


def _curve(task: TaskSpec, rate: float, diverged: bool, rng: np.random.Generator) -> Curve:
    pull = 6.0 / (1.0 + abs(math.log10(rate / 0.03)))
    at, evaluated = np.arange(task.steps), np.arange(0, task.steps + 1, task.eval_every)
    fall = 2.3 * np.exp(-pull * at / task.steps) * rng.lognormal(0, 0.2, at.size)
    losses = 2.3 * np.exp(-0.9 * pull * evaluated / task.steps)
    losses = losses * rng.lognormal(0, 0.05, evaluated.size)
    if diverged:
        fall, evaluated = np.append(2.3 * 1.3 ** np.arange(60), np.inf), evaluated[:3]
        losses = 2.3 * 9.0 ** np.arange(3)
    return Curve(fall, evaluated, losses, np.clip(1 - 0.4 * losses, 0, 1))


def _summary(task: TaskSpec, curve: Curve, diverged: bool) -> Summary:
    if diverged:
        return Summary(steps_done=len(curve.train_losses))
    losses, metrics = curve.validation_losses, curve.validation_metrics
    reached = np.flatnonzero(metrics >= task.target)
    return Summary(
        steps_done=task.steps,
        final_train_loss=float(curve.train_losses[-1]),
        final_validation_loss=float(losses[-1]),
        final_validation_metric=float(metrics[-1]),
        best_validation_loss=float(losses.min()),
        best_validation_metric=float(metrics.max()),
        test_loss=float(losses[-1]),
        test_metric=float(metrics[-1]),
        steps_to_target=int(curve.eval_steps[reached[0]]) if len(reached) else None,
    )


if __name__ == "__main__":
    main()
