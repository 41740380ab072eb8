"""How two results of one training run differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..record import Summary
from ..sweep.arrays import read_parquet
from .source import Found

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

# Of training runs: file of arrays -> the columns that say which number a row is.
_KEYS = {"curve": ("step", "series"), "norms": ("step", "parameter")}
# Populations whose arrays are kept in memory at once.
_MOST = 8


@dataclass(frozen=True)
class Difference:
    """See outcome.Conflict."""

    what: str
    relative: float | None = None


class Tables:
    """The arrays of stored runs. The populations that were read last are not read again."""

    def __init__(self) -> None:
        self._last: dict[tuple[Path, str], dict[str, pyarrow.Table]] = {}

    def of(self, found: Found, name: str) -> pyarrow.Table | None:
        """`curve` or the like of a run; None if it has none."""
        if f"{name}.parquet" not in found.record.artefacts:
            return None
        if found.population is None:
            return read_parquet(found.kept.folder / f"{name}.parquet")
        place = (found.kept.folder, name)
        if place not in self._last:
            if len(self._last) >= _MOST:
                self._last.pop(next(iter(self._last)))
            self._last[place] = found.population.tables(name)
        return self._last[place].get(found.record.digest)


def difference(kept: Found, other: Found, tables: Tables) -> Difference | None:
    """None if both ended alike: the same status, and every number of theirs equal."""
    statuses = (kept.record.status, other.record.status)
    if statuses[0] != statuses[1]:
        return Difference(f"one ended {statuses[0]}, one {statuses[1]}")
    found = [("summary", _of_summaries(kept.record.summary, other.record.summary))]
    for name, keys in _KEYS.items():
        both = (tables.of(kept, name), tables.of(other, name))
        if (both[0] is None) != (both[1] is None):
            return Difference(f"one has no {name}")
        if both[0] is not None and both[1] is not None:
            if not _same_keys(*both, keys):
                return Difference(f"{name} of {len(both[0])} and of {len(both[1])} points")
            found.append((name, _of_columns(*both, keys)))
    different = [(name, size) for name, size in found if size > 0]
    if not different:
        return None
    largest = max(size for _, size in different)
    what = f"numbers of {' and '.join(name for name, _ in different)}"
    if largest == float("inf"):
        return Difference(f"{what}, some of them finite in one alone")
    return Difference(what, largest)


def _same_keys(a: pyarrow.Table, b: pyarrow.Table, keys: tuple[str, ...]) -> bool:
    return len(a) == len(b) and all(_same(a[key], b[key]) for key in keys)


def _same(a: pyarrow.ChunkedArray, b: pyarrow.ChunkedArray) -> bool:
    """Versions of Arrow write other types of text, integers."""
    return bool(a.equals(b)) or a.to_pylist() == b.to_pylist()


def _of_columns(a: pyarrow.Table, b: pyarrow.Table, keys: tuple[str, ...]) -> float:
    """Of all columns of numbers that both have."""
    names = [name for name in a.column_names if name in b.column_names and name not in keys]
    return max((_relative(a[name].to_numpy(), b[name].to_numpy()) for name in names), default=0.0)


def _of_summaries(a: Summary | None, b: Summary | None) -> float:
    import numpy as np

    if a is None or b is None:
        return 0.0 if a is b else float("inf")
    pairs = [(getattr(a, name), getattr(b, name)) for name in Summary.model_fields]
    if any((x is None) != (y is None) for x, y in pairs):
        return float("inf")
    there: list[Any] = [pair for pair in pairs if pair[0] is not None]
    return _relative(*np.array(there, dtype=np.float64).reshape(-1, 2).T)


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, as a share of the larger number; infinite if only one is finite, or
    one is NaN and the other is not."""
    import numpy as np

    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        larger = np.maximum(np.abs(a), np.abs(b))
        share = np.abs(a - b) / np.where(larger > 0, larger, 1.0)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return float(np.max(np.where(same, 0.0, np.nan_to_num(share, nan=np.inf)), initial=0.0))
