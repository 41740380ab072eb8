"""Made-up results, written through the store for tests of reports and comparisons."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gradrace.layers import Dense
from gradrace.record import Blocks, Curve, Machine, Memory, RunRecord, RunResult, Status, Summary
from gradrace.results.frame import Frames
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec, TimingSpec, digest
from gradrace.statistics import arrivals
from gradrace.sweep.store import PlanFile, Store
from gradrace.worker.train import finite

MODES = {"torch": ("eager", "eager"), "tensorflow": ("graph", "graph"), "jax": ("scan", "jit")}
VERSIONS = {
    "torch": {"torch": "2.13.0"},
    "tensorflow": {"tensorflow": "2.21.0", "keras": "3.15.0"},
    "jax": {"jax": "0.10.2", "optax": "0.2.8"},
}
MACHINE = Machine(
    **{"system": "Linux 6.1", "processor": "Test Processor 3000", "python": "3.12.1"},
    **{"logical_cores": 2, "memory_bytes": 8 * 2**30},
)
STEP_US = {"torch": 400.0, "tensorflow": 500.0, "jax": 100.0}
# What a part takes of a step; backward is then 0.45 of it, the remainder 0.05, and the parts cover
# 0.95.
PART_OF_STEP = {"forward": 0.3, "gradient": 0.75, "update": 0.2}
LAUNCH_FACTOR = 1.0
# All time over all steps, in units of p25, of the blocks below.
MEAN_OF_P25 = 1.085
MEMORY = Memory(imported_bytes=300 * 2**20, peak_bytes=320 * 2**20, method="made up")

Verdict = tuple[Status, str]
Judge = Callable[[RunSpec], Verdict]


def fine(spec: RunSpec) -> Verdict:
    """Every run ends ok."""
    return "ok", ""


def make_task(name: str, steps: int = 60, target: float = 0.8, batch_size: int = 16) -> TaskSpec:
    """The smallest task that is valid."""
    return TaskSpec(
        **{"name": name, "title": f"Made up, {name}", "data": "digits", "input_shape": (4,)},
        **{"model": (Dense(units=2),), "batch_size": batch_size, "steps": steps},
        **{"eval_every": max(1, steps // 10), "target": target, "target_origin": "made up"},
    )


def make_specs(
    tasks: Iterable[str | TaskSpec] = ("mlp", "cnn"),
    frameworks: Iterable[str] = ("torch", "tensorflow", "jax"),
    optimizers: Iterable[str] = ("sgd", "adam"),
    seeds: Iterable[int] = range(3),
    rates: Sequence[float] = (0.001,),
    schedules: Iterable[str] = ("constant",),
    launches: int = 1,
    breakdown: bool = False,
    memory: bool = False,
    native: bool = False,
) -> list[RunSpec]:
    """Convergence runs (canonical) of the product, then timing runs of the same settings of task,
    framework and optimizer, then their memory runs. native: the library's own class in its default
    mode is timed instead."""
    full = [make_task(task) if isinstance(task, str) else task for task in tasks]
    cells = [(t, f, o) for t in full for f in frameworks for o in optimizers]
    canonical = {"hyper": {"beta": 0.9}}
    trained = [
        RunSpec(
            **{"task": t, "framework": f, "mode": MODES[f][0], "seed": seed},
            optimizer=OptimizerSpec(name=o, **canonical),
            schedule=ScheduleSpec(kind=kind, base_lr=rate),
        )
        for (t, f, o), kind, rate, seed in itertools.product(cells, schedules, rates, seeds)
    ]
    own = {"rule": "native"} if native else canonical
    clock = TimingSpec(warmup_steps=10, blocks=20, block_steps=10, breakdown=breakdown)
    timed = [
        RunSpec(
            **{"measure": "timing", "timing": clock, "launch": launch},
            **{"task": t, "framework": f, "mode": MODES[f][int(native)]},
            optimizer=OptimizerSpec(name=o, **own),
            schedule=ScheduleSpec(kind="constant", base_lr=rates[0]),
        )
        for t, f, o in cells
        for launch in range(launches)
    ]
    alone = {"measure": "memory", "timing": None}
    measured = [spec.model_copy(update=alone) for spec in timed if memory and spec.launch == 0]
    return trained + timed + measured


def make_results(
    output: Path,
    suite: str = "demo",
    specs: Sequence[RunSpec] | None = None,
    judge: Judge = fine,
    title: str = "A made-up suite",
    question: str = "Does the report hold together?",
    unrun: int = 0,
    curve: Callable[[RunSpec], Curve] | None = None,
    fields: Callable[[RunSpec], dict[str, Any]] = lambda spec: {},
) -> PlanFile:
    """Writes a suite with a record for every spec but the last `unrun`, and returns its plan.

    `judge` gives each run its status and reason; `curve` replaces the made-up learning curve;
    `fields` replace those of each record.
    """
    specs = make_specs() if specs is None else specs
    digests = [digest(spec, VERSIONS[spec.framework], {"source": "0"}) for spec in specs]
    plan = PlanFile(schema=1, suite=suite, title=title, question=question, digests=tuple(digests))
    with Store(output, suite) as store:
        store.write_plan(plan)
        for number, (spec, key) in enumerate(zip(specs, digests, strict=True)):
            if number < len(specs) - unrun:
                made = (curve or make_curve)(spec)
                result = make_result(spec, key, *judge(spec), made, number)
                record = result.record.model_copy(update=fields(spec))
                store.write(replace(result, record=record))
    return plan


def make_result(
    spec: RunSpec, key: str, status: Status, reason: str, curve: Curve, minute: int = 0
) -> RunResult:
    """One run as a worker would hand it over: with arrays if its status leaves any."""
    measured = status in ("ok", "diverged")
    trained = spec.measure == "convergence" and measured
    curve = _diverging(curve) if status == "diverged" else curve
    memory = MEMORY if spec.measure == "memory" and measured else None
    record = RunRecord(
        **{"schema": 1, "digest": key, "spec": spec, "status": status, "reason": reason},
        **{"setup_s": 0.5, "first_call_s": 0.25, "state_bytes": 1024} if measured else {},
        **{"import_s": 2.0, "start_s": 0.5, "wall_s": 1.5, "memory": memory},
        summary=_summary(spec, curve, status) if trained else None,
        started_at=f"2026-03-01T{minute // 60 % 24:02d}:{minute % 60:02d}:00+00:00",
        **{"versions": VERSIONS[spec.framework], "sources": {"source": "0"}},
        **{"machine": MACHINE, "cores": (0,)},
    )
    blocks = make_blocks(spec) if spec.timing and measured else None
    return RunResult(record, curve if trained else None, blocks)


def make_curve(spec: RunSpec) -> Curve:
    """An exponential fall, faster for some optimizers and rates, with noise of the run's seed."""
    name, steps = spec.optimizer.name, np.arange(spec.task.steps)
    rng = np.random.default_rng([spec.seed, zlib.crc32(f"{spec.framework}{name}".encode())])
    evaluated = np.arange(0, spec.task.steps + 1, spec.task.eval_every)
    distance = 1 + abs(np.log10(spec.schedule.base_lr * 1000))
    pull = (zlib.crc32(name.encode()) % 5 + 4) / distance

    def falling(at: np.ndarray, speed: float, noise: float, floor: float) -> np.ndarray:
        fall = 2.3 * np.exp(-speed * at / spec.task.steps)
        return fall * rng.lognormal(0, noise, at.size) + floor

    train = falling(steps, pull, 0.25, 0.02)
    validation = falling(evaluated, 0.8 * pull, 0.05, 0.05)
    return Curve(train, evaluated, validation, np.clip(1 - 0.4 * validation, 0, 1))


