"""`gradrace fetch`: published data sets, from where they lie already or from the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Argument

from ..errors import UserError, nearest
from ..output.terminal import say
from . import completion, options

_NAMES = "Data sets, such as mnist; all by default."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace fetch` takes."""

    names: Annotated[
        tuple[str, ...], Argument((), help=_NAMES, autocompletion=completion.named("data"))
    ]
    data_dir: options.DataDir


def main(args: Arguments) -> None:
    """Find data sets on this machine, or download them; sums are checked.

    What lies in a usual place (data folder, caches of Keras and torch, ./data, /usr/share/datasets)
    is not downloaded. Without a network the message says which files to put where by hand. Runs
    whose data are missing are skipped."""
    from .. import data

    data.use_folder(args.data_dir)
    for name in args.names or [name for name, known in data.SETS.items() if known.published]:
        if name not in data.SETS:
            raise UserError(f"no data set {name!r}{nearest(name, data.SETS)}")
        if not data.SETS[name].published:
            say(f"{name}: comes with gradrace, nothing to download", err=True)
            continue
        came = data.fetch(name)
        done = f"{len(came)} files downloaded, " if came else "nothing to download, "
        say(f"{name}: {done}{data.whereabouts(name)}")
