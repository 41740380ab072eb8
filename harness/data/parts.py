"""Published files, known by the size and sum of their content, and the errors of other files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

_ALGORITHMS = {32: "md5", 64: "sha256"}


class DataMissing(UserError):
    """A data set's files are not there: a run that needs them is skipped."""


class DataBroken(UserError):
    """A data set's file is not what it should be; nothing of it was used."""


@dataclass(frozen=True)
class Part:
    """The content of one published file, unpacked. A file that holds it is right, in any packing.

    size: in bytes. digest: its sha256 sum in hex; an md5 sum where no other is published. Nobody
    can make another file for a given md5 sum: only pairs of files with one sum are known."""

    name: str
    size: int
    digest: str

    def checked(self, content: bytes, path: Path) -> bytes:
        """The content. DataBroken if it is another; path: the file that it came from."""
        if len(content) != self.size:
            raise DataBroken(
                f"{path}: holds {len(content)} bytes of {self.name}, not {self.size}: truncated, or"
                " another file"
            )
        algorithm = _ALGORITHMS[len(self.digest)]
        found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
        if found != self.digest:
            raise DataBroken(
                f"{path}: the {algorithm} sum of {self.name}, unpacked, is {found}, not"
                f" {self.digest}: another file"
            )
        return content
