"""asv benchmarks: a suite's figures, cell by cell, followed over the commits.

The suite runs once, through gradrace's own driver, and each benchmark reads its figure from the outcome. So frameworks
live in gradrace's workers, one a process, and never in asv's; what is measured is what `gradrace run` measures.

GRADRACE_ASV_SUITE chooses another suite: the name of a built-in one, or a TOML file (a relative path starts at the
project's root, because asv works in temporary folders). Its cells must be told apart by task, framework and optimizer.

What asv gets, all of it better when lower:

    a figure      the cell was measured; the median over its seeds, or samples of its launches
    NaN           skipped: the framework is not installed or cannot do it, or the suite does not measure this at all
    an exception  a run of the cell failed or timed out, with its reason; asv then shows `failed` and exits with 2
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

# Nothing heavier than this at the top: asv imports the module anew for every cell of every benchmark.
from gradrace.errors import UserError
from gradrace.registry import load_registry
from gradrace.spec import Measure, RunSpec, canonical_json
from gradrace.suite import Suite, expand, make_suite, read_suite

if TYPE_CHECKING:
    from gradrace.frame import Frames

SUITE_VARIABLE = "GRADRACE_ASV_SUITE"

# Identical code raises false alarms in 20 to 50% of asv's tests with one process a side, in 1 to 10% with four.
LAUNCHES = 4

# The validation loss that stands for a run that diverged: finite, so that it can be drawn and compared, and beyond
# anything that a run which did not diverge can end with.
DIVERGED_LOSS = 1e6

Key = tuple[str, str, str]  # task, framework, optimizer
Figure = float | dict[str, Any]  # a number, or {"samples": [...], "number": 1}, of which asv keeps median and spread
Cell = dict[str, Any]  # {"value": Figure}, {"skipped": reason} or {"failed": reason}
Cells = dict[str, dict[Key, Cell]]  # by figure: step_time, first_call, steps_to_target, final_loss
Track = TypeVar("Track", bound=Callable[..., Any])


def chosen_suite() -> Suite:
    """The suite that is followed: that of GRADRACE_ASV_SUITE, or the quick one with one seed and LAUNCHES launches.

    UserError for a suite that cannot be read, or whose cells are not told apart by asv's parameters.
    """
    chosen = os.environ.get(SUITE_VARIABLE, "")
    return read_suite(_found(chosen)) if chosen else _quick()


def _found(name_or_file: str) -> str:
    file = Path(__file__).resolve().parents[2] / name_or_file
    return str(file) if file.is_file() else name_or_file


def _quick() -> Suite:
    quick = read_suite("quick")
    content = quick.content.model_dump(exclude_unset=True)
    content |= {"seeds": 1, "timing": {**content["timing"], "launches": LAUNCHES}}
    return make_suite(quick.name, content, quick.file)


def expanded(suite: Suite) -> tuple[RunSpec, ...]:
    """The suite's runs. UserError where two that differ in more than seed or launch would share a cell."""
    runs = expand(suite, load_registry())
    variants: dict[tuple[Measure, Key], RunSpec] = {}
    for run in runs:
        first = variants.setdefault((run.measure, key_of(run)), run)
        if run.model_copy(update={"seed": first.seed, "launch": first.launch}) != first:
            raise UserError(
                f"{suite.file}: asv tells cells apart by task, framework and optimizer alone, and these share one: "
                f"{first.id} and {run.id}; give one mode, batch size, learning rate and schedule each"
            )
    return runs


def key_of(run: RunSpec) -> Key:
    """asv's parameters of a run."""
    return run.task.name, run.framework, run.optimizer.name


def version(runs: Iterable[RunSpec], measured: Measure, meaning: int) -> str:
    """Changes with what a benchmark measures, so that asv starts a new series, and not with how it is written.

    `meaning` is raised by hand where the same runs come to mean another figure. A new field of a spec that no suite
    sets yet changes nothing, and neither do texts.
    """
    texts: Any = {"task": {"title", "target_origin"}}
    specs = [run.model_dump(mode="json", exclude_unset=True, exclude=texts) for run in runs if run.measure == measured]
    return hashlib.sha256(canonical_json([meaning, specs]).encode()).hexdigest()[:16]


def measure(suite: Suite) -> Cells:
    """Runs the whole suite, nothing taken from earlier results, and returns the cells of every benchmark.

    RuntimeError with the reasons where not one run could be measured.
    """
    from gradrace.errors import ExitCode
    from gradrace.frame import load
    from gradrace.sweep import Options, execute, prepare

    with tempfile.TemporaryDirectory(prefix="gradrace-asv-") as folder:
        sweep = prepare(suite, options=Options(output=Path(folder)))
        outcome = execute(sweep)
        frames = load(folder, suite.name)
    if outcome.exit_code == ExitCode.NOTHING_MEASURED:
        reasons = "; ".join(dict.fromkeys(frames.runs["reason"]))
        raise RuntimeError(f"no run of {suite.file} could be measured: {reasons}")
    return figures({run.digest: run.spec for run in sweep.selected}, frames)


