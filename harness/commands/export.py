"""`gradrace export`: stored results in the formats of other tools."""

from __future__ import annotations

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


_TO = "Folder to write to; OUTPUT/asv or OUTPUT/tables by default."
_COMMIT = "asv: the commit that was measured; HEAD by default."
_REPO = "asv: the git repository of that commit; here by default."
_MACHINE = (
    "asv: the machine's name; asv's own for this one by default, the host's for each other one."
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """commit, repo and machine are asv's alone."""

    to_format: Annotated[Format, Argument(metavar="FORMAT", help="asv, csv or parquet.")]
    suites: options.Suites
    output: options.Output
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
    a timed block)."""
    if args.to_format is Format.asv:
        _export_asv(args)
        return
    for option in ("commit", "repo", "machine"):
        if getattr(args, option) is not None:
            raise UserError(
                f"--{option}: only asv's files are of a commit and a machine; leave it out for"
                f" {args.to_format}"
            )
    _export_tables(args)


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
