"""Groups of rows, tables that are computed once, and columns in order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd

from ...results.frame import Frames

OfSuite = Callable[..., pd.DataFrame]
# What names a series of runs: task, framework with its mode, optimizer with its variant.
SERIES = ["task", "setup", "series"]


def once(compute: OfSuite) -> OfSuite:
    """Computes a table once for the same frames: sections share what takes long with many runs."""
    known: WeakKeyDictionary[Frames, dict[Any, pd.DataFrame]] = WeakKeyDictionary()

    @functools.wraps(compute)
    def found(frames: Frames, *args: str, **options: Any) -> pd.DataFrame:
        of_frames, key = known.setdefault(frames, {}), (args, tuple(sorted(options.items())))
        if key not in of_frames:
            of_frames[key] = compute(frames, *args, **options)
        return of_frames[key].copy(deep=False)

    return found


def groups(
    rows: pd.DataFrame, keys: Sequence[str]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Groups in order of appearance, each with its key as a dict; none of a table without rows."""
    if len(rows):
        for key, group in rows.groupby(list(keys), sort=False, dropna=False):
            yield dict(zip(keys, key, strict=True)), group


def bands(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Mean, min and max of `value` over each group, and the number of its rows as `runs`."""
    found = rows.groupby(list(keys), sort=False)["value"].agg(["mean", "min", "max", "count"])
    return found.rename(columns={"count": "runs"}).reset_index()


def with_several(rows: pd.DataFrame, column: str, keys: Sequence[str]) -> pd.DataFrame:
    """The rows of groups that hold several values of a column."""
    if rows.empty:
        return rows
    return rows[rows.groupby(list(keys))[column].transform("nunique") > 1]


def varies(rows: pd.DataFrame, column: str, keys: Sequence[str]) -> bool:
    """Whether some group holds several values of a column."""
    if rows[column].nunique() < 2:
        return False
    return bool((rows.groupby(list(keys))[column].nunique() > 1).any())


def ordered(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Sorted by keys: numbers by size, names by first appearance."""
    ranks = [
        table[key]
        if pd.api.types.is_numeric_dtype(table[key])
        else pd.Series(pd.factorize(table[key])[0], table.index)
        for key in keys
    ]
    order = pd.concat(ranks, axis=1, keys=keys).sort_values(list(keys), kind="stable").index
    return table.loc[order].reset_index(drop=True)


def texts(rows: pd.DataFrame, words: Sequence[str]) -> pd.Series:
    """A column of text even without rows, which pandas would take for numbers."""
    return pd.Series(words, index=rows.index, dtype="str")


def numbers(rows: pd.DataFrame, values: Sequence[float]) -> pd.Series:
    """A column of float64."""
    return pd.Series(values, index=rows.index, dtype="float64")
