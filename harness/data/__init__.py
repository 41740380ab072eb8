"""Data sets as arrays in three splits, by name: bundled with scikit-learn, generated, or downloaded
by `gradrace fetch`.

Splits are fixed: they do not depend on a run's seed, so that every run sees the same validation
set. Folds of the bundled sets are data sets of their own, see folds.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from ..errors import nearest
from ..output.silenced import off_stdout
from . import bundled, downloaded, generated
from . import folds as folding
from .files import DataBroken, DataMissing, data_folder, fetch, missing_files, use_folder
from .folds import Folds
from .values import Choose, Data, DataSet, Split

__all__ = [
    "SETS",
    "Data",
    "DataBroken",
    "DataMissing",
    "DataSet",
    "Folds",
    "Split",
    "can_fold",
    "content",
    "data_folder",
    "fetch",
    "load",
    "missing",
    "training_samples",
    "use_folder",
]

SETS: dict[str, DataSet] = {**bundled.SETS, **generated.SETS, **downloaded.SETS}
# Our own, whose content is told by their source. A plug-in may add to SETS.
_OWN = dict(SETS)


# A process that runs one task after another must not hold the images of all of them.
@lru_cache(maxsize=3)
def load(name: str) -> Data:
    """The data set of this name; kept for the next call.

    ValueError for an unknown name, DataMissing or DataBroken where its files are not there or not
    the right ones."""
    return _known(name).load()


def training_samples(name: str) -> int:
    """The size of the training split, known without reading the data. ValueError for an unknown
    name.
    """
    return _known(name).training


def missing(name: str) -> str:
    """Which files of the data set are not there and how to get them; empty where it can be loaded."""
    return missing_files(_known(name).files)


def content(name: str) -> str | None:
    """16 hex digits of the arrays of a data set that a plug-in brought, read now; None for our own.

    A text that says why instead of digits if they cannot be had: the run itself will say so.
    ValueError for an unknown name."""
    _known(name)
    if name not in SETS and (found := folding.parse(name)):
        return content(found[0])
    if SETS[name] is _OWN.get(name):
        return None
    try:
        with off_stdout():
            loaded = SETS[name].load()
        return _hash(loaded)
    # It is a user's function.
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
    """Whether folds of this data set can be made; ValueError for an unknown name."""
    return _known(name).resplit is not None


def _known(name: str) -> DataSet:
    if name not in SETS and (found := folding.parse(name)):
        return _folded(name, *found)
    if name not in SETS:
        raise ValueError(f"no data set {name!r}{nearest(name, SETS)}")
    return SETS[name]


@lru_cache(maxsize=256)
def _folded(name: str, base: str, folds: folding.Folds) -> DataSet:
    resplit = _known(base).resplit
    if resplit is None:
        raise ValueError(f"no folds can be made of the data set {base!r}: its splits are given")
    return DataSet(len(resplit(folds.rows).train.y), partial(_renamed, resplit, folds, name))


def _renamed(resplit: Callable[[Choose], Data], folds: folding.Folds, name: str) -> Data:
    return replace(resplit(folds.rows), name=name)
