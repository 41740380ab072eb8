"""Which rows go into which split: by the way that a data set declares, and for its folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...dataset import ByTime, DataSet, Fixed, Grouped, Stratified
from ..folds import Folds
from ..stratified import train_test
from ..values import SPLIT_SEED
from .called import refusal
from .reading import SPLITS
from .table import Table

Rows = Mapping[str, np.ndarray]
_WAYS = "split=AtRandom() takes rows by lot"


def rows(of: DataSet, table: Table) -> Rows:
    """int64[k] of each split. UserError if one would be empty, or without a class it needs."""
    if len(table.parts) == len(SPLITS):
        return table.parts
    if isinstance(of.splitting, Fixed):
        return _fixed(of, of.splitting, len(table.y))
    given = table.parts.get("train")
    some = np.arange(len(table.y)) if given is None else given
    names = SPLITS[1:] if given is None else SPLITS[1:2]
    counts = [max(1, round(getattr(of.splitting, name) * len(some))) for name in names]
    if sum(counts) >= len(some):
        raise refusal(of, f"{len(some)} rows are too few for its splits; three need at least 3")
    chosen = _drawn(of, table, some, counts)
    found = dict(zip(("train", *names), (np.sort(some[part]) for part in chosen), strict=True))
    return found if given is None else {**found, "test": table.parts["test"]}


def fold_rows(of: DataSet, table: Table, folds: Folds) -> Rows:
    """The rows of these folds, made in the declared way. ValueError if they cannot be."""
    if not can_fold(of) or table.parts:
        raise ValueError(f"no folds can be made of the data set {of.name!r}: {_why_not(of)}")
    if isinstance(of.splitting, Grouped):
        groups = _codes(of, table.by)
        return folds.rows(groups, of_groups=True)
    return folds.rows(_strata(of, table))


def can_fold(of: DataSet) -> bool:
    """Whether folds can be made: not of splits that are given, nor of time."""
    return not isinstance(of.splitting, Fixed | ByTime)


def _why_not(of: DataSet) -> str:
    if isinstance(of.splitting, ByTime):
        return "it is split by time, and folds would train on what comes later"
    return "its splits are given"


def _drawn(of: DataSet, table: Table, some: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """Places within `some` of the training split, then of those with these counts."""
    way = of.splitting
    if isinstance(way, Grouped):
        return _grouped(of, _codes(of, table.by)[some], counts)
    if isinstance(way, ByTime):
        return _by_time(of, _times(of, table.by)[some], counts)
    strata = _strata(of, table)[some] if isinstance(way, Stratified) else np.zeros(len(some), int)
    if isinstance(way, Stratified):
        _check_strata(of, table, some, counts)
    left, found = np.arange(len(some)), []
    for count in reversed(counts):
        kept, taken = train_test(strata[left], len(left) - count, count, SPLIT_SEED)
        found.append(left[taken])
        left = left[kept]
    return [left, *reversed(found)]


def _strata(of: DataSet, table: Table) -> np.ndarray:
    """int64[n]: classes, or quartiles of numbers, or what `by` says; zeros without any."""
    way = of.splitting
    if not isinstance(way, Stratified):
        return np.zeros(len(table.y), dtype=np.int64)
    if way.by is not None or table.by is not None:
        return _codes(of, table.by)
    if table.y.ndim > 1 and table.y.shape[1] > 1:
        raise refusal(of, f"y has {table.y.shape[1]} columns: Stratified needs by=; {_WAYS}")
    if table.classes:
        return table.y
    y = table.y[:, 0].astype(np.float64)
    return np.searchsorted(np.quantile(y, [0.25, 0.5, 0.75]), y).astype(np.int64)


def _check_strata(of: DataSet, table: Table, some: np.ndarray, counts: Sequence[int]) -> None:
    """Each has a row for each split, each split room for a row of each."""
    strata = _strata(of, table)[some]
    known, sizes = np.unique(strata, return_counts=True)
    splits = len(counts) + 1
    if sizes.min() < splits:
        place = int(known[sizes.argmin()])
        is_class = table.by is None and len(table.labels) > 0
        name = f"class {table.labels[place]}" if is_class else f"stratum {place}"
        row = int(some[np.flatnonzero(strata == place)[0]])
        raise refusal(
            of,
            f"{name} has too few rows, {sizes.min()} (one is row {row}); {splits} splits need"
            f" {splits}. Leave it out, or {_WAYS}",
        )
    if min(counts) < len(known):
        raise refusal(
            of,
            f"a split of {min(counts)} rows has no room for {len(known)} classes or strata; raise"
            f" its share, or {_WAYS}",
        )


def _grouped(of: DataSet, groups: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """Groups by lot, each to the split that lacks most rows; none stays empty."""
    known, sizes = np.unique(groups, return_counts=True)
    wanted = np.array([len(groups) - sum(counts), *counts])
    if len(known) < len(wanted):
        raise refusal(of, f"{len(known)} groups are fewer than the {len(wanted)} splits")
    home = np.empty(len(known), dtype=np.int64)
    lacking = wanted.astype(np.float64)
    for group in np.random.RandomState(SPLIT_SEED).permutation(len(known)):
        home[group] = lacking.argmax()
        lacking[home[group]] -= sizes[group]
    for split in range(len(wanted)):
        if not (home == split).any():
            crowded = np.bincount(home, minlength=len(wanted)).argmax()
            inside = np.flatnonzero(home == crowded)
            home[inside[sizes[inside].argmin()]] = split
    of_rows = home[np.searchsorted(known, groups)]
    return [np.flatnonzero(of_rows == split) for split in range(len(wanted))]


def _by_time(of: DataSet, times: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """In order; a split begins where a new time does."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    edges = np.cumsum([len(times) - sum(counts), *counts])[:-1]
    edges = np.searchsorted(ordered, ordered[edges], side="left")
    found = np.split(order, edges)
    if not all(len(part) for part in found):
        raise refusal(
            of,
            f"{len(np.unique(times))} times are too few to split by: rows of one time stay"
            " together, and a split would be empty",
        )
    return found


