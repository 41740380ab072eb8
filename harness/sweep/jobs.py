"""Puts runs together into jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence

from ..executor import Job, PlannedRun
from ..objective import alike
from ..spec import NOT_IN_A_STEP, RunSpec

# Task fields that do not affect a compiled program.
_SHAPELESS = {*NOT_IN_A_STEP, "name"}


def jobs(runs: Sequence[PlannedRun]) -> Iterator[Job]:
    """Convergence runs of one shape together; then the timing runs of one framework and launch in
    one process, and each memory run in its own."""
    for alike_runs in _grouped(runs, "convergence", _shape):
        yield Job(alike_runs)
    for launch in _grouped(runs, "timing", _launch):
        yield Job(launch, alone=True)
    for run in runs:
        if run.spec.measure == "memory":
            yield Job((run,), alone=True)


def _grouped(
    runs: Sequence[PlannedRun], measure: str, key: Callable[[RunSpec], Hashable]
) -> Iterator[tuple[PlannedRun, ...]]:
    groups = defaultdict[Hashable, list[PlannedRun]](list)
    for run in runs:
        if run.spec.measure == measure:
            groups[key(run.spec)].append(run)
    yield from map(tuple, groups.values())


def _launch(spec: RunSpec) -> Hashable:
    return spec.framework, spec.launch, spec.device, spec.dtype, spec.threads, spec.timing


def _shape(spec: RunSpec) -> Hashable:
    """Equal for runs that differ in numbers alone: one compiled program could serve them."""
    task = alike(spec.task).model_dump_json(exclude=_SHAPELESS)
    program = (spec.framework, spec.mode, task, spec.optimizer.name, spec.optimizer.rule)
    return *program, spec.dtype, spec.device, spec.threads, spec.input
