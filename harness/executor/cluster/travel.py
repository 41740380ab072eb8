"""Files of users that travel to the nodes: plug-ins, the local files that they import or read."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import UserError, refused
from ...importpath import ImportPath, Plugin, plugin_of, sources_of
from ...plugins import imports

# Larger files belong on each node, at the same path.
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Luggage:
    """Absolute path -> content. here: the folder that modules are looked for in first; search: the
    entries of the driver's path below which some of the files lie."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    here: str = ""
    search: tuple[str, ...] = ()

    def hashes(self) -> dict[str, str]:
        """Path -> sha256 sum."""
        return {path: hashlib.sha256(data).hexdigest() for path, data in self.files.items()}


def luggage(plugins: Sequence[Plugin]) -> Luggage:
    """The plug-ins and all local files that they lead to, as the digest counts them.

    UserError if they cannot be read, or are too large to send."""
    if not plugins:
        return Luggage()
    files = [str(file.resolve()) for file in sources_of(plugins)]
    request = {"files": files, "names": [], "left_out": [], "known": []}
    found: dict[str, bytes] = {}
    size = 0
    for path in imports.reached(request)["paths"]:
        try:
            size += Path(path).stat().st_size
            if size > _MOST_BYTES:
                raise UserError(
                    f"{path}: with it, the plug-ins and the files that they name have more than"
                    f" {_MOST_BYTES >> 20} MiB, too much to send to the nodes; read data from a"
                    " folder that the nodes have, named in an environment variable"
                )
            found[path] = Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {refused(error)}") from None
    entries = [str(Path(entry).absolute()) for entry in sys.path if entry]
    search = [e for e in entries if any(path.startswith(e + os.sep) for path in found)]
    return Luggage(found, str(Path.cwd()), tuple(dict.fromkeys(search)))


def unpack(bag: Luggage, folder: Path) -> None:
    """Writes the files below a folder of our own, in the same layout."""
    for path, data in bag.files.items():
        target = moved(path, folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    moved(bag.here, folder).mkdir(parents=True, exist_ok=True)


def moved_plugin(text: str, folder: Path) -> Plugin:
    """The plug-in with its file at its place below the folder."""
    plugin = plugin_of(text)
    if isinstance(plugin, ImportPath):
        return replace(plugin, file=plugin.file and moved(str(plugin.file), folder))
    return moved(text, folder)


def moved(path: str, folder: Path) -> Path:
    """The place of an absolute path below the folder."""
    return folder / Path(path).relative_to(Path(path).anchor)
