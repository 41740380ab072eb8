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
    from ..report.writer import write
    from ..results import frame

    say(write(frame.load(args.output, *args.suites), args.html or args.output / "html"))
