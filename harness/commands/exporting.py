"""`gradrace export`: stored results in the formats of other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UserError
from ..output.terminal import say
from . import Output, command

if TYPE_CHECKING:
    from pandas import DataFrame


class Format(StrEnum):
    """What results are exported to."""

    asv = "asv"
    csv = "csv"
    parquet = "parquet"


@command
def export(
    to_format: Annotated[Format, typer.Argument(metavar="FORMAT", help="asv, csv or parquet.")],
    suites: Annotated[
        list[str] | None, typer.Argument(help="Which suites; all that have results by default.")
    ] = None,
    output: Output = Path("results"),
    to: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; OUTPUT/asv or OUTPUT/tables by default."),
    ] = None,
    commit: Annotated[
        str | None, typer.Option(help="asv: the commit that was measured; HEAD by default.")
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(help="asv: the git repository of that commit; here by default.")
    ] = None,
    machine: Annotated[
        str | None, typer.Option(help="asv: the machine's name; asv's own for this one by default.")
    ] = None,
) -> None:
    """Write stored results in the formats of other tools. Nothing is run or timed again.

    asv: files that `asv show`, `asv compare` and `asv publish` read beside those of `asv run`; TO
    is asv's results_dir. The results are filed under a commit of your choice: export them before
    you change the code.

    csv, parquet: three tidy tables: runs (one row a run), curves (one row a point), steps (one row
    a timed block)."""
    if to_format is Format.asv:
        _asv(output, suites or [], to or output / "asv", commit, repo, machine)
        return
    for option, given in (("--commit", commit), ("--repo", repo), ("--machine", machine)):
        if given is not None:
            raise UserError(
                f"{option}: only asv's files are of a commit and a machine; leave it out for"
                f" {to_format}"
            )
    _tables(output, suites or [], to or output / "tables", to_format)


def _asv(
    output: Path,
    suites: list[str],
    to: Path,
    commit: str | None,
    repo: Path | None,
    machine: str | None,
) -> None:
    from ..results.asv.export import export as export_asv

    exported = export_asv(output, suites, to, commit or "HEAD", repo or Path(), machine)
    for file in exported.files:
        say(file)
    if exported.unfinished:
        say(
            f"gradrace: {exported.unfinished} planned runs have no result yet. What a benchmark"
            " measures is the runs there are: asv starts a new series once they are finished",
            err=True,
        )


def _tables(output: Path, suites: list[str], to: Path, to_format: Format) -> None:
    from ..jsonfile import writing
    from ..results import frame

    frames = frame.load(output, *suites)
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)
        for name, table in (
            ("runs", frames.runs),
            ("curves", frames.curves),
            ("steps", frames.steps),
        ):
            _write(table, to / f"{name}.{to_format}")
            say(to / f"{name}.{to_format}")


def _write(table: DataFrame, file: Path) -> None:
    from ..jsonfile import replacing
    from ..output.escaping import csv_table, plain_table

    with replacing(file) as partial:
        if file.suffix == ".csv":
            csv_table(table).to_csv(partial, index=False, lineterminator="\n")
        else:
            plain_table(table).to_parquet(partial, index=False)