def _fixed(of: DataSet, way: Fixed, whole: int) -> Rows:
    found: dict[str, np.ndarray] = {}
    for name in SPLITS:
        given = np.asarray(getattr(way, name))
        if given.dtype == bool and len(given) == whole:
            given = np.flatnonzero(given)
        if given.dtype.kind not in "iu" or given.ndim != 1 or not given.size:
            raise refusal(of, f"split: {name}: expected row numbers, or a mask of all {whole} rows")
        if given.min() < 0 or given.max() >= whole:
            wrong = given[(given < 0) | (given >= whole)][0]
            raise refusal(of, f"split: {name}: there is no row {wrong}; it has {whole}, from 0")
        found[name] = given.astype(np.int64)
    taken, times = np.unique(np.concatenate(list(found.values())), return_counts=True)
    if times.max() > 1:
        row = int(taken[times > 1][0])
        inside = [name for name, given in found.items() for _ in range(int((given == row).sum()))]
        raise refusal(of, f"split: row {row} stands in {' and in '.join(inside)}")
    return found


def _codes(of: DataSet, by: np.ndarray | None) -> np.ndarray:
    """int64[n]: groups or strata by number."""
    import pandas as pd

    codes, _ = pd.factorize(_there(of, by), sort=False)
    if (codes < 0).any():
        raise refusal(of, f"row {int(np.argmax(codes < 0))}: nothing is given to split it by")
    return codes.astype(np.int64)


def _times(of: DataSet, by: np.ndarray | None) -> np.ndarray:
    """Numbers, or nanoseconds as int64, that grow with time."""
    import pandas as pd

    by = _there(of, by)
    if by.dtype.kind in "OUS":
        try:
            moments = pd.DatetimeIndex(pd.to_datetime(by, utc=True, format="ISO8601"))
            by = moments.tz_localize(None).to_numpy()
        except (ValueError, TypeError, OverflowError) as error:
            said = str(error).splitlines()[0][:120]
            raise refusal(of, f"split by time: expected numbers or dates ({said})") from None
    if by.dtype.kind not in "iufMm":
        raise refusal(of, f"split by time: expected numbers or dates, not {by.dtype}")
    gone = np.isnat(by) if by.dtype.kind in "Mm" else ~np.isfinite(by)
    if gone.any():
        raise refusal(of, f"row {int(np.argmax(gone))}: its time is missing")
    return by.astype("datetime64[ns]").astype(np.int64) if by.dtype.kind == "M" else by


def _there(of: DataSet, by: np.ndarray | None) -> np.ndarray:
    if by is None:
        way = type(of.splitting).__name__
        raise refusal(
            of,
            f'split: {way} needs what to split by: a column, as in {way}("date"), or an array',
        )
    if by.ndim != 1:
        raise refusal(of, f"split: one value a row is needed, not the shape {by.shape}")
    return by
