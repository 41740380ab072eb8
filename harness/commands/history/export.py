"""`gradrace history export`: a history as files of another tool."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ...output.terminal import say
from . import places


class Format(StrEnum):
    """Formats that a history can be written in."""

    asv = "asv"


_TO = "asv's results_dir; results/asv by default."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace history export` takes."""

    to_format: Annotated[Format, Argument(metavar="asv", help="asv is the one format so far.")]
    folder: places.Folder
    branch: places.ReadBranch
    to: Annotated[Path, Option(Path("results/asv"), help=_TO)]


def main(args: Arguments) -> None:
    """Write a history as files of asv's, which `asv show`, `asv compare` and `asv publish` read.

    Each quantity is a benchmark, gradrace.history.step say, with the cell and the anchor as its
    parameters and the ratios of HEAD to the anchor as its values. What the folder holds is kept. Of
    several nights of one commit the last is written."""
    from ...history.asv_files import export

    for file in export(places.read(args.folder, args.branch).points, args.to):
        say(file)
