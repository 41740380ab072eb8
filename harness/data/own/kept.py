"""A user's splits as files: `<data folder>/own/<hash>/`, one .npy for each array, and entry.json.

The hash is that of all that the entry holds. It is written under a temporary name and renamed, so
it is whole or not there. Workers map the files read-only: a machine holds them in memory once. An
entry that nobody has opened for 30 days is removed when another one is written."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from ...errors import UserError, refused
from ...jsonfile import read_model, replace_text
from ...spec import Frozen
from ..places import VARIABLE, data_folder
from ..values import Split

SCHEMA = 1
_ENTRY = "entry.json"
_UNUSED_S, _UNFINISHED_S = 30 * 86_400.0, 86_400.0
_SPLITS = ("train", "validation", "test")
_MEND = "remove its folder; it is made again"


# Names of files, never of anything else.
ArrayName = Annotated[str, Field(pattern=r"^(train|validation|test)_[xy]$")]


class KeptArray(Frozen):
    """An array's shape and type, and the time its file was changed (ns), 0 before it is written."""

    shape: tuple[PositiveInt, ...]
    dtype: Annotated[str, Field(pattern=r"^<[fi][48]$")]
    modified_ns: NonNegativeInt = 0


class Entry(Frozen):
    """The facts of the splits. arrays: "train_x" and so on; test may be left out: validation.

    shape: of a sample, whose numbers lie flat in x. classes: 0 of numbers. labels: their names.
    largest: the greatest token, else 0."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    classes: NonNegativeInt
    labels: tuple[str, ...] = ()
    shape: tuple[PositiveInt, ...]
    largest: NonNegativeInt = 0
    arrays: dict[ArrayName, KeptArray]

    @property
    def rows(self) -> dict[str, int]:
        """Of each split."""
        return {name: self.arrays[f"{self.split(name)}_y"].shape[0] for name in _SPLITS}

    @property
    def bytes(self) -> int:
        """Of all arrays."""
        return sum(int(a.dtype[2]) * int(np.prod(a.shape)) for a in self.arrays.values())

    def split(self, name: str) -> str:
        """The split whose files it has."""
        return name if f"{name}_x" in self.arrays else "validation"


# Name of an array -> its pieces in order, to be asked for again and again.
Pieces = Mapping[str, Callable[[], Iterator[np.ndarray]]]


@dataclass(frozen=True)
class Made:
    """An entry that may not be written yet, and its hash."""

    entry: Entry
    pieces: Pieces
    content: str


def hashed(entry: Entry, pieces: Pieces) -> Made:
    """With the hash, 32 hex digits, of facts and arrays."""
    found = hashlib.sha256(json.dumps(entry.model_dump(mode="json"), sort_keys=True).encode())
    for name in entry.arrays:
        for piece in pieces[name]():
            found.update(np.ascontiguousarray(piece).data)
    return Made(entry, pieces, found.hexdigest()[:32])


def folder(content: str) -> Path:
    """Where the entry of this hash lies, or belongs."""
    return data_folder() / "own" / content


def is_kept(content: str) -> bool:
    """Whether it is there, whole. "" never is."""
    return bool(content) and (folder(content) / _ENTRY).is_file()


def keep(made: Made) -> None:
    """Writes the entry if it is not there. UserError if the folder cannot hold it."""
    place = folder(made.content)
    if is_kept(made.content):
        return
    draft = place.with_name(f".{made.content}-{secrets.token_hex(4)}")
    try:
        draft.mkdir(parents=True)
        free = shutil.disk_usage(draft).free
        if free < made.entry.bytes:
            raise UserError(
                f"{place.parent}: {_size(made.entry.bytes)} of data do not fit, {_size(free)} are"
                f" free; set {VARIABLE} to another folder"
            )
        _write(draft, made)
        _rename(draft, place)
    except OSError as error:
        raise UserError(
            f"{place.parent}: data cannot be kept there: {refused(error)}; set {VARIABLE} to"
            " another folder"
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _prune(place.parent, made.content)


def _write(draft: Path, made: Made) -> None:
    arrays = {}
    for name, array in made.entry.arrays.items():
        file = draft / f"{name}.npy"
        with file.open("wb") as written:
            header = {"descr": array.dtype, "fortran_order": False, "shape": array.shape}
            np.lib.format.write_array_header_1_0(written, header)
            for piece in made.pieces[name]():
                written.write(np.ascontiguousarray(piece).data)
        file.chmod(0o444)
        changed = file.stat().st_mtime_ns
        arrays[name] = array.model_copy(update={"modified_ns": changed})
    entry = made.entry.model_copy(update={"arrays": arrays})
    replace_text(draft / _ENTRY, json.dumps(entry.model_dump(mode="json", by_alias=True)))


def _rename(draft: Path, place: Path) -> None:
    try:
        draft.rename(place)
    except OSError:
        # Another process was first, or an entry was cut off.
        if not (place / _ENTRY).is_file():
            shutil.rmtree(place)
            draft.rename(place)


def _prune(own: Path, new: str) -> None:
    """Removes what nobody used; entries that another process removes are gone as well."""
    now = time.time()
    for entry in own.iterdir():
        with suppress(OSError):
            limit = _UNFINISHED_S if entry.name.startswith(".") else _UNUSED_S
            if entry.name != new and now - entry.lstat().st_mtime > limit:
                shutil.rmtree(entry)


def read_entry(content: str) -> Entry:
    """The facts. UserError: not ours, or damaged."""
    return read_model(Entry, folder(content) / _ENTRY, SCHEMA, "kept data of gradrace", _MEND)


def opened(content: str) -> tuple[Entry, dict[str, Split]]:
    """The facts, and the splits as read-only arrays on their files.

    UserError: a file is not what it was. Files whose time of change differs, as those of a copied
    folder, are read once to compare their hash."""
    entry, place = read_entry(content), folder(content)
    arrays = {name: _mapped(place / f"{name}.npy", kept) for name, kept in entry.arrays.items()}
    changed = any(
        (place / f"{name}.npy").stat().st_mtime_ns != kept.modified_ns
        for name, kept in entry.arrays.items()
    )
    if changed and _again(entry, arrays) != content:
        raise UserError(f"{place}: its arrays are not those of its name; {_MEND}")
    # So that it counts as used.
    with suppress(OSError):
        os.utime(place)
    splits = {
        name: Split(arrays[f"{entry.split(name)}_x"], arrays[f"{entry.split(name)}_y"])
        for name in _SPLITS
    }
    return entry, splits


def _mapped(file: Path, kept: KeptArray) -> np.ndarray:
    try:
        if file.is_symlink():
            raise ValueError("it is a link")
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        found = (array.shape, array.dtype.str, array.flags.c_contiguous)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read: {error}; {_MEND}") from None
    if found != (kept.shape, kept.dtype, True):
        raise UserError(f"{file}: holds {found[1]} of the shape {found[0]}; {_MEND}")
    return np.asarray(array)


def _again(entry: Entry, arrays: Mapping[str, np.ndarray]) -> str:
    plain = {
        name: kept.model_copy(update={"modified_ns": 0}) for name, kept in entry.arrays.items()
    }
    pieces = {name: (lambda array=array: iter([array])) for name, array in arrays.items()}
    return hashed(entry.model_copy(update={"arrays": plain}), pieces).content


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
