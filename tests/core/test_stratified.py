"""Data and splits without scikit-learn are those that it gives."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import sklearn.datasets
from gradrace.data import bundled, stratified
from sklearn.model_selection import StratifiedShuffleSplit


@pytest.mark.parametrize("seed", range(6))
def test_splits_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        strata = rng.integers(0, rng.integers(2, 12), rng.integers(60, 400)) * 7 - 3
        strata = np.concatenate([strata, np.repeat(np.unique(strata), 2)])
        train = int(rng.integers(20, len(strata) - 30))
        test = int(rng.integers(12, len(strata) - train + 1))
        theirs = next(
            StratifiedShuffleSplit(1, train_size=train, test_size=test, random_state=seed).split(
                strata, strata
            )
        )
        for ours, expected in zip(
            stratified.train_test(strata, train, test, seed), theirs, strict=True
        ):
            assert np.array_equal(ours, expected)


@pytest.mark.parametrize(("train", "test"), [(9, 2), (1, 4), (4, 1)])
def test_what_cannot_be_split_is_refused(train, test):
    with pytest.raises(ValueError, match="10 rows in 2 strata cannot be split"):
        stratified.train_test(np.arange(10) % 2, train, test, 0)


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("loader", bundled._FILES)
def test_data_are_those_of_scikit_learn(loader, moved, monkeypatch):
    """Read from its files, or through it where they are elsewhere."""
    if moved:
        monkeypatch.setattr(bundled, "_FILES", {loader: ("not there.csv",)})
    given = {"scaled": False} if loader == "load_diabetes" else {}
    for ours, theirs in zip(
        bundled._read(loader),
        getattr(sklearn.datasets, loader)(return_X_y=True, **given),
        strict=True,
    ):
        assert np.array_equal(ours, theirs) and ours.dtype.kind == theirs.dtype.kind


def test_loading_digits_imports_neither_scikit_learn_nor_pandas():
    code = (
        "import sys; from gradrace.data import load; load('digits'); print({'sklearn', 'pandas'} &"
        " set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "set()\n"
    )