def make_blocks(spec: RunSpec) -> Blocks:
    """Blocks of which p25 is exactly STEP_US of the framework: most blocks take that, some more.
    Each launch takes LAUNCH_FACTOR times the one before; parts take PART_OF_STEP of a step."""
    assert spec.timing is not None
    count, length = spec.timing.blocks, spec.timing.block_steps
    slower = np.where(np.arange(count) < 0.6 * count, 1.0, 1.1)
    slower[-1] = 2.0
    shares = {"step": 1.0, **(PART_OF_STEP if spec.timing.breakdown else {})}
    step_ns = STEP_US[spec.framework] * 1000 * length * LAUNCH_FACTOR**spec.launch
    wall = np.concatenate(
        [np.rint(share * step_ns * slower).astype(np.int64) for share in shares.values()]
    )
    steps, zeros = np.full(len(wall), length, dtype=np.int64), np.zeros(len(wall), dtype=np.int64)
    return Blocks(steps, wall, wall, zeros, zeros, np.repeat(list(shares), count))


def _diverging(curve: Curve) -> Curve:
    """The first half, growing, then infinite."""
    half, evaluated = len(curve.train_losses) // 2, len(curve.eval_steps) // 2
    train = np.append(curve.train_losses[0] * 1.5 ** np.arange(half - 1), np.inf)
    losses = 2.3 * 3.0 ** np.arange(evaluated)
    return Curve(train, curve.eval_steps[:evaluated], losses, np.full(evaluated, 0.1))


def _summary(spec: RunSpec, curve: Curve, status: Status) -> Summary:
    losses, metrics = curve.validation_losses, curve.validation_metrics
    done, best = len(curve.train_losses), finite(losses.min())
    if status == "diverged":
        return Summary(steps_done=done, best_validation_loss=best)
    final_loss, final_metric = finite(losses[-1]), finite(metrics[-1])
    reached = arrivals.first_reaching(curve.eval_steps, metrics, spec.task.target)
    return Summary(
        **{"steps_done": done, "final_train_loss": finite(curve.train_losses[-1])},
        **{"final_validation_loss": final_loss, "final_validation_metric": final_metric},
        **{"best_validation_loss": best, "best_validation_metric": finite(metrics.max())},
        **{"test_loss": final_loss, "test_metric": final_metric, "steps_to_target": reached},
    )


def page_of(frames: Frames, folder: Path) -> str:
    """The pages of the suites of the report on these frames, written to `folder`/html."""
    from gradrace.report import writer  # seconds for matplotlib, which few tests need

    return suite_pages(writer.write(frames, folder / "html").parent)


def suite_pages(html: Path) -> str:
    """The pages of all suites of the report in this folder, one after the other."""
    return "".join(page.read_text(encoding="utf-8") for page in sorted(html.glob("suite-*.html")))
