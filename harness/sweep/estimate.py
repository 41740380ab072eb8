"""What a sweep would do and how long that would take, from the records that are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..objective import alike
from ..record import FINAL, RunRecord
from ..spec import RunSpec, step_setting
from . import Sweep
from .store import DIGEST, read_record, suite_folder, unsound


@dataclass(frozen=True)
class Estimate:
    """runs: id, digest, cached, and seconds where a like run is known. unknown: how many runs have
    no like.

    seconds: of all that are to be run, what compiling takes included, in one worker.
    """

    runs: list[dict[str, Any]]
    seconds: float
    unknown: int

    @property
    def sentence(self) -> str:
        """For people."""
        todo = sum(not row["cached"] for row in self.runs)
        known = (
            f"about {self.seconds:.0f} s of work by earlier records"
            if self.unknown < todo
            else "no earlier records"
        )
        rest = f", {self.unknown} of them unlike any before" if 0 < self.unknown < todo else ""
        return (
            f"{len(self.runs)} runs, {len(self.runs) - todo} cached, {todo} to run{rest}:"
            f" {known if todo else 'nothing to do'}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"runs": self.runs, "seconds": self.seconds, "unknown": self.unknown}


def estimate(sweep: Sweep) -> Estimate:
    """Median wall seconds of the nearest earlier runs (see `_LIKE`) of any suite in this output,
    scaled by steps; and once for each program to be compiled, by how much the slowest run of one
    has been slower."""
    own, folder = (
        _records(sweep, [sweep.suite.name]),
        suite_folder(sweep.options.output, sweep.suite.name),
    )
    known = _Known(own.values())
    if any(known.seconds(run.spec) is None for run in sweep.selected):
        others = [each.name for each in folder.parent.glob("*") if each.is_dir() and each != folder]
        known = _Known([*own.values(), *_records(sweep, others).values()])
    rows, seconds, unknown, programs = [], 0.0, 0, dict[Hashable, float]()
    for run in sweep.selected:
        record = own.get(run.digest)
        cached = (
            record is not None
            and record.status in FINAL
            and not unsound(folder / run.digest, record, run)
        )
        expected = known.seconds(run.spec)
        rows.append(
            {"id": run.spec.id, "digest": run.digest, "cached": cached, "seconds": expected}
        )
        if not cached:
            seconds += expected or 0.0
            unknown += expected is None
            programs[_program(run.spec)] = known.compiling(run.spec)
    return Estimate(rows, seconds + sum(programs.values()), unknown)


def _where(spec: RunSpec) -> tuple[Hashable, ...]:
    return (spec.framework, spec.mode, spec.task.name, spec.measure, spec.device)


# What makes runs alike, the nearest first: the same setting of a step, the same model and batches,
# the same batch size, the same task.
_LIKE: tuple[Callable[[RunSpec], Hashable], ...] = (
    lambda spec: (spec.measure, step_setting(spec)),
    lambda spec: (*_where(spec), spec.task.batch_size, spec.task.model),
    lambda spec: (*_where(spec), spec.task.batch_size),
    _where,
)


def _program(spec: RunSpec) -> Hashable:
    """What runs share that need compiling only once."""
    spec = spec.model_copy(update={"task": alike(spec.task)})
    return (_LIKE[1](spec), spec.task.regularization, spec.optimizer.name, spec.optimizer.rule)


class _Known:
    """What earlier records say about runs to come."""

    def __init__(self, records: Iterable[RunRecord]) -> None:
        per_step_of = [defaultdict[Hashable, list[float]](list) for _ in _LIKE]
        by_program = defaultdict[Hashable, list[RunRecord]](list)
        for record in records:
            if record.status in FINAL and record.wall_s:
                by_program[_program(record.spec)].append(record)
                for found, like in zip(per_step_of, _LIKE, strict=True):
                    found[like(record.spec)].append(record.wall_s / record.spec.steps)
        self._median = [
            {key: median(values) for key, values in found.items()} for found in per_step_of
        ]
        extra = defaultdict[Hashable, list[float]](list)
        for runs in by_program.values():
            walls = [run.wall_s for run in runs if run.wall_s]
            if len(walls) >= 3 and runs[0].spec.measure == "convergence":
                extra[_where(runs[0].spec)].append(max(walls) - median(walls))
        self._compiling = {key: median(values) for key, values in extra.items()}

    def seconds(self, spec: RunSpec) -> float | None:
        """Of a run by itself; None where nothing like it is known."""
        found = (known.get(like(spec)) for known, like in zip(self._median, _LIKE, strict=True))
        per_step = next((value for value in found if value is not None), None)
        return None if per_step is None else per_step * spec.steps

    def compiling(self, spec: RunSpec) -> float:
        """What the first run of a program takes longer than the others; 0 where that is not known."""
        return self._compiling.get(_where(spec), 0.0)


def _records(sweep: Sweep, suites: Iterable[str]) -> dict[str, RunRecord]:
    folders = [suite_folder(sweep.options.output, name) for name in suites]
    files = [file for folder in folders if folder.is_dir() for file in folder.glob("*/run.json")]
    return {
        file.parent.name: read_record(file) for file in files if DIGEST.fullmatch(file.parent.name)
    }
