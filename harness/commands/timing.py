"""`gradrace time`: only the clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import limits
from ..output.terminal import print_table, say
from . import (
    AsJson,
    DataDir,
    Device,
    DryRun,
    Dtype,
    Frameworks,
    Keyword,
    Load,
    Output,
    Pythons,
    Quiet,
    Suite,
    command,
)
from .numbers import SECONDS, count
from .sweeping import carry_out, interpreters, planning, print_plan

if TYPE_CHECKING:
    import pandas as pd

    from ..sweep import Options, Outcome, Sweep


@command
def time_(
    suite: Suite,
    keyword: Keyword = "",
    launches: Annotated[
        int | None,
        typer.Option(
            parser=count(1, limits.LAUNCHES), help="Processes a cell, instead of the suite's."
        ),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(
            parser=count(4, limits.BLOCKS), help="Timed blocks a launch, instead of the suite's."
        ),
    ] = None,
    output: Output = Path("results"),
    framework: Frameworks = None,
    device: Device = None,
    dtype: Dtype = None,
    threads: Annotated[
        int | None,
        typer.Option(
            parser=count(1, limits.THREADS),
            help="Threads and cores of a worker instead of the suite's.",
        ),
    ] = None,
    breakdown: Annotated[
        bool | None,
        typer.Option(
            "--breakdown/--no-breakdown", help="Also time forward, gradient and update apart."
        ),
    ] = None,
    memory: Annotated[
        bool | None,
        typer.Option("--memory/--no-memory", help="Also measure memory, in one process a cell."),
    ] = None,
    load: Load = None,
    python: Pythons = None,
    data_dir: DataDir = None,
    timeout: Annotated[
        float,
        typer.Option(parser=SECONDS, help="Seconds a cell and launch after which it is given up."),
    ] = 600.0,
    dry_run: DryRun = False,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write the HTML report.")
    ] = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Time a suite's cells, and nothing else: launches in fresh pinned processes, warm-up, rotated
    blocks of steps.

    A cell is a framework, mode, task, optimizer with rule and hyperparameters, batch size, device,
    dtype and number of threads. Timed are every setting that the suite trains, and each optimizer
    under the rule of its timing part (native: the library's own class). Launches and blocks follow
    that part, or the defaults if there is none. Intervals are 95% over
    launches: three are needed for one, ten are the default. What was trained of the suite stays in
    its report; what was timed of it before is replaced there. As with `run`, finished launches are
    taken from OUTPUT."""
    from ..data import use_folder
    from ..sweep import Options, prepare

    use_folder(data_dir)
    asked = {"launches": launches, "blocks": blocks, "breakdown": breakdown, "memory": memory}
    options = Options(
        output,
        keyword,
        tuple(framework or ()),
        threads=threads,
        device=device,
        timeout_s=timeout,
        dtype=dtype,
        interpreters=interpreters(python),
        clock_only=True,
        timing={name: value for name, value in asked.items() if value is not None},
    )
    sweep = prepare(suite, load or [], options, planning(quiet))
    if dry_run:
        print_plan(sweep, as_json)
        return
    outcome = carry_out(sweep, quiet)
    _show(sweep, outcome, as_json)
    if report:
        _write_report(options, as_json)
    raise typer.Exit(outcome.exit_code)


def _show(sweep: Sweep, outcome: Outcome, as_json: bool) -> None:
    from dataclasses import replace

    from ..results import frame

    frames = frame.load(sweep.options.output, sweep.suite.name)
    chosen = frames.runs["digest"].isin([run.digest for run in sweep.selected])
    cells = frame.timing_cells(replace(frames, runs=frames.runs[chosen]))
    if as_json:
        head = {"suite": sweep.suite.name, "cached": outcome.cached, "counts": dict(outcome.counts)}
        found = json.loads(cells.to_json(orient="records", double_precision=15))
        say(json.dumps(head | {"exit_code": int(outcome.exit_code), "cells": found}))
        return
    _print_cells(sweep.suite.content.title, cells)


def _print_cells(title: str, cells: pd.DataFrame) -> None:
    from ..report import timing_text

    print_table(title, timing_text.cells(cells))
    parts = timing_text.parts(cells)
    if parts:
        print_table("Where a step goes, µs [95% interval over launches]", parts)
    for note in timing_text.notes(cells):
        say(f"note: {note}")


def _write_report(options: Options, as_json: bool) -> None:
    from ..report.writer import write
    from ..results import frame

    page = write(frame.load(options.output), options.output / "html")
    say(f"report: {page}", err=as_json)
