"""`gradrace publish`: reports as a static site."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..errors import UserError
from ..output.terminal import say

_SITE = "Folder of the site; reports that are there stay."
_OUTPUT = (
    "Folder of results, or NAME=FOLDER; may be repeated. The name, by default the folder's, is the"
    " report's address in the site."
)
_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace publish` takes."""

    site: Annotated[Path, Argument(help=_SITE)]
    output: Annotated[tuple[str, ...], Option(("results",), "--output", "-o", help=_OUTPUT)]


def main(args: Arguments) -> None:
    """Write reports into a static site: SITE/NAME for each, and an index of all.

    The page of a run is SITE/NAME/run.html#SUITE/DIGEST, and stays there. Publishing a name again
    replaces that report alone. Every link is relative, so that the site works under any address,
    from a disk too."""
    from ..jsonfile import writing
    from ..report import site
    from ..results import frame

    chosen = named(args.output)
    # All are read before anything is written.
    read = {name: frame.load(folder) for name, folder in chosen.items()}
    with writing(args.site):
        args.site.mkdir(parents=True, exist_ok=True)
    site.check_ours(args.site)
    for name, frames in read.items():
        say(site.publish(args.site, name, frames, chosen[name] / "html"))
    say(site.index(args.site))


def named(outputs: Iterable[str]) -> dict[str, Path]:
    """Name -> folder, of texts FOLDER or NAME=FOLDER. UserError for a bad name, or one given
    twice."""
    pairs = [_pair(text) for text in outputs]
    for name, folder in pairs:
        if not _FORM.fullmatch(name):
            raise UserError(
                f"-o {folder}: {name!r} cannot be a name: letters, digits and _.- as in"
                " -o NAME=FOLDER"
            )
    twice = [name for name, count in Counter(n.casefold() for n, _ in pairs).items() if count > 1]
    if twice:
        raise UserError(f"-o: two reports are called {twice[0]!r}; name them: -o NAME=FOLDER")
    return dict(pairs)


def _pair(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if equals and "/" not in name:
        return name, Path(folder)
    return Path(text).absolute().name, Path(text)
