"""asv benchmarks: suites' figures, cell by cell, followed over the commits.

The suites run once, through gradrace's own driver, and each benchmark reads its figure from the
outcome. So frameworks live in gradrace's workers, one a process, and never in asv's, and the
figures are those of `gradrace run`.

GRADRACE_ASV_SUITE chooses other suites, separated by commas: built-in names or TOML files (a
relative path starts at the project's root, because asv works in temporary folders). A suite becomes
a class of benchmarks under its own name, with a benchmark for every figure that it measures. Only
task, framework, mode and optimizer tell its cells apart, so step times are followed for one rule,
that of the suite's timing part. Framework and mode are one parameter, such as jax-scan: asv starts
a process for every combination of values.

asv gets, always better if lower:

    a figure      the cell was measured: the median over its seeds, or a sample for each launch
    NaN           skipped: no such cell, or the framework is not installed or cannot do it
    an exception  a run of the cell failed or timed out, with its reason; asv then shows `failed`
                  and exits with 2
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Nothing heavier at the top: asv imports the module anew for every cell of every benchmark.
from gradrace.errors import UserError
from gradrace.registry import load_registry
from gradrace.results.asv.tracks import FIGURES, Figure, Track, Tracks, mode_of, tracks, version
from gradrace.spec import Measure, RunSpec
from gradrace.suite import (
    Suite,
    expand,
    read_suite,
    with_classes,
    with_named_timing,
    with_paths,
)

SUITE_VARIABLE = "GRADRACE_ASV_SUITE"
FOLLOWED = "nightly,nightly_modes"

Key = tuple[str, str, str]  # task, framework and mode, optimizer
PARAMETERS = ("task", "mode", "optimizer")


def chosen_suites() -> tuple[Suite, ...]:
    """The suites that are followed: those of GRADRACE_ASV_SUITE, or the nightly ones.

    UserError for a suite that cannot be read, or two of one name.
    """
    chosen = os.environ.get(SUITE_VARIABLE) or FOLLOWED
    suites = tuple(read_suite(_found(name.strip())) for name in chosen.split(","))
    if len({class_name(suite) for suite in suites}) < len(suites):
        raise UserError(
            f"{SUITE_VARIABLE}={chosen}: two suites share a name; rename the file of one"
        )
    return suites


def _found(name_or_file: str) -> str:
    file = Path(__file__).resolve().parents[2] / name_or_file
    return str(file) if file.is_file() else name_or_file


def class_name(suite: Suite) -> str:
    """The suite's name as an identifier, for asv."""
    return re.sub(r"\W", "_", suite.name)


def expanded(suite: Suite) -> tuple[RunSpec, ...]:
    """The suite's runs. UserError if two share a cell and differ in more than seed and launch."""
    named, paths = with_paths(with_named_timing(suite))
    runs = expand(named, with_classes(named, load_registry(paths)))
    variants: dict[tuple[Measure, Key], RunSpec] = {}
    for run in runs:
        first = variants.setdefault((run.measure, key_of(run)), run)
        if run.model_copy(update={"seed": first.seed, "launch": first.launch}) != first:
            raise UserError(
                f"{suite.file}: asv tells cells apart by task, framework, mode and optimizer alone,"
                f" and these share one: {first.id} and {run.id}; give one batch size, learning"
                " rate, schedule and set of hyperparameters each"
            )
    return runs


def key_of(run: RunSpec) -> Key:
    """asv's parameters of a run."""
    return run.task.name, mode_of(run), run.optimizer.name


def measure(suites: Sequence[Suite]) -> dict[str, Tracks]:
    """Runs the suites, without earlier results, and returns each class's cells of every figure.

    RuntimeError with the reasons if no run could be measured."""
    from gradrace.errors import ExitCode
    from gradrace.results.frame import load
    from gradrace.sweep import Options, execute, prepare

    measured, reasons = {}, []
    for suite in suites:
        with tempfile.TemporaryDirectory(prefix="gradrace-asv-") as folder:
            sweep = prepare(with_named_timing(suite), options=Options(output=Path(folder)))
            outcome = execute(sweep)
            frames = load(folder, suite.name)
        measured[class_name(suite)] = tracks(
            {run.digest: run.spec for run in sweep.selected}, frames, key_of
        )
        if outcome.exit_code == ExitCode.NOTHING_MEASURED:
            reasons.append(
                f"no run of {suite.file} could be measured:"
                f" {'; '.join(dict.fromkeys(frames.runs['reason']))}"
            )
    if len(reasons) == len(suites):
        raise RuntimeError("; ".join(reasons))
    return measured


def look_up(found: Tracks, figure: str, key: Key) -> float | dict[str, Any]:
    """A cell's figure; NaN if it was skipped. RuntimeError with the reason if it failed.

    {"samples": [...], "number": 1} is stored as asv's own timings are: `compare` then tests the
    samples."""
    track = found[figure].get(key, Track("skipped"))
    if track.status == "failed":
        raise RuntimeError(track.reason)
    value = track.value
    return {"samples": list(value), "number": 1} if isinstance(value, tuple) else value


SUITES = chosen_suites()


def setup_cache() -> dict[str, Tracks]:
    """asv calls it once for all benchmarks, and then each of them for every cell."""
    return measure(SUITES)


# Seconds for all sweeps; each run has gradrace's own limit besides.
setup_cache.timeout = 7200.0  # type: ignore[attr-defined]


def benchmarks(suite: Suite) -> type:
    """The class that asv finds: a method track_<figure> for every figure of the suite."""
    runs = expanded(suite)
    tracks = {
        f"track_{name}": _track(
            class_name(suite), name, figure, [run for run in runs if run.measure == figure.measure]
        )
        for name, figure in FIGURES.items()
        if any(run.measure == figure.measure for run in runs)
    }
    return type(class_name(suite), (), {"__doc__": suite.content.title, **tracks})


def _track(owner: str, name: str, figure: Figure, runs: Sequence[RunSpec]) -> Callable[..., Any]:
    def track(
        self: Any, measured: dict[str, Tracks], task: str, mode: str, optimizer: str
    ) -> float | dict[str, Any]:
        return look_up(measured[owner], name, (task, mode, optimizer))

    # What asv reads from a benchmark's function.
    described: Any = track
    described.__doc__ = described.pretty_source = figure.text
    described.pretty_name, described.unit, described.version = (
        figure.title,
        figure.unit,
        version(figure, runs),
    )
    described.param_names = PARAMETERS
    described.params = [
        list(dict.fromkeys(values)) for values in zip(*map(key_of, runs), strict=True)
    ]
    return track


for _suite in SUITES:
    globals()[class_name(_suite)] = benchmarks(_suite)
