"""Running and timing suites from Python."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ..results.frame import Frames
    from ..sweep import Options, Outcome, Sweep


def run(  # noqa: PLR0913 - the options of `gradrace run`, by keyword
    suite: str | Mapping[str, Any],
    *,
    output: str | Path = "results",
    name: str = "notebook",
    load: Sequence[str | Path] = (),
    keyword: str = "",
    frameworks: Sequence[str] = (),
    seeds: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    timeout_s: float = 600.0,
    scale: str | None = None,
    workers: int = 0,
    train_fractions: Sequence[float] = (),
    diagnose: bool = False,
    population: str | int = "auto",
    executor: str = "local",
    address: str = "",
    verify: bool = True,
) -> Frames:
    """Runs what is not finished of a suite and returns all its results (see `gradrace.Frames`).

    suite: a built-in suite's name, a TOML file's path, or the content of such a file as a dict
    (kept under `name`).
    load: files with optimizers, tasks or schedules of your own, or import paths of optimizers, such
    as "torch:schedulefree.AdamWScheduleFree"; a suite may name these too. keyword, scale, workers
    (`-j`), train_fractions, diagnose, population, executor, address: as the options of the command
    line. verify: afterwards the suite's own cells are verified, once and within a minute, as by
    `gradrace.verify`; verdicts that FAILED are a warning.

    Raises gradrace.UserError for anything misspelt, impossible or unwritable; failed runs are rows
    with a status."""
    from ..results.frame import load as load_frames
    from ..sweep import Options

    options = Options(
        output=Path(output),
        keyword=keyword,
        frameworks=tuple(frameworks),
        seeds=seeds,
        threads=threads,
        device=device,
        timeout_s=timeout_s,
        scale=scale,
        workers=workers,
        train_fractions=tuple(train_fractions),
        diagnose=diagnose,
        population=population,
        executor=executor,
        address=address,
    )
    sweep, outcome = _carried_out(suite, name, load, options)
    if verify:
        _verify(sweep, outcome)
    return load_frames(output, sweep.suite.name)


def time(  # noqa: PLR0913 - the options of `gradrace time`, by keyword
    suite: str | Mapping[str, Any],
    *,
    output: str | Path = "results",
    name: str = "notebook",
    load: Sequence[str | Path] = (),
    keyword: str = "",
    frameworks: Sequence[str] = (),
    launches: int | None = None,
    blocks: int | None = None,
    breakdown: bool | None = None,
    memory: bool | None = None,
    threads: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    timeout_s: float = 600.0,
    executor: str = "local",
    address: str = "",
) -> pd.DataFrame:
    """Times a suite's cells, as `gradrace time`: fresh processes, blocks in rotation.

    Returns a row for each cell and machine: task, framework, mode, optimizer, rule and so on, then
    launches, step_p25_s, step_median_s, step_p99_s, step_mean_s with `_low` and `_high` (95% over
    launches; three are needed), steps_per_s, samples_per_s, start_s, first_call_s, state_bytes,
    memory.
    suite, name, load: as of `run`; the others as the options of the command line.

    Raises gradrace.UserError for anything misspelt or impossible; failed launches are counted."""
    from dataclasses import replace

    from ..results import frame
    from ..sweep import Options

    parts = {"launches": launches, "blocks": blocks, "breakdown": breakdown, "memory": memory}
    options = Options(
        output=Path(output),
        keyword=keyword,
        frameworks=tuple(frameworks),
        threads=threads,
        device=device,
        dtype=dtype,
        timeout_s=timeout_s,
        clock_only=True,
        timing={key: value for key, value in parts.items() if value is not None},
        executor=executor,
        address=address,
    )
    sweep, _ = _carried_out(suite, name, load, options)
    frames = frame.load(output, sweep.suite.name)
    chosen = frames.runs["digest"].isin([run.digest for run in sweep.selected])
    return frame.timing_cells(replace(frames, runs=frames.runs[chosen]))


def _carried_out(
    suite: str | Mapping[str, Any], name: str, load: Sequence[str | Path], options: Options
) -> tuple[Sweep, Outcome]:
    from ..suite import make_suite
    from ..sweep import execute, prepare

    chosen = suite if isinstance(suite, str) else make_suite(name, suite, file=name)
    sweep = prepare(chosen, [Path(file) for file in load], options)
    return sweep, execute(sweep)


def _verify(sweep: Sweep, outcome: Outcome) -> None:
    from ..errors import ExitCode
    from ..verify.suite import verify_suite

    if outcome.exit_code == ExitCode.NOTHING_MEASURED:
        return
    if failures := verify_suite(sweep).failures:
        said = "; ".join(failures[:3])
        warnings.warn(
            f"{len(failures)} verdicts FAILED, the comparison is not fair: {said}", stacklevel=3
        )
