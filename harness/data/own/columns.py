"""Features as they are trained on: missing values filled, texts one-hot, standardised, all by the
training rows alone. Worked out in pieces, so that large arrays are not copied whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...dataset import DataSet
from .called import refusal
from .numbers import chunks
from .table import Features


@dataclass(frozen=True)
class Fitted:
    """What the training rows say of each column (the last axis): float64[columns].

    fill stands for missing values. hot: column -> places of the texts that get a column each."""

    fill: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    hot: dict[int, np.ndarray]
    is_as_given: bool

    def width(self) -> int:
        """The number of columns that come out."""
        return len(self.fill) + sum(len(places) - 1 for places in self.hot.values())

    def pieces(self, x: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
        """These rows of x as they are trained on, [k, ...] in order."""
        for piece in chunks(x, rows):
            yield piece if self.is_as_given else self._turned(piece)

    def _turned(self, piece: np.ndarray) -> np.ndarray:
        found = (np.where(np.isnan(piece), self.fill, piece) - self.mean) / self.spread
        if self.hot:
            found = np.concatenate(list(self._columns(piece, found)), axis=1)
        return found.astype(piece.dtype)

    def _columns(self, piece: np.ndarray, found: np.ndarray) -> Iterator[np.ndarray]:
        begin = 0
        for column, places in sorted(self.hot.items()):
            yield found[:, begin:column]
            # A text that the training rows lack, or a missing one, is 0 in all of them.
            yield (piece[:, column, np.newaxis] == places).astype(np.float64)
            begin = column + 1
        yield found[:, begin:]


def fit(of: DataSet, features: Features, rows: np.ndarray) -> Fitted:
    """From these rows. UserError: nothing to fill a column with, or too large to standardise."""
    x, width = features.x, features.x.shape[-1]
    hot = {column: _places(x, rows, column) for column in sorted(features.texts)}
    unfilled = _missing(x, rows) if x.dtype.kind == "f" else np.zeros(width, dtype=bool)
    fill = np.zeros(width)
    for column in np.flatnonzero(unfilled).tolist():
        if column not in hot:
            fill[column] = _fill(of, features, rows, column)
    mean, spread = np.zeros(width), np.ones(width)
    if of.is_standardised:
        mean, spread = moments(x, rows, fill)
        if not np.isfinite(mean).all() or not np.isfinite(spread).all():
            first = int(np.argmin(np.isfinite(mean) & np.isfinite(spread)))
            raise refusal(of, f"{features.column((first,))} is too large to be standardised")
        for column in hot:
            mean[column], spread[column] = 0.0, 1.0
    is_as_given = not (of.is_standardised or hot or unfilled.any())
    return Fitted(fill, mean, spread, hot, is_as_given)


def moments(
    x: np.ndarray, rows: np.ndarray, fill: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column over these rows, float64[columns]; a column of one value
    has the deviation 1.

    Rounded to 10 digits: sums may differ in the last bits from one processor to another, and the
    hash of what is standardised must not."""
    width, count = x.shape[-1], 0
    total, low, high = np.zeros(width), np.full(width, np.inf), np.full(width, -np.inf)
    for piece in _filled(x, rows, fill):
        total, count = total + piece.sum(axis=0), count + len(piece)
        low, high = np.minimum(low, piece.min(axis=0)), np.maximum(high, piece.max(axis=0))
    mean, squares = total / count, np.zeros(width)
    with np.errstate(over="ignore"):
        for piece in _filled(x, rows, fill):
            squares += np.square(piece - mean).sum(axis=0)
    same = low == high
    mean = np.where(same, low, _rounded(mean))
    return mean, np.where(same, 1.0, _rounded(np.sqrt(squares / count)))


def _filled(x: np.ndarray, rows: np.ndarray, fill: np.ndarray | None) -> Iterator[np.ndarray]:
    """float64[k, columns]."""
    for piece in chunks(x, rows):
        wide = piece.reshape(-1, x.shape[-1]).astype(np.float64)
        yield wide if fill is None else np.where(np.isnan(wide), fill, wide)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.9e}") for value in values])


def _missing(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """bool[columns]: whether any row lacks a value, of whatever split."""
    found = np.zeros(x.shape[-1], dtype=bool)
    for piece in chunks(x):
        found |= np.isnan(piece.reshape(-1, x.shape[-1])).any(axis=0)
    return found


def _places(x: np.ndarray, rows: np.ndarray, column: int) -> np.ndarray:
    values = x[rows, column]
    return np.unique(values[~np.isnan(values)])


def _fill(of: DataSet, features: Features, rows: np.ndarray, column: int) -> float:
    if not isinstance(of.missing, str):
        return float(of.missing)
    values = features.x[..., column][rows].astype(np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        raise refusal(
            of,
            f"{features.column((column,))} has no value in the training split to fill others"
            " with; leave it out",
        )
    return float(_rounded(np.array([getattr(np, of.missing)(values)]))[0])
