"""`gradrace fetch`: data sets from the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Argument

from ..errors import UserError, nearest
from ..output.terminal import say
from . import options

_NAMES = "Data sets, such as mnist; all by default."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace fetch` takes."""

    names: Annotated[tuple[str, ...], Argument((), help=_NAMES)]
    data_dir: options.DataDir


def main(args: Arguments) -> None:
    """Download data sets, check their sha256 sums, and keep them for later runs.

    Files that are there already and right are left alone. Without a network the message says which
    files to put where by hand. Runs whose data are missing are skipped."""
    from .. import data

    data.use_folder(args.data_dir)
    for name in args.names or [name for name, known in data.SETS.items() if known.files]:
        if name not in data.SETS:
            raise UserError(f"no data set {name!r}{nearest(name, data.SETS)}")
        files = data.SETS[name].files
        if not files:
            say(f"{name}: comes with gradrace, nothing to download", err=True)
            continue
        came = data.fetch(files)
        done = f"{len(came)} files downloaded to" if came else "complete in"
        say(f"{name}: {done} {files[0].path.parent}")
