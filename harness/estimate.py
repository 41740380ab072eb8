"""What a sweep would do and how long that would take, from the records that are there."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import Any

from .record import FINAL, RunRecord
from .spec import RunSpec
from .store import DIGEST, read_record, suite_folder
from .sweep import Sweep


@dataclass(frozen=True)
class Estimate:
    """runs: id, digest, cached, and seconds where a like run is known. unknown: how many runs have no like."""

    runs: list[dict[str, Any]]
    seconds: float
    unknown: int

    @property
    def sentence(self) -> str:
        """For people."""
        todo = sum(not row["cached"] for row in self.runs)
        known = f"about {self.seconds:.0f} s of work by earlier records" if self.unknown < todo else "no earlier records"
        rest = f", {self.unknown} of them unlike any before" if 0 < self.unknown < todo else ""
        return f"{len(self.runs)} runs, {len(self.runs) - todo} cached, {todo} to run{rest}: {known if todo else 'nothing to do'}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"runs": self.runs, "seconds": self.seconds, "unknown": self.unknown}


def estimate(sweep: Sweep) -> Estimate:
    """Median wall seconds of earlier runs of the same framework, mode, task, batch size, device and measure, scaled by steps."""
    records = _records(sweep)
    per_step: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for record in records.values():
        if record.status in FINAL and record.wall_s:
            per_step[_like(record.spec)].append(record.wall_s / record.spec.steps)
    rows, seconds, unknown = [], 0.0, 0
    for run in sweep.selected:
        known = records.get(run.digest)
        cached = known is not None and known.status in FINAL
        like = per_step.get(_like(run.spec))
        expected = median(like) * run.spec.steps if like else None
        rows.append({"id": run.spec.id, "digest": run.digest, "cached": cached, "seconds": expected})
        seconds += 0.0 if cached else expected or 0.0
        unknown += not cached and expected is None
    return Estimate(rows, seconds, unknown)


def _like(spec: RunSpec) -> tuple[str, ...]:
    return (spec.framework, spec.mode, spec.task.name, str(spec.task.batch_size), spec.measure, spec.device)


def _records(sweep: Sweep) -> dict[str, RunRecord]:
    folder = suite_folder(sweep.options.output, sweep.suite.name)
    files = folder.glob("*/run.json") if folder.is_dir() else ()
    return {file.parent.name: read_record(file) for file in files if DIGEST.match(file.parent.name)}
