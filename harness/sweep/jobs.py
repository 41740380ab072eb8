"""Puts runs together into jobs."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from ..executor import Job, PlannedRun
from ..objective import alike
from ..registry import Framework
from ..spec import NOT_IN_A_STEP, POPULATION, RunSpec, canonical_json

# Task fields that do not affect a compiled program.
_SHAPELESS = {*NOT_IN_A_STEP, "name"}


def jobs(runs: Sequence[PlannedRun], frameworks: Mapping[str, Framework]) -> Iterator[Job]:
    """Convergence runs of one shape together, of populations as many as share a program; then the
    timing runs of one framework and launch in one process, but for modes of which a process holds
    one session; and each memory run in its own.

    Convergence runs of such a mode share a process: they are open one after another."""
    for alike_runs in _grouped(runs, "convergence", lambda run: _program(run.spec)):
        lanes = alike_runs[0].spec.lanes if alike_runs[0].spec.mode == POPULATION else 0
        for first in range(0, len(alike_runs), lanes or len(alike_runs)):
            part = alike_runs[first : first + lanes] if lanes else alike_runs
            yield Job(part, lanes=lanes)

    def launch(run: PlannedRun) -> Hashable:
        alone = frameworks[run.spec.framework].alone(run.spec.mode, run.versions)
        return _launch(run.spec), run.digest if alone else ""

    for timed in _grouped(runs, "timing", launch):
        yield Job(timed, alone=True)
    for run in runs:
        if run.spec.measure == "memory":
            yield Job((run,), alone=True)


def _grouped(
    runs: Sequence[PlannedRun], measure: str, key: Callable[[PlannedRun], Hashable]
) -> Iterator[tuple[PlannedRun, ...]]:
    groups = defaultdict[Hashable, list[PlannedRun]](list)
    for run in runs:
        if run.spec.measure == measure:
            groups[key(run)].append(run)
    yield from map(tuple, groups.values())


def _launch(spec: RunSpec) -> Hashable:
    return spec.framework, spec.launch, spec.device, spec.dtype, spec.threads, spec.timing


def _program(spec: RunSpec) -> Hashable:
    """Equal for runs that one compiled program could serve, one after another or in lanes."""
    lanes = (spec.lanes, spec.task.steps, spec.task.eval_every) if spec.mode == POPULATION else ()
    return shape(spec), spec.mode, lanes


def shape(spec: RunSpec) -> str:
    """16 hex digits, equal for runs that differ in numbers alone, whatever their mode."""
    task = alike(spec.task).model_dump_json(exclude=_SHAPELESS)
    program = (spec.framework, task, spec.optimizer.name, spec.optimizer.rule)
    setup = (spec.dtype, spec.device, spec.threads, spec.input)
    return hashlib.sha256(canonical_json([*program, *setup]).encode()).hexdigest()[:16]
