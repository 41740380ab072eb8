"""`gradrace export`: stored results in the formats of other tools."""

from __future__ import annotations

import importlib
import itertools
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..errors import UserError
from ..output.terminal import say
from . import options

if TYPE_CHECKING:
    from pandas import DataFrame


class Format(StrEnum):
    """What results are exported to."""

    asv = "asv"
    csv = "csv"
    parquet = "parquet"
    tensorboard = "tensorboard"
    wandb = "wandb-offline"
    mlflow = "mlflow"


# Formats that have runs of their own: one of ours is one of theirs.
_RUNS = (Format.tensorboard, Format.wandb, Format.mlflow)
_FORMATS = "asv, csv, parquet, tensorboard, wandb-offline or mlflow."
_TO = "Folder to write to; by default OUTPUT/asv, /tables, /tensorboard, /wandb or /mlflow."
_COMMIT = "asv: the commit that was measured; HEAD by default."
_REPO = "asv: the git repository of that commit; here by default."
_MACHINE = (
    "asv: the machine's name; asv's own for this one by default, the host's for each other one."
)


# How to look at what was written.
_NEXT = {
    Format.tensorboard: "look: tensorboard --logdir {to}",
    Format.wandb: "send: wandb sync {to}/offline-run-*",
    Format.mlflow: "look: mlflow ui --backend-store-uri sqlite:///{to}/mlflow.db",
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """commit, repo and machine are asv's alone; keyword is for formats that have runs."""

    to_format: Annotated[Format, Argument(metavar="FORMAT", help=_FORMATS)]
    suites: options.Suites
    output: options.Output
    keyword: options.Keyword
    to: Annotated[Path | None, Option(None, help=_TO)]
    commit: Annotated[str | None, Option(None, help=_COMMIT)]
    repo: Annotated[Path | None, Option(None, help=_REPO)]
    machine: Annotated[str | None, Option(None, help=_MACHINE)]


def main(args: Arguments) -> None:
    """Write stored results in the formats of other tools. Nothing is run or timed again.

    asv: files that `asv show`, `asv compare` and `asv publish` read beside those of `asv run`; TO
    is asv's results_dir. The results are filed under a commit of your choice: export them before
    you change the code.

    csv, parquet: three tidy tables: runs (one row a run), curves (one row a point), steps (one row
    a timed block).

    tensorboard, wandb-offline, mlflow: each run becomes a run of that tool, with its curves,
    hyperparameters and final figures. Nothing leaves this machine. A run that is there already is
    kept, so export again after each sweep."""
    _check(args)
    if args.to_format is Format.asv:
        _export_asv(args)
    elif args.to_format in _RUNS:
        _export_runs(args)
    else:
        _export_tables(args)


def _check(args: Arguments) -> None:
    """UserError for an option that the format has no use for."""
    for option in ("commit", "repo", "machine"):
        if args.to_format is not Format.asv and getattr(args, option) is not None:
            raise UserError(
                f"--{option}: only asv's files are of a commit and a machine; leave it out for"
                f" {args.to_format}"
            )
    if args.keyword and args.to_format not in _RUNS:
        raise UserError(f"-k: {args.to_format} takes all runs of a suite; leave it out")


def _export_asv(args: Arguments) -> None:
    from ..results.asv.export import export

    to, repo = args.to or args.output / "asv", args.repo or Path()
    exported = export(args.output, args.suites, to, args.commit or "HEAD", repo, args.machine)
    for file in exported.files:
        say(file)
    if exported.scattered:
        say(
            f"gradrace: {exported.scattered} cells were trained by several machines: asv's files"
            " have no losses and steps of these, since each file is of one machine",
            err=True,
        )
    if exported.unfinished:
        say(
            f"gradrace: {exported.unfinished} planned runs have no result yet. A benchmark measures"
            " the runs there are: asv starts a new series once the others are finished",
            err=True,
        )


def _export_runs(args: Arguments) -> None:
    from ..export.runs import told
    from ..jsonfile import writing
    from ..results import frame
    from ..turns import turn

    name = args.to_format.value.partition("-")[0]
    tool = importlib.import_module(f"..export.{name}", __package__)
    to = args.to or args.output / name
    runs = told(frame.load(args.output, *args.suites), args.keyword)
    first = next(runs)
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)
    with turn(to / "runs"):
        done = tool.write(itertools.chain([first], runs), to)
    say(f"{to}: {done.written} runs written, {done.kept} were there already")
    say(_NEXT[args.to_format].format(to=to), err=True)


def _export_tables(args: Arguments) -> None:
    from ..jsonfile import writing
    from ..results import frame
    from ..turns import turn

    frames, to = frame.load(args.output, *args.suites), args.to or args.output / "tables"
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)
    # The three tables are of one moment.
    with turn(to / "runs"), writing(to):
        for name in ("runs", "curves", "steps"):
            file = to / f"{name}.{args.to_format}"
            _write(getattr(frames, name), file)
            say(file)


def _write(table: DataFrame, file: Path) -> None:
    from ..jsonfile import replacing
    from ..output.escaping import csv_table, plain_table

    with replacing(file) as partial:
        if file.suffix == ".csv":
            csv_table(table).to_csv(partial, index=False, lineterminator="\n")
        else:
            plain_table(table).to_parquet(partial, index=False)
