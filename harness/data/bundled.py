"""Small real data that come with scikit-learn, standardised with training statistics."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from .values import Choose, Data, Loader, Split, split_indices, standardised


def _classes(name: str, loader: str, source: str, choose: Choose) -> Data:
    x, y = _read(loader)
    labels = y.astype(np.int64)
    rows = choose(labels)
    x = standardised(x, rows["train"])
    splits = {split: Split(x[index], labels[index]) for split, index in rows.items()}
    return Data(name, splits, classes=int(labels.max()) + 1, source=source)


def _diabetes(choose: Choose) -> Data:
    """Targets are standardised too: a constant has a mean squared error of 1."""
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
    """Features float64[n, d] and targets [n], unscaled, as this loader of sklearn.datasets gives.

    To import scikit-learn takes longer than a short run: its files are read if they are found."""
    found = importlib.util.find_spec("sklearn")
    places = found.submodule_search_locations or [] if found else []
    files = [Path(place, "datasets", "data") / name for place in places for name in _FILES[loader]]
    if files and all(file.exists() for file in files):
        return _table(files)
    import sklearn.datasets

    load: Callable[..., tuple[np.ndarray, np.ndarray]] = getattr(sklearn.datasets, loader)
    x, y = load(return_X_y=True, **({"scaled": False} if loader == "load_diabetes" else {}))
    return x.astype(np.float64), y


# One table with the target in its last column, or a table and its targets.
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


def _data_set(load: Callable[[Choose], Data], train: int, validation: int) -> Loader:
    choose = partial(split_indices, train=train, validation=validation)
    return Loader(train, partial(load, choose), resplit=load)


# name, sizes of the training and validation split, source
_LABELLED = (
    ("digits", 1152, 320, "Optical Recognition of Handwritten Digits, test part, 1797 images 8x8"),
    ("breast_cancer", 352, 108, "Breast Cancer Wisconsin (Diagnostic), 569 tumours, 30 features"),
    ("wine", 112, 33, "Wine, 178 wines of 3 growers, 13 measurements"),
)
SETS = {
    name: _data_set(
        partial(_classes, name, f"load_{name}", f"UCI {source}, as in scikit-learn"), *sizes
    )
    for name, *sizes, source in _LABELLED
} | {"diabetes": _data_set(_diabetes, 272, 85)}
