"""Published files: found where they lie already, and read only if they hold what was published.

The content decides, not the packing: a file counts by the sum of what it unpacks to."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from . import unpack
from .parts import DataBroken, DataMissing, Part
from .places import data_folder, roots

Unpack = Callable[[Path, Sequence[Part]], Iterator[bytes]]
# (path, time of the last change in ns, size) of the files that are there.
Present = tuple[tuple[Path, int, int], ...]


@dataclass(frozen=True)
class Packing:
    """A way in which a data set lies in a folder: a file for each part, or one file for all.

    folders: below each of `places.roots()`. files: the names of each file; the first with the right
    content counts."""

    folders: tuple[str, ...]
    files: tuple[tuple[str, ...], ...]
    unpack: Unpack = unpack.alone

    def shares(self, parts: tuple[Part, ...]) -> Iterator[tuple[tuple[str, ...], Sequence[Part]]]:
        """(names, parts) of each file."""
        groups = [(part,) for part in parts] if len(self.files) == len(parts) else [parts]
        return zip(self.files, groups, strict=True)

    def checked(self, path: Path, parts: Sequence[Part]) -> Iterator[bytes]:
        """The contents of these parts in a file. DataBroken if one is not what is published."""
        contents = self.unpack(path, parts)
        for part, content in zip(parts, contents, strict=True):
            yield part.checked(content, path)


@dataclass(frozen=True)
class Download:
    """A file to download: its sha256 sum as it is published; its addresses, tried in order."""

    name: str
    sha256: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """A data set that was published as files.

    packings: the first is that of the downloads, one for each of its files. hint: another way to
    get them, for a person."""

    name: str
    parts: tuple[Part, ...]
    downloads: tuple[Download, ...]
    packings: tuple[Packing, ...]
    hint: str = ""

    @property
    def folder(self) -> Path:
        """Where downloads go, and what is placed by hand."""
        return data_folder() / self.packings[0].folders[0]


@dataclass(frozen=True)
class Finding:
    """Where a data set was found, or that it was not.

    folder: the one that holds it. paths: the file of each part, in the parts' order. problems:
    folder and text of what was seen and cannot be used."""

    folder: Path | None = None
    paths: tuple[Path, ...] = ()
    problems: tuple[tuple[Path, str], ...] = ()
    contents: tuple[bytes, ...] = field(default=(), repr=False)


def find(known: Published) -> Finding:
    """Where the data set is, without its contents. Sums are compared once for each state of the
    files."""
    return _found(known, _present(known))


@lru_cache(maxsize=32)
def _found(known: Published, present: Present) -> Finding:
    return _search(known, present, keep=False)


def read(known: Published) -> Finding:
    """The data set with the contents of its parts. DataMissing: it is nowhere. DataBroken: what
    lies in our folder is something else, and nothing else was found."""
    found = _search(known, _present(known), keep=True)
    if found.folder:
        return found
    if broken := _own_problems(known, found):
        raise DataBroken(f"{broken[0]}. Remove it and run `gradrace fetch {known.name}`")
    raise DataMissing(missing_files(known))


def missing_files(known: Published) -> str:
    """Which files are missing and how to get them, in one line; "" if a run can be tried: the data
    set was found, or files of ours are broken, which is a failure with a name."""
    found = find(known)
    if found.folder or _own_problems(known, found):
        return ""
    names = (files[0] for files in known.packings[0].files)
    lost = ", ".join(n for i, n in enumerate(names) if not _any_there(known, i))
    text = (
        f"the data set {known.name} is not there: {lost} missing in {known.folder}, and nothing in"
        f" the other usual places; `gradrace fetch {known.name}` downloads it, or says what to"
        " place there by hand"
    )
    return "; ".join([text, *(f"not used: {problem}" for _, problem in found.problems)])


def whereabouts(known: Published) -> str:
    """ "found in" its folder, and what was not used; "" if the data set is nowhere."""
    found = find(known)
    if not found.folder:
        return ""
    return "; ".join([f"found in {found.folder}", *(f"not used: {p}" for _, p in found.problems)])


def _own_problems(known: Published, found: Finding) -> list[str]:
    return [text for folder, text in found.problems if folder == known.folder]


def _any_there(known: Published, index: int) -> bool:
    return any(_seen(known.folder / name) for name in known.packings[0].files[index])


def _present(known: Published) -> Present:
    """The files that may hold it; what may not be looked into is as if it were not there."""
    found = []
    for folder, packing in _places(known):
        if (state := _state(folder)) and stat.S_ISDIR(state.st_mode):
            paths = (folder / name for names in packing.files for name in names)
            found += [seen for path in paths if (seen := _seen(path))]
    return tuple(dict.fromkeys(found))


def _seen(path: Path) -> tuple[Path, int, int] | None:
    state = _state(path)
    if state and stat.S_ISREG(state.st_mode):
        return path, state.st_mtime_ns, state.st_size
    return None


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _places(known: Published) -> Iterator[tuple[Path, Packing]]:
    for root in roots():
        for packing in known.packings:
            for folder in packing.folders:
                yield root / folder, packing


def _search(known: Published, present: Present, *, keep: bool) -> Finding:
    there = {path for path, _, _ in present}
    problems: dict[tuple[Path, str], None] = {}
    for folder, packing in _places(known):
        shares = [
            ([folder / name for name in names if folder / name in there], parts)
            for names, parts in packing.shares(known.parts)
        ]
        if not all(paths for paths, _ in shares):
            continue
        taken = [_first_right(packing, *share, keep=keep) for share in shares]
        problems |= dict.fromkeys((folder, text) for one in taken for text in one.problems)
        if all(one.paths for one in taken):
            paths = tuple(path for one in taken for path in one.paths)
            contents = tuple(content for one in taken for content in one.contents)
            return Finding(folder, paths, tuple(problems), contents)
    return Finding(problems=tuple(problems))


@dataclass(frozen=True)
class _Taken:
    """Of one file: its path for each of its parts, none if no file was right."""

    paths: tuple[Path, ...] = ()
    contents: tuple[bytes, ...] = field(default=(), repr=False)
    problems: tuple[str, ...] = ()


def _first_right(
    packing: Packing, paths: Sequence[Path], parts: Sequence[Part], *, keep: bool
) -> _Taken:
    problems: list[str] = []
    for path in paths:
        try:
            contents = tuple(c if keep else b"" for c in packing.checked(path, parts))
        except DataBroken as error:
            problems.append(str(error))
            continue
        return _Taken((path,) * len(parts), contents if keep else (), tuple(problems))
    return _Taken(problems=tuple(problems))
