"""Tracks: the few figures of every cell of a suite that asv follows over commits, the lower the
better."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ...spec import Measure, RunSpec, canonical_json
from ...statistics.arrivals import median_time

if TYPE_CHECKING:
    from ..frame import Frames

# The validation loss that stands for a run that diverged: finite, so that it can be drawn and
# compared, and beyond anything that a run which did not diverge can end with.
DIVERGED_LOSS = 1e6

# One number, or a sample for each launch, which are then the units of any test.
Value = float | tuple[float, ...]
Row = Mapping[str, Any]
Key = Hashable


class Figure(NamedTuple):
    """A figure to follow. `of` computes it from the runs of one cell (rows of Frames.runs, with
    `memory` beside); `meaning` is raised by hand if the same runs come to mean another figure."""

    title: str
    unit: str
    measure: Measure
    meaning: int
    text: str
    of: Callable[[Sequence[Row]], Value]


class Track(NamedTuple):
    """A figure of one cell: its `value` if it was measured, else the reason."""

    status: Literal["measured", "skipped", "failed"]
    value: Value = math.nan
    reason: str = ""


Tracks = dict[str, dict[Any, Track]]  # figure -> key of a cell -> track


def mode_of(run: RunSpec) -> str:
    """Framework and mode in one word, as in a run's id."""
    return f"{run.framework}-{run.mode}"


def version(figure: Figure, runs: Iterable[RunSpec]) -> str:
    """Changes with the meaning of the figure of these runs, not with how that is written: texts,
    the order of the runs, the number of launches, device, threads, and fields of a spec that are at
    their defaults leave it as it is."""
    left_out: Any = {"task": {"title", "target_origin"}}
    left_out |= dict.fromkeys(("launch", "device", "threads"), True)
    specs = (run for run in runs if run.measure == figure.measure)
    texts = {
        canonical_json(run.model_dump(mode="json", exclude_defaults=True, exclude=left_out))
        for run in specs
    }
    return hashlib.sha256(canonical_json([figure.meaning, sorted(texts)]).encode()).hexdigest()[:16]


def tracks(
    planned: Mapping[str, RunSpec], frames: Frames, key_of: Callable[[RunSpec], Key]
) -> Tracks:
    """Every figure of the cells of these runs (digest -> run), however they ended. A run without a
    record failed."""
    cells: dict[tuple[Measure, Key], list[Row]] = {}
    rows = {row["digest"]: row for row in frames.runs.to_dict("records")}
    for digest, run in planned.items():
        lost = {"id": run.id, "status": "failed", "reason": "it left no record"}
        memory = frames.records[digest].memory if digest in frames.records else None
        row = {**rows.get(digest, lost), "memory": memory}
        cells.setdefault((run.measure, key_of(run)), []).append(row)
    found: Tracks = {name: {} for name in FIGURES}
    for name, figure in FIGURES.items():
        of = ((key, runs) for (measure, key), runs in cells.items() if measure == figure.measure)
        found[name] = {key: _track(runs, figure) for key, runs in of}
    return found


def _track(runs: Sequence[Row], figure: Figure) -> Track:
    """One failed run fails the cell: a median over the rest would be another figure under the same
    name."""
    outcomes: dict[str, Literal["failed", "skipped"]] = {
        "failed": "failed",
        "timeout": "failed",
        "skipped": "skipped",
    }
    for status, outcome in outcomes.items():
        lost = [run for run in runs if run["status"] == status]
        if lost:
            reasons = (f"{run['id']}: {status}: {run['reason']}" for run in lost)
            return Track(outcome, reason="; ".join(reasons))
    return Track("measured", figure.of(runs))


def _steps_to_target(runs: Sequence[Row]) -> float:
    """The median of censored steps; instead of infinity, one more than the budget, for asv."""
    reached = [not math.isnan(float(run["steps_to_target"])) for run in runs]
    each = zip(runs, reached, strict=True)
    steps = [float(run["steps_to_target" if arrived else "steps"]) for run, arrived in each]
    found = median_time(steps, reached)
    return found if math.isfinite(found) else max(float(run["steps"]) for run in runs) + 1.0


def _final_loss(run: Row) -> float:
    return DIVERGED_LOSS if run["status"] == "diverged" else float(run["final_validation_loss"])


def _memory(run: Row) -> float:
    used = run["memory"]
    on_device = used.device_peak_bytes if run["device"] == "gpu" else None
    return float(used.grown_bytes if on_device is None else on_device)


def _launches(column: str) -> Callable[[Sequence[Row]], Value]:
    return lambda runs: tuple(float(run[column]) for run in runs)


def _median(figure: Callable[[Row], float]) -> Callable[[Sequence[Row]], Value]:
    return lambda runs: median(map(figure, runs))


FIGURES: Mapping[str, Figure] = {
    "step_time": Figure(
        "Step time",
        "seconds",
        "timing",
        3,
        "Seconds per step: of every launch the first quartile over its blocks.",
        _launches("step_p25_s"),
    ),
    "first_call": Figure(
        "First call",
        "seconds",
        "timing",
        2,
        "Seconds of the first call that trains, compilation included, of every launch; the start of"
        " the framework is not in it.",
        _launches("first_call_s"),
    ),
    "state_bytes": Figure(
        "Optimizer state",
        "bytes",
        "timing",
        1,
        "Bytes of the optimizer's state arrays; exact.",
        _median(lambda run: float(run["state_bytes"])),
    ),
    "peak_memory": Figure(
        "Peak memory",
        "bytes",
        "memory",
        1,
        "Growth of the resident set of a fresh process by set-up and training; on a GPU the"
        " device's own peak.",
        _median(_memory),
    ),
    "steps_to_target": Figure(
        "Steps to target",
        "steps",
        "convergence",
        1,
        "Steps until an evaluation first reached the target; median over seeds, one more than the"
        " budget if it was missed.",
        _steps_to_target,
    ),
    "final_loss": Figure(
        "Final validation loss",
        "loss",
        "convergence",
        1,
        f"Validation loss after the last step, {DIVERGED_LOSS:g} if the run diverged; median"
        " over seeds.",
        _median(_final_loss),
    ),
}
