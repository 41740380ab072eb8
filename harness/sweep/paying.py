"""Whether lanes pay on this machine: the same runs one by one and in lanes, in fresh processes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import ExitCode, UserError
from ..executor import Finished, PlannedRun, one_by_one
from ..executor.local import LocalExecutor
from ..machine.place import machine_type
from ..record import FINAL
from ..spec import POPULATION, RunSpec
from . import Sweep
from .jobs import jobs, shape
from .lanes import Measured
from .planner import Planner

# Full programs, so that compiling one weighs as little as in a sweep.
_PROGRAMS = 4
# Each way in turn; the shorter time of each counts, as other work can only add.
_ROUNDS = 2


def measure(
    sweep: Sweep, lanes: int, tell: Callable[[str], None] = lambda said: None
) -> Iterator[Measured]:
    """One measurement for each shape of the sweep's selected training runs, as it is made.

    A shape that cannot be trained here is told with its reason. UserError (exit code 5) if nothing
    is trained."""
    firsts = {shape(run.spec): run.spec for run in reversed(sweep.selected) if _trained(run.spec)}
    if not firsts:
        raise UserError(
            f"{sweep.suite.name}: no training runs match {sweep.options.keyword!r}",
            ExitCode.NOTHING_MATCHED,
        )
    planner = Planner(sweep.registry, sweep.options.interpreters)
    for key, spec in reversed(firsts.items()):
        if reason := planner.missing(spec):
            tell(f"{_name(spec)}: {reason}")
            continue
        many = [spec.model_copy(update={"seed": seed}) for seed in range(_PROGRAMS * lanes)]
        together = [s.model_copy(update={"mode": POPULATION, "lanes": lanes}) for s in many]
        try:
            rounds = [
                (_seconds(sweep, planner, many), _seconds(sweep, planner, together))
                for _ in range(_ROUNDS)
            ]
        except _Lost as lost:
            tell(f"{_name(spec)}: {lost}")
            continue
        alone_s, lanes_s = map(min, zip(*rounds, strict=True))
        found = Measured(
            machine_type=machine_type(),
            framework=spec.framework,
            shape=key,
            task=spec.task.name,
            optimizer=spec.optimizer.name,
            lanes=lanes,
            runs=len(many),
            share=lanes_s / alone_s,
        )
        tell(
            f"{_name(spec)}: {1e3 * alone_s / len(many):.1f} ms a run by itself,"
            f" {1e3 * lanes_s / len(many):.1f} ms in {lanes} lanes"
        )
        yield found


class _Lost(Exception):
    """Runs that gave no time; the message says why."""


def _trained(spec: RunSpec) -> bool:
    return spec.measure == "convergence" and spec.input == "resident" and not spec.diagnose


def _name(spec: RunSpec) -> str:
    return f"{spec.framework} {spec.task.name} {spec.optimizer.name}"


def _seconds(sweep: Sweep, planner: Planner, specs: Sequence[RunSpec]) -> float:
    """Seconds of all runs in one fresh worker, compiling included, its start left out.

    _Lost if a run failed, or was not trained in the way that is measured."""
    options = sweep.options
    with tempfile.TemporaryDirectory(prefix="gradrace-lanes-") as folder:
        log = Path(folder) / "log.txt"
        planned: list[PlannedRun] = [replace(planner.plan(spec), log=log) for spec in specs]
        executor = LocalExecutor(
            sweep.registry.plugins, options.interpreters, options.timeout_s, workers=1
        )
        try:
            for job in jobs(planned, sweep.registry.frameworks):
                executor.submit(job)
            ended = [
                each.result.record
                for event in executor.events()
                for each in one_by_one(event)
                if isinstance(each, Finished)
            ]
        finally:
            executor.close()
    for record in ended:
        if record.status not in FINAL or record.note:
            raise _Lost(record.reason or record.note)
    return sum(record.wall_s for record in ended)
