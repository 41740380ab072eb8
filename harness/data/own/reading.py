"""Turns the answer of a user's function into a Table: arrays, frames, or a dict of splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...dataset import DataSet, Fixed
from ...strict import given
from . import frames, numbers, targets
from .called import called, refusal
from .table import Features, Table

SPLITS = ("train", "validation", "test")
_FORMS = "(x, y), a pandas frame, or a dict of these by split"


class _Samples(NamedTuple):
    """One answer of the function, or one of its splits."""

    features: Features
    y: np.ndarray
    by: np.ndarray | None


def read(of: DataSet) -> Table:
    """Calls the function once. UserError for whatever cannot be trained on."""
    try:
        return _read(of, called(of))
    except MemoryError as error:
        raise refusal(of, f"more memory is needed than there is ({error})") from None


def _read(of: DataSet, answer: Any) -> Table:
    if not isinstance(answer, Mapping):
        samples = _samples(of, answer, "")
        return _table(of, samples, {})
    parts = _parts(of, answer)
    joined = _joined(of, parts)
    ends = np.cumsum([len(part.y) for part in parts.values()])
    rows = np.split(np.arange(ends[-1]), ends[:-1])
    return _table(of, joined, dict(zip(parts, rows, strict=True)))


def _parts(of: DataSet, answer: Mapping[Any, Any]) -> dict[str, _Samples]:
    """The splits that were given, in our order."""
    if wrong := [name for name in answer if name not in SPLITS]:
        raise refusal(
            of, f"its function gives the split {given(wrong[0])}; known: {', '.join(SPLITS)}"
        )
    if lacking := {"train", "test"} - set(answer):
        raise refusal(of, f"its function gives no split {min(lacking)!r}, beside {sorted(answer)}")
    whole = len(answer) == len(SPLITS)
    if (whole and of.split is not None) or isinstance(of.split, Fixed):
        raise refusal(of, "its function gives the splits; leave `split` out")
    return {name: _samples(of, answer[name], name) for name in SPLITS if name in answer}


def _samples(of: DataSet, answer: Any, split: str) -> _Samples:
    """One answer; split: "" if it is the only one."""
    where = f"split {split}: " if split else ""
    by = None
    if frames.is_frame(answer):
        if of.column is None:
            raise refusal(of, f"{where}a frame came; name the target: column=...")
        x = answer
        names = [of.column] if isinstance(of.column, str) else list(of.column)
        y = frames.taken(of, answer, names)
    elif isinstance(answer, tuple | list) and len(answer) in (2, 3):
        x, y, names = answer[0], answer[1], []
        by = None if len(answer) == 2 else _array(of, answer[2], f"{where}by")
        _check_used(of, by)
    else:
        kind = "nothing" if answer is None else f"a {type(answer).__name__}"
        raise refusal(of, f"{where}its function gives {kind}, not {_FORMS}")
    by, names, x = _by(of, x, by, names)
    y = _array(of, y, f"{where}y")
    features = (
        frames.features(of, x, names)
        if frames.is_frame(x)
        else Features(_array(of, x, f"{where}x"))
    )
    _check_lengths(of, where, features.x, y, by)
    return _Samples(numbers.checked(of, features, where), y, by)


def _check_used(of: DataSet, by: np.ndarray | None) -> None:
    """Nothing of a declaration or an answer is passed over in silence."""
    if of.column is not None:
        raise refusal(of, f"column {of.column!r} is named, but its function gives y itself")
    if by is not None and getattr(of.splitting, "by", 0) is not None:
        way = type(of.splitting).__name__
        raise refusal(of, f"its function gives a third array, which split={way}(...) does not take")


def _by(
    of: DataSet, x: Any, third: np.ndarray | None, names: list[str]
) -> tuple[np.ndarray | None, list[str], Any]:
    """What the rows are split by, the names that are no features, and x without such a column."""
    by = getattr(of.splitting, "by", None)
    if isinstance(by, str):
        if not frames.is_frame(x):
            raise refusal(of, f"split by {by!r}, but its function gives no pandas frame")
        return frames.taken(of, x, [by]), [*names, by], x
    if isinstance(by, int):
        x = _array(of, x, "x")
        if x.ndim != 2 or not -x.shape[1] <= by < x.shape[1]:
            raise refusal(of, f"split by column {by} of x, which has the shape {x.shape}")
        return x[:, by], names, np.delete(x, by, axis=1)
    return (third if by is None else _array(of, by, "by")), names, x


def _array(of: DataSet, value: Any, what: str) -> np.ndarray:
    """As NumPy has it. UserError if it is ragged, sparse or a single number."""
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        size = np.prod(value.shape) * value.dtype.itemsize / 1e6
        raise refusal(of, f"{what} is a sparse matrix; give .toarray(), which takes {size:.1f} MB")
    if isinstance(value, np.ma.MaskedArray):
        gone = np.ma.getmaskarray(value)
        value = np.ma.getdata(value).astype(float if value.dtype.kind in "biuf" else object)
        value[gone] = np.nan
    try:
        array = np.asarray(value)
    except Exception as error:
        ragged = "rows of different lengths" if "inhomogeneous" in str(error) else str(error)
        raise refusal(of, f"{what} is no array: {ragged.splitlines()[0][:200]}") from None
    if array.ndim == 0:
        raise refusal(of, f"{what} is a single {type(value).__name__}, not an array of rows")
    if array.dtype.names:
        raise refusal(of, f"{what} has named fields; give its columns as one array of numbers")
    return array


def _check_lengths(
    of: DataSet, where: str, x: np.ndarray, y: np.ndarray, by: np.ndarray | None
) -> None:
    if not x.size or not len(x):
        raise refusal(of, f"{where}x is empty: its shape is {x.shape}")
    for what, array in (("y", y), ("by", by)):
        if array is not None and len(array) != len(x):
            raise refusal(of, f"{where}x has {len(x)} rows, {what} has {len(array)}")


def _joined(of: DataSet, parts: Mapping[str, _Samples]) -> _Samples:
    """The splits below each other."""
    first = parts["train"]
    for name, part in parts.items():
        a, b = part.features.x.shape[1:], first.features.x.shape[1:]
        if (a, part.features.names) != (b, first.features.names):
            raise refusal(
                of,
                f"samples of {name} have the shape {a}, those of train {b}, or other columns",
            )
        if part.y.shape[1:] != first.y.shape[1:]:
            raise refusal(
                of, f"y of {name} has the shape {part.y.shape}, that of train {first.y.shape}"
            )
    return _Samples(
        _joined_features(of, [part.features for part in parts.values()]),
        np.concatenate([part.y for part in parts.values()]),
        None
        if first.by is None
        else np.concatenate([part.by for part in parts.values() if part.by is not None]),
    )


def _joined_features(of: DataSet, parts: Sequence[Features]) -> Features:
    """Texts get places among those of all parts."""
    x = np.concatenate([part.x for part in parts])
    texts: dict[int, tuple[str, ...]] = {}
    for place in sorted({place for part in parts for place in part.texts}):
        known = sorted({text for part in parts for text in part.texts.get(place, ())})
        begin = 0
        for part in parts:
            places = np.array([known.index(text) for text in part.texts.get(place, ())] or [0])
            codes = x[begin : begin + len(part.x), place]
            there = ~np.isnan(codes)
            if there.any() and place not in part.texts:
                raise refusal(
                    of, f"{part.column((place,))} holds texts in one split, and numbers in another"
                )
            codes[there] = places[codes[there].astype(int)]
            begin += len(part.x)
        texts[place] = tuple(known)
    return Features(x, parts[0].names, texts)


def _table(of: DataSet, samples: _Samples, parts: Mapping[str, np.ndarray]) -> Table:
    y, classes, labels = targets.checked(of, samples.y)
    return Table(samples.features, y, classes, labels, samples.by, parts)
