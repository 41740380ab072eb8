"""`gradrace merge`: results of several folders in one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..output.terminal import say, teller
from . import options

_SOURCES = "Folders of results (of `gradrace run --output`). They are only read."
_DRY_RUN = "Read, verify and say what would be done; write nothing."
_SKIP = "Leave out runs whose files are not what they should be, and list them."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace merge` takes."""

    sources: Annotated[tuple[Path, ...], Argument(metavar="FOLDER...", help=_SOURCES)]
    output: options.Output
    skip_unsound: Annotated[bool, Option(False, "--skip-unsound", help=_SKIP)]
    dry_run: Annotated[bool, Option(False, "--dry-run", help=_DRY_RUN)]
    as_json: options.AsJson
    quiet: Annotated[bool, Option(False, "--quiet", "-q", help="Say nothing while it reads.")]


def main(args: Arguments) -> None:
    """Put results of several folders, of other machines or of shards, into one. OUTPUT may be new,
    or a folder of results, which takes part and keeps all that is finished in it.

    Every record is verified before anything is written: its digest must stand for what it says, and
    its arrays must be whole. Of several results of one run a finished one is kept before any other,
    then OUTPUT's own, then the one that started first; if they are not equal, that is said. Of
    timing runs the machine that finished most of them is kept. Refused are suites, studies,
    libraries and code that differ under one name. The same command goes on after a kill."""
    from ..merge import merge
    from ..merge.text import lines

    merged = merge(
        args.sources,
        args.output,
        dry_run=args.dry_run,
        skip_unsound=args.skip_unsound,
        tell=teller(args.quiet),
    )
    if args.as_json:
        say(json.dumps(merged.to_json(), indent=1))
        return
    for line in lines(merged, args.dry_run):
        say(line)