def figures(planned: Mapping[str, RunSpec], frames: Frames) -> Cells:
    """The cells of every benchmark from the results of these runs (digest -> run), whatever became of them."""
    rows = {row["digest"]: row for row in frames.runs.to_dict("records")}
    per_step = frames.steps["wall_ns"] / frames.steps["steps"] * 1e-9
    for digest, seconds in per_step.groupby(frames.steps["digest"]):
        rows[digest]["step_times"] = seconds.tolist()
    groups: dict[tuple[Measure, Key], list[Mapping[str, Any]]] = {}
    for digest, run in planned.items():
        lost = {"id": run.id, "status": "failed", "reason": "it left no record"}
        groups.setdefault((run.measure, key_of(run)), []).append(rows.get(digest, lost))
    cells: Cells = {name: {} for name in ("step_time", "first_call", "steps_to_target", "final_loss")}
    for (measured, key), runs in groups.items():
        if measured == "timing":
            cells["step_time"][key] = _cell(runs, lambda runs: _sampled(s for run in runs for s in run["step_times"]))
            cells["first_call"][key] = _cell(runs, lambda runs: _sampled(run["first_call_s"] for run in runs))
        else:
            cells["steps_to_target"][key] = _cell(runs, lambda runs: median(map(_steps_to_target, runs)))
            cells["final_loss"][key] = _cell(runs, lambda runs: median(map(_final_loss, runs)))
    return cells


def _cell(runs: list[Mapping[str, Any]], figure: Callable[[list[Mapping[str, Any]]], Figure]) -> Cell:
    """One failed run fails the cell: a median over the rest would be another figure under the same name."""
    for status, outcome in (("failed", "failed"), ("timeout", "failed"), ("skipped", "skipped")):
        reasons = [f"{run['id']}: {status}: {run['reason']}" for run in runs if run["status"] == status]
        if reasons:
            return {outcome: "; ".join(reasons)}
    return {"value": figure(runs)}


def _sampled(seconds: Iterable[float]) -> Figure:
    """As asv's own timings are: `compare` then tests the samples, where it flags a lone number by its ratio."""
    return {"samples": list(seconds), "number": 1}


def _steps_to_target(run: Mapping[str, Any]) -> float:
    reached = float(run["steps_to_target"])
    return run["steps"] + 1.0 if math.isnan(reached) else reached


def _final_loss(run: Mapping[str, Any]) -> float:
    return DIVERGED_LOSS if run["status"] == "diverged" else float(run["final_validation_loss"])


def look_up(cells: Cells, figure: str, key: Key) -> Figure:
    """A cell's figure; NaN where it was skipped. RuntimeError with the reason where it failed."""
    cell = cells[figure].get(key, {"skipped": "the suite does not measure this"})
    if "failed" in cell:
        raise RuntimeError(cell["failed"])
    found: Figure = cell.get("value", math.nan)
    return found


SUITE = chosen_suite()
RUNS = expanded(SUITE)


def described(pretty_name: str, unit: str, measured: Measure, meaning: int) -> Callable[[Track], Track]:
    """Gives a benchmark what asv reads from its function."""

    def describe(track: Track) -> Track:
        track.pretty_name, track.unit = pretty_name, unit  # type: ignore[attr-defined]
        track.version = version(RUNS, measured, meaning)  # type: ignore[attr-defined]
        return track

    return describe


class Race:
    """The suite's cells. asv calls `setup_cache` once for all benchmarks of the class, then each of them per cell."""

    param_names = ("task", "framework", "optimizer")
    params = tuple(list(dict.fromkeys(names)) for names in zip(*map(key_of, RUNS), strict=True))

    def setup_cache(self) -> Cells:
        return measure(SUITE)

    # Seconds for the whole sweep; each run has gradrace's own limit besides.
    setup_cache.timeout = 7200.0  # type: ignore[attr-defined]

    @described("Step time", "seconds", "timing", meaning=1)
    def track_step_time(self, cells: Cells, task: str, framework: str, optimizer: str) -> Figure:
        """Seconds per step of every timed block of every launch; asv shows their median and tests their ranks."""
        return look_up(cells, "step_time", (task, framework, optimizer))

    @described("First call", "seconds", "timing", meaning=1)
    def track_first_call(self, cells: Cells, task: str, framework: str, optimizer: str) -> Figure:
        """Seconds of the first training step, compilation included, of every launch."""
        return look_up(cells, "first_call", (task, framework, optimizer))

    @described("Steps to target", "steps", "convergence", meaning=1)
    def track_steps_to_target(self, cells: Cells, task: str, framework: str, optimizer: str) -> Figure:
        """Steps until an evaluation first reached the target; one more than the run's budget where none did."""
        return look_up(cells, "steps_to_target", (task, framework, optimizer))

    @described("Final validation loss", "loss", "convergence", meaning=1)
    def track_final_loss(self, cells: Cells, task: str, framework: str, optimizer: str) -> Figure:
        """Validation loss after the last step; DIVERGED_LOSS where the run diverged."""
        return look_up(cells, "final_loss", (task, framework, optimizer))
