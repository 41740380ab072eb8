"""Stratified splits, equal to those of scikit-learn's StratifiedShuffleSplit for an integer
random_state. To import scikit-learn takes longer than a short run; this does not need it."""

from __future__ import annotations

import numpy as np


def train_test(
    strata: np.ndarray, train: int, test: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """int64[train], int64[test]: rows of two samples without overlap, in which every stratum of
    strata int64[n] has about its share. ValueError: too few rows, or too many strata."""
    _, inverse, counts = np.unique(strata, return_inverse=True, return_counts=True)
    if train + test > len(strata) or counts.min() < 2 or min(train, test) < len(counts):
        raise ValueError(
            f"{len(strata)} rows in {len(counts)} strata cannot be split into {train} and {test}"
        )
    # NumPy keeps RandomState's streams for ever, unlike those of its generators (NEP 19).
    rng = np.random.RandomState(seed)
    rows = np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])
    of_train = _shares(counts, train, rng)
    of_test = _shares(counts - of_train, test, rng)
    drawn = [of_stratum.take(rng.permutation(len(of_stratum))) for of_stratum in rows]
    ends = zip(drawn, of_train, of_train + of_test, strict=True)
    first, second = zip(*((order[:a], order[a:b]) for order, a, b in ends), strict=True)
    return rng.permutation(np.concatenate(first)), rng.permutation(np.concatenate(second))


def _shares(counts: np.ndarray, draws: int, rng: np.random.RandomState) -> np.ndarray:
    """int64[k]: `draws` shared out by these counts, largest remainders first and ties by lot."""
    exact = counts / counts.sum() * draws
    shares = np.floor(exact)
    remainder, missing = exact - shares, int(draws - shares.sum())
    for value in np.unique(remainder)[::-1]:
        if missing == 0:
            break
        tied = np.flatnonzero(remainder == value)
        chosen = rng.choice(tied, size=min(len(tied), missing), replace=False)
        shares[chosen] += 1
        missing -= len(chosen)
    return shares.astype(np.int64)
