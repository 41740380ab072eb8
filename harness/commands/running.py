"""`gradrace run`: a suite from start to report."""

from __future__ import annotations

import importlib
import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import limits
from ..errors import UserError
from ..output.terminal import print_table, say
from ..strict import given
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
    Timeout,
    Workers,
    command,
)
from .numbers import count, number
from .sweeping import carry_out, interpreters, planning, print_plan

if TYPE_CHECKING:
    from ..sweep import Sweep


@command
def run(
    suite: Suite,
    keyword: Keyword = "",
    output: Output = Path("results"),
    framework: Frameworks = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="One of the suite's own sizes, such as small or large; `list suites` names them."
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(parser=count(1, limits.SEEDS), help="How many seeds instead of the suite's."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            parser=count(1, limits.THREADS), help="Threads of a worker instead of the suite's."
        ),
    ] = None,
    workers: Workers = 0,
    device: Device = None,
    dtype: Dtype = None,
    train_fraction: Annotated[
        list[float] | None,
        typer.Option(
            parser=number(),
            help=(
                "Share of the training split to train on, instead of the suite's; may be repeated."
            ),
        ),
    ] = None,
    diagnose: Annotated[
        bool,
        typer.Option(
            "--diagnose",
            help="Also record gradient and update norms of every layer, at every evaluation.",
        ),
    ] = False,
    timeout: Timeout = 600.0,
    shard: Annotated[str, typer.Option(help="Only part i of n, for job arrays: 2/8.")] = "1/1",
    load: Load = None,
    python: Pythons = None,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    report: Annotated[
        bool,
        typer.Option("--report/--no-report", help="Write the HTML report and print a summary."),
    ] = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a suite: train and time what is not finished yet, keep each result as it arrives, then
    report.

    A run is done once: the same command again takes finished runs from OUTPUT, also after Ctrl-C or
    a kill. A change of library versions, of the source that computes a run, or of its specification
    makes it run anew. Runs that failed or timed out are tried again; diverged ones are results.
    Results do not depend on the number of workers."""
    from ..data import use_folder
    from ..sweep import Options, prepare

    use_folder(data_dir)
    options = Options(
        output,
        keyword,
        tuple(framework or ()),
        seeds,
        threads,
        device,
        timeout,
        _shard(shard),
        interpreters(python),
        dtype,
        workers=workers,
        scale=scale,
        train_fractions=tuple(train_fraction or ()),
        diagnose=diagnose,
    )
    sweep = prepare(suite, load or [], options, planning(quiet))
    if dry_run:
        print_plan(sweep, as_json)
        return
    if report:
        _load_ahead(sweep)
    outcome = carry_out(sweep, quiet)
    if as_json:
        counts = {
            "suite": sweep.suite.name,
            "cached": outcome.cached,
            "counts": dict(outcome.counts),
        }
        say(json.dumps(counts | {"exit_code": int(outcome.exit_code)}))
    if report:
        _report_after(sweep, as_json)
    raise typer.Exit(outcome.exit_code)


def _load_ahead(sweep: Sweep) -> None:
    """What draws takes seconds to import: this process has them while its workers train, but none
    while something is timed.
    """
    folder = sweep.options.output / "runs" / sweep.suite.name
    todo = [run for run in sweep.selected if not (folder / run.digest / "run.json").exists()]
    if todo and all(run.spec.measure == "convergence" for run in todo):
        threading.Thread(
            target=importlib.import_module, args=("gradrace.report.writer",), daemon=True
        ).start()


def _report_after(sweep: Sweep, as_json: bool) -> None:
    """Writes the report and prints the suite's summary; what is there already is not made again."""
    from ..report.fresh import fresh, made_of

    output = sweep.options.output
    now = made_of(output)
    summaries = fresh(output / "html", now)
    if summaries is None or sweep.suite.name not in summaries:
        summaries = _write_report(output, now)
    if not as_json:
        print_table(sweep.suite.content.title, summaries[sweep.suite.name])
        say(f"report: {output / 'html' / 'index.html'}")


def _write_report(output: Path, made: str) -> Mapping[str, list[dict[str, str]]]:
    """By suite the rows of its summary."""
    from ..report.fresh import keep
    from ..report.tables import summary_compact
    from ..report.writer import write
    from ..results import frame

    frames = frame.load(output)
    write(frames, output / "html")
    summaries = {name: summary_compact(frames, name).to_dict("records") for name in frames.plans}
    keep(output / "html", made, summaries)
    return summaries


def _shard(text: str) -> tuple[int, int]:
    matched = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if matched and 1 <= int(matched[1]) <= int(matched[2]):
        return int(matched[1]), int(matched[2])
    raise UserError(f"--shard {given(text)}: expected i/n with 1 <= i <= n, such as 2/8")
