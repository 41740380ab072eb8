"""A user's features as numbers: types, missing and infinite values, tokens. Errors name row and
column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...dataset import DataSet
from .called import refusal
from .table import Features

# float64 holds no whole number beyond it exactly.
_EXACT = 2**53
_LARGEST = float(np.finfo(np.float32).max)
_CHUNK_BYTES = 1 << 19
_REFUSED = {
    "M": "dates; make numbers of them",
    "m": "lengths of time; make numbers of them",
    "c": "complex numbers; give their parts",
    **dict.fromkeys(
        "USO",
        "texts or objects; make numbers of them (.astype(float)), or give a"
        ' pandas frame and categories="one_hot"',
    ),
}


def checked(of: DataSet, features: Features, where: str = "") -> Features:
    """float32 or float64 in which NaN is what the data set's rule fills, or int64 tokens."""
    x = features.x
    if problem := _REFUSED.get(x.dtype.kind):
        raise refusal(of, f"{where}x holds {problem}")
    if x.ndim < 2:
        raise refusal(of, f"{where}x has the shape {x.shape}; give rows, such as x.reshape(-1, 1)")
    x = _tokens(of, x, where) if of.tokens else _floats(of, x, where)
    found = Features(x, features.names, features.texts)
    if not of.tokens:
        _check_values(of, found, where)
    return found


def chunks(array: np.ndarray, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """The array, or these rows of it, in pieces of a few megabytes."""
    bytes_a_row = max(1, array.dtype.itemsize * int(np.prod(array.shape[1:])))
    size = max(1, _CHUNK_BYTES // bytes_a_row)
    for begin in range(0, len(array) if rows is None else len(rows), size):
        yield array[begin : begin + size] if rows is None else array[rows[begin : begin + size]]


def _tokens(of: DataSet, x: np.ndarray, where: str) -> np.ndarray:
    if x.dtype.kind not in "iu" or x.ndim != 2:
        raise refusal(
            of,
            f"{where}tokens are whole numbers [n, time], not {x.dtype} of the shape {x.shape}",
        )
    for bad, says in (
        (x < 0, "a token below 0"),
        (x > np.iinfo(np.int64).max, "a token too large"),
    ):
        if bad.any():
            row, place = map(int, np.argwhere(bad)[0])
            raise refusal(of, f"{where}row {row}, column {place}: {says}, {x[row, place]}")
    return x.astype(np.int64, copy=False)


def _floats(of: DataSet, x: np.ndarray, where: str) -> np.ndarray:
    """float32 if it holds every value of the type, else float64."""
    kind = x.dtype
    if kind.kind in "iu" and kind.itemsize > 4 and (x.max() > _EXACT or x.min() < -_EXACT):
        row, *place = map(int, np.argwhere((x > _EXACT) | (x < -_EXACT))[0])
        raise refusal(
            of,
            f"{where}row {row}, {Features(x).column(tuple(place))}: {x[(row, *place)]} is beyond"
            " 2^53, which float64 cannot hold; leave the column out if it names the rows",
        )
    small = kind.kind == "b" or kind.itemsize < 4 or kind == np.dtype("float32").newbyteorder(">")
    wanted = np.float32 if small or kind == np.float32 else np.float64
    return x.astype(wanted, copy=False)


def _check_values(of: DataSet, features: Features, where: str) -> None:
    """UserError for the first infinite value, or missing one if those are refused."""
    begin, gone, first = 0, 0, ""
    for piece in chunks(features.x):
        if not np.isfinite(piece).all() or np.abs(piece).max() > _LARGEST:
            large = np.abs(piece) > _LARGEST
            if large.any():
                at = _place(features, np.argwhere(large)[0], begin)
                value = piece[tuple(np.argwhere(large)[0])]
                raise refusal(of, f"{where}{at}: {value} is too large for float32; scale it")
            missing = np.isnan(piece)
            first = first or _place(features, np.argwhere(missing)[0], begin)
            gone += int(missing.sum())
        begin += len(piece)
    if gone and of.missing == "refuse":
        more = f", and {gone - 1} more" if gone > 1 else ""
        raise refusal(
            of,
            f'{where}{first}: missing{more}; leave such rows out, or set missing="median", "mean"'
            " or a number",
        )


def _place(features: Features, index: np.ndarray, begin: int) -> str:
    row, *place = map(int, index)
    return f"row {begin + row}, {features.column(tuple(place))}"
