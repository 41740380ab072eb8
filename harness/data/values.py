"""What a data set is to the rest of gradrace, and how one set of samples becomes three splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from . import stratified
from .files import RemoteFile

SPLIT_SEED = 20_240_501
# strata int64[n] -> row numbers of each split
Choose = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Split:
    """Samples x[n, d] and what is to be learnt.

    x: float64, float32 where eight bytes a pixel would be too much, or int64 for an Embedding. y:
    labels int64[n] or int64[n, time], or targets float64[n, k].
    """

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Data:
    """A data set in its three splits; `splits` has the keys train, validation and test. `classes`
    is 0 where y is a number instead of a label."""

    name: str
    splits: Mapping[str, Split]
    classes: int
    source: str

    @property
    def train(self) -> Split:
        """The split that is trained on."""
        return self.splits["train"]

    def shaped(self, split: str, shape: tuple[int, ...]) -> np.ndarray:
        """The split's samples as [n, *shape], in the data's own dtype."""
        x = self.splits[split].x
        return x.reshape(len(x), *shape)


@dataclass(frozen=True)
class DataSet:
    """What is known without reading the data: the size of its training split, and the files it
    needs, if any.

    resplit: the data in other splits, chosen by a function like `split_indices` from the strata;
    None where nothing offers
        other splits than its own.
    """

    training: int
    load: Callable[[], Data]
    files: tuple[RemoteFile, ...] = ()
    resplit: Callable[[Choose], Data] | None = None


def split_indices(strata: np.ndarray, train: int, validation: int) -> dict[str, np.ndarray]:
    """Row numbers of the three splits, stratified by `strata` int64[n]; what is left over is the
    test split.

    Fixed: no run's seed takes part, so that every run sees the same validation set.
    """
    rows = np.arange(len(strata))
    rest, held_out = rows, rows[:0]
    if train + validation < len(strata):
        rest, held_out = stratified.train_test(
            strata, train + validation, len(strata) - train - validation, SPLIT_SEED
        )
    fitted, chosen = stratified.train_test(strata[rest], train, len(rest) - train, SPLIT_SEED)
    return {"train": rest[fitted], "validation": rest[chosen], "test": held_out}


def standardised(values: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1 over the rows `fitted`; columns with no spread
    there stay at 0.
    """
    mean, spread = values[fitted].mean(axis=0), values[fitted].std(axis=0)
    return (values - mean) / np.where(spread > 0, spread, 1.0)
