"""Small real data that come with scikit-learn: nothing to download. Standardised with training
statistics.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

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
    x, y = _read("load_diabetes")
    quartile = np.searchsorted(np.quantile(y, [0.25, 0.5, 0.75]), y).astype(np.int64)
    rows = choose(quartile)
    x, y = standardised(x, rows["train"]), standardised(y[:, np.newaxis], rows["train"])
    source = (
        "Efron et al. (2004), Least Angle Regression: 442 patients, 10 measurements, progression"
        " after a year"
    )
    return Data(
        "diabetes", {split: Split(x[index], y[index]) for split, index in rows.items()}, 0, source
    )


# Nobody writes into these; runs on folds read them again and again.
@lru_cache(maxsize=4)
def _read(loader: str) -> tuple[np.ndarray, np.ndarray]:
    """Features float64[n, d] and targets [n], as the loader of this name in sklearn.datasets gives
    them, unscaled.

    The files are read where scikit-learn keeps them: importing it takes longer than a short run.
    Where it keeps them elsewhere, it is asked.
    """
    found = importlib.util.find_spec("sklearn")
    places = found.submodule_search_locations or [] if found else []
    files = [Path(place, "datasets", "data") / name for place in places for name in _FILES[loader]]
    if files and all(file.exists() for file in files):
        return _table(files)
    import sklearn.datasets

    load: Callable[..., tuple[np.ndarray, np.ndarray]] = getattr(sklearn.datasets, loader)
    x, y = load(return_X_y=True, **({"scaled": False} if loader == "load_diabetes" else {}))
    return x.astype(np.float64), y


# A table with the target in its last column, or a table and its targets.
_FILES = {
    "load_digits": ("digits.csv.gz",),
    "load_breast_cancer": ("breast_cancer.csv",),
    "load_wine": ("wine_data.csv",),
    "load_diabetes": ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),
}


def _table(files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    if len(files) > 1:
        features, targets = (np.loadtxt(file) for file in files)
        return features, targets
    # Plain files begin with a line of sizes and names.
    table = np.loadtxt(files[0], delimiter=",", skiprows=int(files[0].suffix == ".csv"))
    return table[:, :-1], table[:, -1].astype(int)


def _data_set(name: str, loader: str, train: int, validation: int, source: str) -> DataSet:
    return _of(partial(_classes, name, loader, source), train, validation)


def _of(load: Callable[[Choose], Data], train: int, validation: int) -> DataSet:
    return DataSet(
        train,
        partial(load, partial(split_indices, train=train, validation=validation)),
        resplit=load,
    )


SETS = {
    "digits": _data_set(
        "digits",
        "load_digits",
        1152,
        320,
        "UCI Optical Recognition of Handwritten Digits, test part, 1797 images of 8x8, as in"
        " scikit-learn",
    ),
    "breast_cancer": _data_set(
        "breast_cancer",
        "load_breast_cancer",
        352,
        108,
        "UCI Breast Cancer Wisconsin (Diagnostic), 569 tumours, 30 measurements, as in"
        " scikit-learn",
    ),
    "wine": _data_set(
        "wine",
        "load_wine",
        112,
        33,
        "UCI Wine, 178 wines of 3 growers, 13 measurements, as in scikit-learn",
    ),
    "diabetes": _of(_diabetes, 272, 85),
}
