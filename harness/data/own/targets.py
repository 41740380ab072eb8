"""A user's targets: labels become 0, 1, ... in sorted order, numbers float [n, k]."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...dataset import DataSet
from .called import refusal

# As labels have them: () if whole numbers stay as they are.
Targets = tuple[np.ndarray, int, tuple[str, ...]]


def checked(of: DataSet, y: np.ndarray) -> Targets:
    """y, the number of classes (0 of numbers), and the labels' names."""
    if of.target == "number":
        return _numbers(of, y), 0, ()
    axes = {"class": 1, "sequence": 2}[of.target]
    if of.target == "class" and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != axes:
        mend = (
            'labels are [n]; of one-hot rows give y.argmax(axis=1), of sequences target="sequence"'
            if axes == 1
            else "labels of sequences are [n, time]"
        )
        raise refusal(of, f"y has the shape {y.shape}; {mend}")
    found = _labels(of, y)
    if found[1] < 2:
        raise refusal(of, f"y has one class alone, {y.flat[0]!s}; two are needed to learn anything")
    return found


def _labels(of: DataSet, y: np.ndarray) -> Targets:
    _check_missing(of, y)
    if y.dtype.kind in "mMc":
        raise refusal(of, f"y is of type {y.dtype}; labels are whole numbers or texts")
    if y.dtype.kind == "f":
        whole = y == np.round(y)
        if not whole.all():
            row = int(np.argwhere(~whole)[0][0])
            raise refusal(
                of,
                f"y of row {row} is {y[~whole][0]}; labels are whole numbers or texts, or"
                ' set target="number"',
            )
    if y.dtype.kind == "O":
        y = y.astype(np.int64) if all(_is_whole(each) for each in y.flat) else y.astype(np.str_)
    if y.dtype.kind in "fiub" and of.target == "sequence":
        return _kept(of, y)
    known, places = np.unique(y, return_inverse=True)
    names = known.astype(np.int64) if known.dtype.kind in "fb" else known
    labels = tuple(str(name) for name in names.tolist())
    return places.reshape(y.shape).astype(np.int64), len(known), labels


def _kept(of: DataSet, y: np.ndarray) -> Targets:
    """Whole numbers from 0 as they are: they may be places in a vocabulary."""
    low, high = y.min(), y.max()
    if low < 0 or high > np.iinfo(np.int32).max:
        row, column = map(int, np.argwhere((y == low) if low < 0 else (y == high))[0])
        raise refusal(
            of,
            f"y of row {row}, column {column} is {y[row, column]}; labels of sequences are whole"
            " numbers from 0",
        )
    return y.astype(np.int64), int(high) + 1, ()


def _numbers(of: DataSet, y: np.ndarray) -> np.ndarray:
    if y.ndim not in (1, 2) or not y.size:
        raise refusal(of, f"y has the shape {y.shape}; numbers are [n] or [n, k]")
    if y.dtype.kind not in "fiuO":
        raise refusal(of, f'y is of type {y.dtype}; for target="number" it must hold numbers')
    _check_missing(of, y)
    try:
        y = y if y.dtype == np.float32 else y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise refusal(of, f'y holds no numbers ({error}); labels need target="class"') from None
    bad = ~np.isfinite(y) | (np.abs(y) > np.finfo(np.float32).max)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise refusal(of, f"y of row {row} is {y[bad][0]}, which float32 cannot hold")
    return y.reshape(len(y), -1)


def _check_missing(of: DataSet, y: np.ndarray) -> None:
    """Targets are never imputed."""
    gone = np.isnan(y) if y.dtype.kind == "f" else np.isnat(y) if y.dtype.kind in "mM" else None
    if y.dtype.kind == "O":
        gone = np.array([_is_missing(each) for each in y.flat], dtype=bool).reshape(y.shape)
    if gone is not None and gone.any():
        row = int(np.argwhere(gone)[0][0])
        raise refusal(
            of, f"y of row {row} is missing ({int(gone.sum())} in all); leave such rows out"
        )


def _is_missing(value: Any) -> bool:
    # pandas' NA has no truth, NaN is not itself, and None is None.
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer)
