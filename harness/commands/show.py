"""`gradrace show`: a run in full, or several side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..errors import UserError
from ..output.terminal import print_rich, say
from . import completion, options

if TYPE_CHECKING:
    from ..report.record_text import Found

# As many as a page tells apart.
_MOST = 6
_RUNS = "Two to six, or one: the first digits of a run's digest, or part of its id."
_HTML = (
    "Print the address of the runs' page in OUTPUT/html; the report is written if it is not new."
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace show` takes."""

    runs: Annotated[
        tuple[str, ...], Argument(metavar="RUN", help=_RUNS, autocompletion=completion.runs)
    ]
    output: options.Output
    html: Annotated[bool, Option(False, "--html", help=_HTML)]
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Show a run in full: specification, outcome, versions, machine and files. Of several, what
    differs comes first."""
    from ..report.record_text import find, lines

    if len(args.runs) > _MOST:
        raise UserError(f"{len(args.runs)} runs are named; {_MOST} at most stand side by side")
    found = [find(args.output, run) for run in args.runs]
    digests = [each.record.digest for each in found]
    if again := next((digest for digest in digests if digests.count(digest) > 1), None):
        raise UserError(f"the run {again[:10]} is named twice")
    if args.html:
        say(_address(args.output, found))
    elif args.as_json:
        records = [each.record.to_json() for each in found]
        say(json.dumps(records if len(records) > 1 else records[0], indent=1))
    elif len(found) > 1:
        _show_beside(found)
    else:
        for name, value in lines(found[0]):
            say(f"{name:16} {value}")


def _show_beside(found: list[Found]) -> None:
    from ..report.side_by_side import tables

    for table in tables(found):
        print_rich(table)


def _address(output: Path, found: list[Found]) -> str:
    """Of the page of a run, or of several side by side, in a report that holds them."""
    from .reporting import refresh

    places = [f"{each.suite}/{each.record.digest}" for each in found]
    refresh(output, found[0].suite)
    page = output / "html" / ("compare.html" if len(found) > 1 else "run.html")
    return f"{page.resolve().as_uri()}#{','.join(places)}"
