"""Estimates the duration of a sweep from earlier records of this machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..machine.identity import is_here
from ..objective import alike
from ..record import FINAL, RunRecord
from ..spec import RunSpec, step_setting
from . import Sweep
from .store import suite_folder
from .stored import Kept, Stored


@dataclass(frozen=True)
class Estimate:
    """runs: id, digest, cached, and seconds if a like run is known. unknown: how many have none.

    seconds: of all runs to be done, in one worker, compiling included. first_s: the same if none of
    them is known, by what the adapters state of another machine and small models; None if an
    adapter states nothing."""

    runs: list[dict[str, Any]]
    seconds: float
    unknown: int
    first_s: float | None = None

    @property
    def sentence(self) -> str:
        """For people."""
        count, todo = len(self.runs), sum(not row["cached"] for row in self.runs)
        rest = f", {self.unknown} of them unlike any before" if 0 < self.unknown < todo else ""
        known = "no earlier records of this machine" if todo else "nothing to do"
        if todo and self.first_s is not None:
            known += (
                f"; about {self.first_s:.0f} s of work on two cores of an AMD EPYC, if models are"
                " as small as those of `quick`"
            )
        if self.unknown < todo:
            known = f"about {self.seconds:.0f} s of work by earlier records of this machine"
        return f"{count} runs, {count - todo} cached, {todo} to run{rest}: {known}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        counted = {"seconds": self.seconds, "unknown": self.unknown, "first_seconds": self.first_s}
        return {"runs": self.runs, **counted}


def estimate(sweep: Sweep) -> Estimate:
    """Median wall seconds of the nearest earlier runs (see `_LIKE`) that this machine computed, of
    any suite in this output, scaled by steps; plus once for each program to be compiled, the extra
    time of its slowest run."""
    folder = suite_folder(sweep.options.output, sweep.suite.name)
    place = Stored(folder)
    own = _kept(place)
    known = _Known(kept.record for kept in own.values())
    if any(known.seconds(run.spec) is None for run in sweep.selected):
        others = [each for each in folder.parent.glob("*") if each.is_dir() and each != folder]
        found = [own, *(_kept(Stored(each)) for each in others)]
        known = _Known(kept.record for of in found for kept in of.values())
    rows, seconds, unknown, programs = [], 0.0, 0, dict[Hashable, float]()
    for run in sweep.selected:
        kept = own.get(run.digest)
        final = kept is not None and kept.record.status in FINAL
        cached = final and not place.problem_of(own[run.digest], run)
        expected = known.seconds(run.spec)
        row = {"id": run.spec.id, "digest": run.digest, "cached": cached, "seconds": expected}
        rows.append(row)
        if not cached:
            seconds += expected or 0.0
            unknown += expected is None
            programs[_program(run.spec)] = known.compiling(run.spec)
    todo = [run.spec for run, row in zip(sweep.selected, rows, strict=True) if not row["cached"]]
    first = _first_s(sweep, todo) if unknown == len(todo) else None
    return Estimate(rows, seconds + sum(programs.values()), unknown, first)


def _first_s(sweep: Sweep, todo: Sequence[RunSpec]) -> float | None:
    """Seconds of runs of which nothing is known here, by Framework.first_run_s."""
    frameworks = {spec.framework for spec in todo}
    stated = {name: sweep.registry.frameworks[name].first_run_s for name in frameworks}
    known = {name: seconds for name, seconds in stated.items() if seconds is not None}
    if not todo or len(known) < len(stated):
        return None
    programs = {_program(spec): spec.framework for spec in todo}.values()
    steps = sum(known[spec.framework][2] * spec.steps for spec in todo)
    return (
        steps
        + sum(known[n][1] for n in programs)
        + sum(import_s for import_s, *_ in known.values())
    )


def _where(spec: RunSpec) -> tuple[Hashable, ...]:
    return (spec.framework, spec.mode, spec.task.name, spec.measure, spec.device)


# Ways to be alike, the nearest first: the setting of a step, the model, the batch size, the task.
_LIKE: tuple[Callable[[RunSpec], Hashable], ...] = (
    lambda spec: (spec.measure, step_setting(spec)),
    lambda spec: (*_where(spec), spec.task.batch_size, spec.task.model),
    lambda spec: (*_where(spec), spec.task.batch_size),
    _where,
)


def _program(spec: RunSpec) -> Hashable:
    """Equal for runs that share a compiled program."""
    spec = spec.model_copy(update={"task": alike(spec.task)})
    return (_LIKE[1](spec), spec.task.regularization, spec.optimizer.name, spec.optimizer.rule)


class _Known:
    """Times of earlier records of this machine."""

    def __init__(self, records: Iterable[RunRecord]) -> None:
        per_step_of = [defaultdict[Hashable, list[float]](list) for _ in _LIKE]
        by_program = defaultdict[Hashable, list[RunRecord]](list)
        for record in records:
            if record.status in FINAL and record.wall_s and is_here(record):
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
        """Of a run by itself; None if no run like it is known."""
        found = (known.get(like(spec)) for known, like in zip(self._median, _LIKE, strict=True))
        per_step = next((value for value in found if value is not None), None)
        return None if per_step is None else per_step * spec.steps

    def compiling(self, spec: RunSpec) -> float:
        """The extra time of the first run of a program; 0 if that is not known."""
        return self._compiling.get(_where(spec), 0.0)


def _kept(place: Stored) -> dict[str, Kept]:
    return {digest: kept for digest in place.digests() if (kept := place.find(digest))}
