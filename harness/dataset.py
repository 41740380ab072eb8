"""A user's own data set: the function that gives its arrays, and how to make three splits of them.

    DATA = DataSet(name="houses", load=read_houses, target="number", column="price")

Nothing is read when it is declared. `data/own/` calls the function, checks what comes, and keeps
the splits as files that all workers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Target = Literal["class", "number", "sequence"]
# A column of the frame by its name or of x by its number, a value a row, or the third array that
# `load` gives.
By = str | int | Sequence[Any] | np.ndarray | None


@dataclass(frozen=True, eq=False)
class AtRandom:
    """Splits by lot, always the same one; validation and test are shares of all rows."""

    validation: float = 0.15
    test: float = 0.15


@dataclass(frozen=True, eq=False)
class Stratified:
    """Splits by lot in which every class has its share; of numbers, every quartile.

    by: what to keep the shares of instead, see Grouped."""

    by: By = None
    validation: float = 0.15
    test: float = 0.15


@dataclass(frozen=True, eq=False)
class Grouped:
    """Splits by lot in which rows of one group (a patient, a household) stay together.

    by: a column of the frame (its name) or of x (its number), which is then no feature; or a value
    for each row; or None for the third array that `load` gives."""

    by: By = None
    validation: float = 0.15
    test: float = 0.15


@dataclass(frozen=True, eq=False)
class ByTime:
    """The earliest rows for training, the latest for the test; rows of one time stay together.

    by: as of Grouped; numbers, dates, or texts such as 2026-01-31."""

    by: By = None
    validation: float = 0.15
    test: float = 0.15


@dataclass(frozen=True, eq=False)
class Fixed:
    """Row numbers from 0, or a mask of all rows, for each split. Rows in none are left out."""

    train: Sequence[int] | np.ndarray
    validation: Sequence[int] | np.ndarray
    test: Sequence[int] | np.ndarray


Splitting = AtRandom | Stratified | Grouped | ByTime | Fixed


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """What `TaskSpec.data` names, from a user's file.

    load: a function without arguments that gives (x, y), (x, y, by), or a pandas frame with the
        target in `column` (a tuple of names for several); or a dict of these by the names of
        splits, "train" and "test" and perhaps "validation". x is [n, features], [n, ..., channels]
        or, with tokens, whole numbers [n, time].
    target: "class", labels [n], numbers or texts, that become 0, 1, ... in sorted order; "number",
        [n] or [n, k]; "sequence", labels [n, time], whole numbers from 0 as they are.
    split: how rows are split; None is Stratified() for classes, else AtRandom().
    standardise: features (the last axis) to mean 0 and deviation 1 over the training split. None:
        yes, but tokens.
    standardise_target: numbers, too; a constant then has a mean squared error of 1.
    tokens: x is for an Embedding.
    missing: "refuse", or the training split's "mean" or "median", or a number, in place of NaN.
    categories: "refuse", or "one_hot", a column of 0 and 1 for each text of the training split.
    source, licence: for the report.
    """

    name: str
    load: Callable[[], Any]
    target: Target = "class"
    column: str | tuple[str, ...] | None = None
    split: Splitting | None = None
    standardise: bool | None = None
    standardise_target: bool = False
    tokens: bool = False
    missing: Literal["refuse", "mean", "median"] | float = "refuse"
    categories: Literal["refuse", "one_hot"] = "refuse"
    source: str = ""
    licence: str = ""

    @property
    def splitting(self) -> Splitting:
        """How its rows are split."""
        return self.split or (Stratified() if self.target == "class" else AtRandom())

    @property
    def is_standardised(self) -> bool:
        """Whether its features are."""
        return not self.tokens if self.standardise is None else self.standardise
