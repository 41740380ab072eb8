"""Data sets as arrays in three splits, by name: bundled with scikit-learn, generated, or downloaded by `gradrace fetch`.

Splits are fixed: they do not depend on a run's seed, so that every run sees the same validation set.
"""

from __future__ import annotations

from functools import lru_cache

from ..errors import nearest
from . import bundled, downloaded, generated
from .files import DataBroken, DataMissing, data_folder, fetch, missing_files, use_folder
from .values import Data, DataSet, Split

__all__ = [
    "SETS", "Data", "DataBroken", "DataMissing", "DataSet", "Split", "data_folder", "fetch", "load", "missing",
    "training_samples", "use_folder",
]  # fmt: skip

SETS: dict[str, DataSet] = {**bundled.SETS, **generated.SETS, **downloaded.SETS}


# A process that runs one task after another must not hold the images of all of them.
@lru_cache(maxsize=3)
def load(name: str) -> Data:
    """The data set of this name; kept for the next call.

    ValueError for an unknown name, DataMissing or DataBroken where its files are not there or not the right ones.
    """
    return _known(name).load()


def training_samples(name: str) -> int:
    """The size of the training split, known without reading the data. ValueError for an unknown name."""
    return _known(name).training


def missing(name: str) -> str:
    """Which files of the data set are not there and how to get them; empty where it can be loaded."""
    return missing_files(_known(name).files)


def _known(name: str) -> DataSet:
    if name not in SETS:
        raise ValueError(f"no data set {name!r}{nearest(name, SETS)}")
    return SETS[name]
