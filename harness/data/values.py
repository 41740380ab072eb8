"""A data set as the rest of gradrace has it, and how one set of samples becomes three splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from . import stratified
from .files import Published

SPLIT_SEED = 20_240_501
# strata int64[n] -> row numbers of each split
Choose = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Split:
    """x[n, d]: samples, float64, or float32 for images, or int64 for an Embedding.

    y: labels int64[n] or int64[n, time], or targets float64[n, k]."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Data:
    """`splits` has the keys train, validation and test; `classes` is 0 if y holds no labels.

    content: the hash of a user's own data, else "". shape: of a sample, if it is not x's own."""

    name: str
    splits: Mapping[str, Split]
    classes: int
    source: str
    licence: str = ""
    content: str = ""
    shape: tuple[int, ...] = ()

    @property
    def train(self) -> Split:
        """The split that is trained on."""
        return self.splits["train"]

    def shaped(self, split: str, shape: tuple[int, ...]) -> np.ndarray:
        """The split's samples as [n, *shape], in the data's own dtype."""
        x = self.splits[split].x
        return x.reshape(len(x), *shape)


@dataclass(frozen=True)
class Loader:
    """How a data set is read. Known before: the size of its training split, and the files of a
    published one.

    resplit: the data in other splits, chosen from the strata by a function like `split_indices`;
    None if its own splits are the only ones."""

    training: int
    load: Callable[[], Data]
    published: Published | None = None
    resplit: Callable[[Choose], Data] | None = None


def split_indices(strata: np.ndarray, train: int, validation: int) -> dict[str, np.ndarray]:
    """Row numbers of the three splits, stratified by `strata` int64[n]; the rest is the test split.

    No run's seed takes part, so that every run sees the same validation set."""
    rest, held_out = np.arange(len(strata)), np.arange(0)
    used = train + validation
    if used < len(strata):
        rest, held_out = stratified.train_test(strata, used, len(strata) - used, SPLIT_SEED)
    fitted, chosen = stratified.train_test(strata[rest], train, len(rest) - train, SPLIT_SEED)
    return {"train": rest[fitted], "validation": rest[chosen], "test": held_out}


def standardised(values: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1 over the rows `fitted`; constant ones become 0."""
    mean, spread = values[fitted].mean(axis=0), values[fitted].std(axis=0)
    return (values - mean) / np.where(spread > 0, spread, 1.0)
