"""Folds of a data set as data sets of their own, for nested cross-validation.

`wine.cv5-0` trains on all 5 folds but fold 0, and validates and tests on fold 0: nothing may be
chosen by it. `wine.cv5-0.3-1` splits only the rows that wine.cv5-0 trains on: part 1 of 3 for
validation and test, the others for training. So a choice never sees the outer fold."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from .values import SPLIT_SEED

_NAME = re.compile(
    r"(?P<base>.+)\.cv(?P<outer>[0-9]{1,6})-(?P<fold>[0-9]{1,6})"
    r"(?:\.(?P<inner>[0-9]{1,6})-(?P<part>[0-9]{1,6}))?"
)


@dataclass(frozen=True)
class Folds:
    """Fold `fold` of `outer`, part `part` of `inner` of its training rows; inner 0: no parts."""

    outer: int
    fold: int
    inner: int = 0
    part: int = 0

    def name(self, base: str) -> str:
        """The name of these folds of a data set."""
        within = f".{self.inner}-{self.part}" if self.inner else ""
        return f"{base}.cv{self.outer}-{self.fold}{within}"

    def rows(self, strata: np.ndarray, of_groups: bool = False) -> dict[str, np.ndarray]:
        """Row numbers of the three splits, stratified by `strata` int64[n] (scikit-learn's
        StratifiedKFold, shuffled by a fixed seed). ValueError if a stratum is smaller than folds.

        of_groups: strata are groups, whose rows stay together; ValueError if they are too few."""
        split = _split_groups if of_groups else _split
        everything = np.arange(len(strata))
        rest, held_out = split(everything, strata, self.outer, self.fold)
        if self.inner:
            rest, held_out = split(rest, strata, self.inner, self.part)
        return {"train": rest, "validation": held_out, "test": held_out}


def parse(name: str) -> tuple[str, Folds] | None:
    """(data set, folds) of such a name; None of any other. ValueError: a number out of range."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    numbers = {key: int(found[key] or 0) for key in ("outer", "fold", "inner", "part")}
    for of, which in (("outer", "fold"), ("inner", "part")):
        if found[of] and (numbers[of] < 2 or numbers[which] >= numbers[of]):
            raise ValueError(f"{name}: folds are at least 2, and counted from 0")
    return found["base"], Folds(**numbers)


def looks_like(name: object) -> bool:
    """Whether a data set of this name would be taken for folds of another."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _split(
    rows: np.ndarray, strata: np.ndarray, folds: int, which: int
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import StratifiedKFold

    least = int(np.unique(strata[rows], return_counts=True)[1].min())
    if least < folds:
        raise ValueError(
            f"{folds} folds need {folds} samples of every class or quartile; one has {least}"
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=SPLIT_SEED)
    fitted, held_out = list(splitter.split(rows, strata[rows]))[which]
    return rows[fitted], rows[held_out]


def _split_groups(
    rows: np.ndarray, groups: np.ndarray, folds: int, which: int
) -> tuple[np.ndarray, np.ndarray]:
    """Groups by lot, each to the fold that has fewest rows."""
    known, sizes = np.unique(groups[rows], return_counts=True)
    if len(known) < folds:
        raise ValueError(f"{folds} folds need {folds} groups; there are {len(known)}")
    home, filled = np.empty(len(known), dtype=np.int64), np.zeros(folds)
    for group in np.random.RandomState(SPLIT_SEED).permutation(len(known)):
        home[group] = filled.argmin()
        filled[home[group]] += sizes[group]
    is_held = home[np.searchsorted(known, groups[rows])] == which
    return rows[~is_held], rows[is_held]
