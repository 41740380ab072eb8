"""`gradrace report`: the report by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from ..output.terminal import say
from . import options


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace report` takes."""

    suites: options.Suites
    output: options.Output
    html: Annotated[Path | None, Option(None, help="Folder for the page; OUTPUT/html by default.")]


def main(args: Arguments) -> None:
    """Write the HTML report: a folder that opens without a network, with its data as CSV."""
    from ..report.fresh import made_of
    from ..report.writer import alone, replace
    from ..results import frame

    folder, before = args.html or args.output / "html", made_of(args.output)
    frames = frame.load(args.output, *args.suites)
    with alone(folder):
        if made_of(args.output) != before:
            # Who wrote meanwhile may have read more.
            frames = frame.load(args.output, *args.suites)
        say(replace(frames, folder))
