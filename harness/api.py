"""gradrace from Python: `gradrace.run(...)` runs a suite and gives its results as frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .results.frame import Frames


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
) -> Frames:
    """Runs what is not finished of a suite and returns all its results (see `gradrace.Frames`).

    suite: a built-in suite's name, a TOML file's path, or the content of such a file as a dict
    (kept under `name`).
    load: files with optimizers, tasks or schedules of your own, or import paths of optimizers, such
    as "torch:schedulefree.AdamWScheduleFree"; a suite may name these too. keyword, scale, workers
    (`-j`), train_fractions, diagnose, population, executor, address: as the options of the command
    line.

    Raises gradrace.UserError for anything misspelt, impossible or unwritable; failed runs are rows
    with a status."""
    from .results.frame import load as load_frames
    from .suite import make_suite
    from .sweep import Options, execute, prepare

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
    chosen = suite if isinstance(suite, str) else make_suite(name, suite, file=name)
    sweep = prepare(chosen, [Path(file) for file in load], options)
    execute(sweep)
    return load_frames(output, sweep.suite.name)
