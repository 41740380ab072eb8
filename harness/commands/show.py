"""`gradrace show`: one run in full."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

from typer import Argument

from ..output.terminal import say
from . import completion, options

_RUN = "The first digits of a run's digest, or part of its id."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace show` takes."""

    run: Annotated[str, Argument(help=_RUN, autocompletion=completion.runs)]
    output: options.Output
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Show one run in full: specification, outcome, versions, machine and files."""
    from ..report.record_text import find, lines

    found = find(args.output, args.run)
    if args.as_json:
        say(json.dumps(found.record.to_json(), indent=1))
        return
    for name, value in lines(found):
        say(f"{name:16} {value}")
