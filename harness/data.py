"""Data sets as arrays: features float64[n, d] standardised with training statistics, labels int64[n], three splits.

A fixed stratified split: it does not depend on a run's seed, so that every run sees the same validation set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from .errors import nearest

SPLIT_SEED = 20_240_501


@dataclass(frozen=True)
class Split:
    """Samples x float64[n, d] and their labels y int64[n]."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Data:
    """A data set in its three splits; `splits` has the keys train, validation and test."""

    name: str
    splits: Mapping[str, Split]
    classes: int
    source: str

    @property
    def train(self) -> Split:
        """The split that is trained on."""
        return self.splits["train"]

    def shaped(self, split: str, shape: tuple[int, ...]) -> np.ndarray:
        """The split's samples as float64[n, *shape]."""
        x = self.splits[split].x
        return x.reshape(len(x), *shape)


@cache
def load(name: str) -> Data:
    """The data set of this name, read once a process. ValueError for an unknown name."""
    if name not in _LOADERS:
        raise ValueError(f"no data set {name!r}{nearest(name, _LOADERS)}")
    return _LOADERS[name]()


def _digits() -> Data:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = bunch.data.astype(np.float64), bunch.target.astype(np.int64)
    splits = _split(x, y, train=TRAINING_SAMPLES["digits"], validation=320)
    source = "UCI Optical Recognition of Handwritten Digits, test part, 1797 images of 8x8, as in scikit-learn"
    return Data("digits", splits, classes=10, source=source)


def _split(x: np.ndarray, y: np.ndarray, train: int, validation: int) -> dict[str, Split]:
    """Stratified by class; the rest is the test split. Features with no spread in training stay at 0."""
    from sklearn.model_selection import train_test_split

    rest, held_out = train_test_split(
        np.arange(len(y)), train_size=train + validation, stratify=y, random_state=SPLIT_SEED
    )
    fitted, chosen = train_test_split(rest, train_size=train, stratify=y[rest], random_state=SPLIT_SEED)
    mean, spread = x[fitted].mean(axis=0), x[fitted].std(axis=0)
    x = (x - mean) / np.where(spread > 0, spread, 1.0)
    indices = {"train": fitted, "validation": chosen, "test": held_out}
    return {split: Split(x[index], y[index]) for split, index in indices.items()}


_LOADERS: Mapping[str, Callable[[], Data]] = {"digits": _digits}

# Known without reading the data, so that an impossible batch size is refused before anything is run.
TRAINING_SAMPLES: Mapping[str, int] = {"digits": 1152}
