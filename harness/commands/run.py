"""`gradrace run`: a suite from start to report."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated

import typer
from typer import Option

from .. import limits
from ..errors import ExitCode, UserError
from ..output.terminal import print_table, say
from . import ahead, options, reporting, sweeping, verifying
from .arguments import fill
from .numbers import count, number

_SCALE = "One of the suite's own sizes, such as small or large; `list suites` names them."
_SEEDS = "How many seeds instead of the suite's."
_SHARE = "Share of the training split to train on, instead of the suite's; may be repeated."
_VERIFY = "Verify what the suite compares, in a minute at most, unless that was done."
_NORMS = "Also record gradient and update norms of every layer, at every evaluation."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The fields with names of sweep.Options are those."""

    suite: options.Suite
    keyword: options.Keyword
    output: options.Output
    frameworks: options.Frameworks
    scale: Annotated[str | None, Option(None, help=_SCALE)]
    seeds: Annotated[int | None, Option(None, parser=count(1, limits.SEEDS), help=_SEEDS)]
    threads: options.Threads
    workers: options.Workers
    executor: options.Executor
    address: options.Address
    population: options.Population
    device: options.Device
    dtype: options.Dtype
    train_fractions: Annotated[
        tuple[float, ...], Option((), "--train-fraction", parser=number(), help=_SHARE)
    ]
    diagnose: Annotated[bool, Option(False, "--diagnose", help=_NORMS)]
    timeout_s: options.Timeout
    shard: Annotated[str, Option("1/1", help="Only part i of n, for job arrays: 2/8.")]
    load: options.Load
    python: options.Pythons
    data_dir: options.DataDir
    dry_run: options.DryRun
    verify: Annotated[bool, Option(True, "--verify/--no-verify", help=_VERIFY)]
    report: options.Report
    quiet: options.Quiet
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Run a suite: train and time what is not finished, keep each result, verify, then report.

    A run is done once: the same command again takes finished runs from OUTPUT, also after Ctrl-C or
    a kill. If library versions, the source that computes a run, or its specification change, it is
    run anew. Runs that failed or timed out are tried again; diverged ones are results. Results do
    not depend on the number of workers. --population trains many runs of one shape in one program,
    a lane each; they are results of a mode of its own. At the end the suite's own cells are
    verified: its update rules, schedules and tasks, as by `gradrace verify`. --no-report also
    leaves out the summary. Exit code 1 if runs failed or a verdict is FAILED."""
    from ..data import use_folder
    from ..sweep import Options, prepare

    use_folder(args.data_dir)
    pythons = sweeping.interpreters(args.python)
    lanes = sweeping.population(args.population)
    wanted = fill(Options, args, shard=_shard(args.shard), interpreters=pythons, population=lanes)
    sweep = prepare(args.suite, args.load, wanted, sweeping.planning(args.quiet))
    if args.dry_run:
        sweeping.print_plan(sweep, args.as_json)
        if args.verify and not args.as_json:
            verifying.print_plan(sweep)
        return
    if args.report:
        ahead.load(sweep)
    outcome = sweeping.carry_out(sweep, args.quiet)
    code = outcome.exit_code
    failed = (
        verifying.verify_cells(sweep, args.quiet)
        if args.verify and code != ExitCode.NOTHING_MEASURED
        else 0
    )
    code = code or (ExitCode.RUNS_FAILED if failed else ExitCode.OK)
    if args.as_json:
        say(json.dumps(sweeping.head(sweep, outcome) | {"exit_code": int(code)}))
    if args.report:
        rows = reporting.refresh(args.output, sweep.suite.name)
        if not args.as_json:
            print_table(sweep.suite.content.title, rows)
        reporting.tell_page(args.output, args.as_json)
    raise typer.Exit(code)


def _shard(text: str) -> tuple[int, int]:
    matched = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if matched and 1 <= int(matched[1]) <= int(matched[2]):
        return int(matched[1]), int(matched[2])
    from ..strict import given

    raise UserError(f"--shard {given(text)}: expected i/n with 1 <= i <= n, such as 2/8")
