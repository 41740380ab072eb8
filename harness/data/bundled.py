"""Small real data that come with scikit-learn: nothing to download. Standardised with training statistics."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from .values import Choose, Data, DataSet, Split, split_indices, standardised


def _classes(name: str, loader: str, source: str, choose: Choose) -> Data:
    x, y = _read(loader)
    labels = y.astype(np.int64)
    rows = choose(labels)
    x = standardised(x, rows["train"])
    splits = {split: Split(x[index], labels[index]) for split, index in rows.items()}
    return Data(name, splits, classes=int(labels.max()) + 1, source=source)


def _diabetes(choose: Choose) -> Data:
    """Targets are standardised as well, so that a mean squared error of 1 is that of a constant."""
    x, y = _read("load_diabetes", scaled=False)
    quartile = np.searchsorted(np.quantile(y, [0.25, 0.5, 0.75]), y).astype(np.int64)
    rows = choose(quartile)
    x, y = standardised(x, rows["train"]), standardised(y[:, np.newaxis], rows["train"])
    source = "Efron et al. (2004), Least Angle Regression: 442 patients, 10 measurements, progression after a year"
    return Data("diabetes", {split: Split(x[index], y[index]) for split, index in rows.items()}, 0, source)


# Nobody writes into these; runs on folds read them again and again.
@lru_cache(maxsize=4)
def _read(loader: str, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Features float64[n, d] and targets [n]."""
    import sklearn.datasets

    load: Callable[..., tuple[np.ndarray, np.ndarray]] = getattr(sklearn.datasets, loader)
    x, y = load(return_X_y=True, **options)
    return x.astype(np.float64), y


def _data_set(name: str, loader: str, train: int, validation: int, source: str) -> DataSet:
    return _of(partial(_classes, name, loader, source), train, validation)


def _of(load: Callable[[Choose], Data], train: int, validation: int) -> DataSet:
    return DataSet(train, partial(load, partial(split_indices, train=train, validation=validation)), resplit=load)


SETS = {
    "digits": _data_set(
        "digits", "load_digits", 1152, 320,
        "UCI Optical Recognition of Handwritten Digits, test part, 1797 images of 8x8, as in scikit-learn",
    ),
    "breast_cancer": _data_set(
        "breast_cancer", "load_breast_cancer", 352, 108,
        "UCI Breast Cancer Wisconsin (Diagnostic), 569 tumours, 30 measurements, as in scikit-learn",
    ),
    "wine": _data_set(
        "wine", "load_wine", 112, 33, "UCI Wine, 178 wines of 3 growers, 13 measurements, as in scikit-learn"
    ),
    "diabetes": _of(_diabetes, 272, 85),
}  # fmt: skip
