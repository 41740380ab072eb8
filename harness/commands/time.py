"""`gradrace time`: only the clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from .. import limits
from ..errors import UserError
from ..output.terminal import print_table, say, teller
from . import documents, options, reporting, sweeping
from .arguments import fill
from .numbers import count

if TYPE_CHECKING:
    import pandas as pd

    from ..sweep import Outcome, Sweep

_LAUNCHES = "Processes a cell, instead of the suite's."
_BLOCKS = "Timed blocks a launch, instead of the suite's."
_PARTS = "Also time forward, gradient and update apart."
_MEMORY = "Also measure memory, in one process a cell."
_PROFILE = "Also keep a trace of each cell in OUTPUT/profiles, from a launch after all timing."
# Keys of a suite's timing part.
_TIMING = ("launches", "blocks", "breakdown", "memory")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The fields with names of sweep.Options are those."""

    suite: options.Suite
    keyword: options.Keyword
    launches: Annotated[int | None, Option(None, parser=count(1, limits.LAUNCHES), help=_LAUNCHES)]
    blocks: Annotated[int | None, Option(None, parser=count(4, limits.BLOCKS), help=_BLOCKS)]
    output: options.Output
    frameworks: options.Frameworks
    device: options.Device
    dtype: options.Dtype
    threads: options.Threads
    executor: options.Executor
    address: options.Address
    breakdown: Annotated[bool | None, Option(None, "--breakdown/--no-breakdown", help=_PARTS)]
    memory: Annotated[bool | None, Option(None, "--memory/--no-memory", help=_MEMORY)]
    profile: Annotated[bool, Option(False, "--profile", help=_PROFILE)]
    load: options.Load
    python: options.Pythons
    data_dir: options.DataDir
    timeout_s: options.Timeout
    dry_run: options.DryRun
    report: options.Report
    quiet: options.Quiet
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Time a suite's cells, nothing else: fresh pinned processes, blocks in rotation.

    A cell is a framework, mode, task, optimizer with rule and hyperparameters, batch size, device,
    dtype and number of threads. Every setting that the suite trains is timed, and each optimizer
    under the rule of the suite's timing part (native: the library's own class). Launches and blocks
    follow that part, or the defaults if there is none. Intervals are 95% over launches: three are
    needed for one, ten are the default. The suite's report keeps what was trained; new timings
    replace old ones there. As with `run`, finished launches are taken from OUTPUT."""
    from ..data import use_folder
    from ..sweep import Options, prepare

    use_folder(args.data_dir)
    timing = {key: value for key in _TIMING if (value := getattr(args, key)) is not None}
    pythons = sweeping.interpreters(args.python)
    wanted = fill(Options, args, interpreters=pythons, clock_only=True, timing=timing)
    sweep = prepare(args.suite, args.load, wanted, sweeping.planning(args.quiet))
    if args.profile and args.executor != "local":
        raise UserError("--profile: traces are taken on this machine only, with --executor local")
    if args.dry_run:
        sweeping.print_plan(sweep, args.as_json)
        return
    outcome = sweeping.carry_out(sweep, args.quiet)
    cells = _cells(sweep)
    _show(sweep, outcome, cells, args.as_json)
    if args.profile:
        _keep_traces(sweep, args.quiet)
    if args.report:
        from ..report.documents.timed import document

        make = partial(document, sweep.suite.content.title, cells)
        documents.leave(args.output, make, args.quiet)
        reporting.refresh(args.output, sweep.suite.name)
        reporting.tell_page(args.output, args.as_json)
    raise typer.Exit(outcome.exit_code)


def _keep_traces(sweep: Sweep, quiet: bool) -> None:
    from ..why.kept import keep_traces

    runs = [planned.spec for planned in sweep.selected]
    folder, pythons = sweep.options.output / "profiles", dict(sweep.options.interpreters)
    for line in keep_traces(runs, sweep.registry, pythons, folder, teller(quiet)):
        say(line, err=True)


def _cells(sweep: Sweep) -> pd.DataFrame:
    """The selected cells."""
    from ..results import frame

    frames = frame.load(sweep.options.output, sweep.suite.name)
    chosen = frames.runs["digest"].isin([run.digest for run in sweep.selected])
    return frame.timing_cells(replace(frames, runs=frames.runs[chosen]))


def _show(sweep: Sweep, outcome: Outcome, cells: pd.DataFrame, as_json: bool) -> None:
    from ..report import timing_text

    if as_json:
        found = json.loads(cells.to_json(orient="records", double_precision=15))
        say(json.dumps(sweeping.head(sweep, outcome) | {"cells": found}))
        return
    print_table(sweep.suite.content.title, timing_text.cells(cells))
    if parts := timing_text.parts(cells):
        print_table("Where a step goes, µs [95% interval over launches]", parts)
    for note in timing_text.notes(cells):
        say(f"note: {note}")
