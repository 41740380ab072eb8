"""Data sets as arrays in three splits, by name. Read values first.

The sets: bundled (with scikit-learn), generated, users' own, and downloaded, whose published files
(parts) are searched for (files, in places), unpacked (unpack), parsed (formats) and downloaded
(fetching). folds makes new sets of others, stratified the splits. chance is the score without
learning, points are the functions of Point layers for drawings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from ..dataset import DataSet
from ..errors import nearest
from ..record import DataFacts
from ..spec import TaskSpec
from . import bundled, downloaded, fetching, files, generated, own
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
    "check_fit",
    "content",
    "data_folder",
    "expect",
    "fetch",
    "load",
    "missing",
    "names",
    "recall",
    "training_samples",
    "use",
    "use_folder",
    "whereabouts",
]

SETS: dict[str, Loader] = {**bundled.SETS, **generated.SETS, **downloaded.SETS}


# A process with many tasks must not hold the images of all.
@lru_cache(maxsize=3)
def load(name: str) -> Data:
    """The data set of this name; kept for the next call.

    ValueError: unknown name. DataMissing, DataBroken: its files are not there, or are others.
    UserError: a user's function fails, or gives what cannot be trained on."""
    is_own = own.is_known(name) or own.is_recalled(name)
    return own.load(name) if is_own else _known(name).load()


def use(sets: Mapping[str, DataSet]) -> None:
    """Makes users' data sets known by name to this process."""
    if own.use(sets):
        load.cache_clear()


def expect(name: str, content: str | None) -> None:
    """The content that a planned run found, see `content`: `load` then gives that or fails."""
    if content and own.is_known(name):
        own.expect(name, content)


def recall(name: str, facts: DataFacts | None) -> None:
    """A run was trained on these data: if no file brings them now, `load` gives what is kept."""
    if facts and facts.content and name not in SETS:
        own.recall(name, facts.content)


def names() -> list[str]:
    """Of all data sets, without folds."""
    return [*SETS, *own.names()]


def training_samples(name: str) -> int:
    """The size of the training split, without reading the data, unless they are a user's.

    ValueError: unknown name."""
    is_own = own.is_known(name) or own.is_recalled(name)
    return own.training_samples(name) if is_own else _known(name).training


def missing(name: str) -> str:
    """Which of the set's files are not there and how to get them; "" if it can be loaded."""
    published = None if own.is_known(name) else _known(name).published
    return files.missing_files(published) if published else ""


def whereabouts(name: str) -> str:
    """Where the set's files were found; "" if nowhere, or if it has none.

    ValueError: unknown name."""
    published = None if own.is_known(name) else _known(name).published
    return files.whereabouts(published) if published else ""


def fetch(name: str) -> list[Path]:
    """Downloads the set's files if they are nowhere; the paths of those that came."""
    published = _known(name).published
    return fetching.fetch(published) if published else []


def content(name: str) -> str | None:
    """The hash of a user's data, 32 hex digits; None of our own, whose source tells their content.

    ValueError: unknown name. UserError: as `load`."""
    if own.is_known(name) or own.is_recalled(name):
        return own.content(name)
    _known(name)
    return None


def check_fit(task: TaskSpec) -> None:
    """UserError if the task names a user's data on which it cannot be trained."""
    if own.is_known(task.data):
        own.check_fit(task)


def can_fold(name: str) -> bool:
    """Whether this data set has folds. ValueError: unknown name."""
    return own.can_fold(name) if own.is_known(name) else _known(name).resplit is not None


def _known(name: str) -> Loader:
    if name not in SETS and (found := folding.parse(name)):
        return _folded(name, *found)
    if name not in SETS:
        raise ValueError(f"no data set {name!r}{nearest(name, names())}")
    return SETS[name]


@lru_cache(maxsize=256)
def _folded(name: str, base: str, folds: folding.Folds) -> Loader:
    resplit = _known(base).resplit
    if resplit is None:
        raise ValueError(f"no folds can be made of the data set {base!r}: its splits are given")
    return Loader(len(resplit(folds.rows).train.y), partial(_renamed, resplit, folds, name))


def _renamed(resplit: Callable[[Choose], Data], folds: folding.Folds, name: str) -> Data:
    return replace(resplit(folds.rows), name=name)
