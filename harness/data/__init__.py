"""Data sets as arrays in three fixed splits, by name. Read values first.

The sets: bundled (with scikit-learn), generated, and downloaded, whose published files (parts) are
searched for (files, in places), unpacked (unpack), parsed (formats) and downloaded (fetching).
folds makes new sets of bundled ones, stratified the splits. chance is the score without learning,
points are the functions of Point layers for drawings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ..errors import nearest
from ..output.silenced import off_stdout
from . import bundled, downloaded, fetching, files, generated
from . import folds as folding
from .folds import Folds
from .parts import DataBroken, DataMissing
from .places import data_folder, use_folder
from .values import Choose, Data, Loader, Split

__all__ = [
    "SETS",
    "Data",
    "DataBroken",
    "DataMissing",
    "Folds",
    "Loader",
    "Split",
    "can_fold",
    "content",
    "data_folder",
    "fetch",
    "load",
    "missing",
    "training_samples",
    "use_folder",
    "whereabouts",
]

SETS: dict[str, Loader] = {**bundled.SETS, **generated.SETS, **downloaded.SETS}
# Our own: their source tells their content. A plug-in may add to SETS.
_OWN = dict(SETS)


# A process with many tasks must not hold the images of all.
@lru_cache(maxsize=3)
def load(name: str) -> Data:
    """The data set of this name; kept for the next call.

    ValueError: unknown name. DataMissing, DataBroken: its files are not there, or are others."""
    return _known(name).load()


def training_samples(name: str) -> int:
    """The size of the training split, without reading the data. ValueError: unknown name."""
    return _known(name).training


def missing(name: str) -> str:
    """Which of the set's files are not there and how to get them; "" if it can be loaded."""
    published = _known(name).published
    return files.missing_files(published) if published else ""


def whereabouts(name: str) -> str:
    """Where the set's files were found; "" if nowhere, or if it has none.

    ValueError: unknown name."""
    published = _known(name).published
    return files.whereabouts(published) if published else ""


def fetch(name: str) -> list[Path]:
    """Downloads the set's files if they are nowhere; the paths of those that came."""
    published = _known(name).published
    return fetching.fetch(published) if published else []


def content(name: str) -> str | None:
    """16 hex digits of the arrays of a plug-in's data set, read now; None for our own sets.

    If they cannot be read, a text that says why: the run fails with it. ValueError: unknown name.
    """
    _known(name)
    if name not in SETS and (found := folding.parse(name)):
        return content(found[0])
    if SETS[name] is _OWN.get(name):
        return None
    try:
        with off_stdout():
            loaded = SETS[name].load()
        return _hash(loaded)
    # A user's function may raise anything.
    except Exception as error:
        return f"cannot be read: {type(error).__name__}"


def _hash(loaded: Data) -> str:
    found = hashlib.sha256(repr((loaded.name, loaded.classes, sorted(loaded.splits))).encode())
    for _, split in sorted(loaded.splits.items()):
        for values in (split.x, split.y):
            found.update(repr((values.shape, values.dtype.str)).encode())
            found.update(np.ascontiguousarray(values).data)
    return found.hexdigest()[:16]


def can_fold(name: str) -> bool:
    """Whether this data set has folds. ValueError: unknown name."""
    return _known(name).resplit is not None


def _known(name: str) -> Loader:
    if name not in SETS and (found := folding.parse(name)):
        return _folded(name, *found)
    if name not in SETS:
        raise ValueError(f"no data set {name!r}{nearest(name, SETS)}")
    return SETS[name]


@lru_cache(maxsize=256)
def _folded(name: str, base: str, folds: folding.Folds) -> Loader:
    resplit = _known(base).resplit
    if resplit is None:
        raise ValueError(f"no folds can be made of the data set {base!r}: its splits are given")
    return Loader(len(resplit(folds.rows).train.y), partial(_renamed, resplit, folds, name))


def _renamed(resplit: Callable[[Choose], Data], folds: folding.Folds, name: str) -> Data:
    return replace(resplit(folds.rows), name=name)
