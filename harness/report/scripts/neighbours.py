"""The runs nearest to each run: the same but for seed, learning rate, optimizer or framework."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from ...results.columns import words
from ...spec import number_text

# Runs of one kind that a run names.
MOST = 8
# What tells runs of one suite apart, but for what a kind of neighbours differs in.
_SETTING = words(
    "measure task framework mode optimizer rule schedule schedule_params learning_rate hyper"
    " variation device dtype threads input batch_size steps seed launch"
)

Row = Any
# A title and, for each neighbour, its digest and name.
Kind = tuple[str, list[tuple[str, str]]]


def neighbours(rows: pd.DataFrame) -> dict[str, list[Kind]]:
    """Digest -> the kinds of neighbours that it has among these runs of one suite."""
    found: dict[str, list[Kind]] = {digest: [] for digest in rows["digest"]}
    # Rows as tuples once: a table for each group would take a millisecond.
    every = list(rows[["digest", *_SETTING]].itertuples(index=False))
    for title, differing, pick, label in _KINDS:
        same = [name for name in _SETTING if name not in differing]
        groups: dict[int, list[Row]] = {}
        numbers = rows.groupby(same, dropna=False, sort=False).ngroup()
        for number, row in zip(numbers.tolist(), every, strict=True):
            groups.setdefault(number, []).append(row)
        for members in groups.values():
            for row, others in pick(members) if len(members) > 1 else ():
                near = [(other.digest, label(other)) for other in others]
                found[row.digest] += [(title, near)] if near else []
    return found


def _in_a_row(key: Callable[[Row], float]) -> Callable[[list[Row]], Iterator[tuple[Row, Any]]]:
    """Those that stand next to a run if all are put in order."""

    def pick(members: list[Row]) -> Iterator[tuple[Row, list[Row]]]:
        ordered = sorted(members, key=key)
        for place, row in enumerate(ordered):
            begin = max(0, min(place - MOST // 2, len(ordered) - MOST - 1))
            near = ordered[begin : begin + MOST + 1]
            yield row, [other for other in near if other is not row]

    return pick


def _one_each(key: Callable[[Row], str]) -> Callable[[list[Row]], Iterator[tuple[Row, Any]]]:
    """Of each other optimizer or framework the run with the nearest learning rate."""

    def pick(members: list[Row]) -> Iterator[tuple[Row, list[Row]]]:
        of: dict[str, list[Row]] = {}
        for row in sorted(members, key=_rate):
            of.setdefault(key(row), []).append(row)
        rates = {name: [_rate(row) for row in rows] for name, rows in of.items()}
        for row in members:
            others = [name for name in of if name != key(row)]
            yield row, [of[name][_nearest(rates[name], _rate(row))] for name in others[:MOST]]

    return pick


def _nearest(rates: Sequence[float], rate: float) -> int:
    """The index, in ascending rates, of the one by which `rate` is least multiplied."""
    after = min(bisect_left(rates, rate), len(rates) - 1)
    before = max(after - 1, 0)
    return before if rate / max(rates[before], 1e-300) < rates[after] / rate else after


def _rate(row: Row) -> float:
    return max(float(row.learning_rate), 1e-300)


def _setup(row: Row) -> str:
    return f"{row.framework} ({row.mode})"


def _optimizer(row: Row) -> str:
    return f"{row.optimizer}, {number_text(row.learning_rate)}"


_KINDS: Iterable[tuple[str, set[str], Callable[[list[Row]], Any], Callable[[Row], str]]] = (
    ("Other seeds", {"seed"}, _in_a_row(lambda row: row.seed), lambda row: f"seed {row.seed}"),
    (
        "Other launches",
        {"launch"},
        _in_a_row(lambda row: row.launch),
        lambda row: f"launch {row.launch}",
    ),
    (
        "Other learning rates",
        {"learning_rate"},
        _in_a_row(_rate),
        lambda row: number_text(row.learning_rate),
    ),
    (
        "Other optimizers",
        {"optimizer", "hyper", "learning_rate"},
        _one_each(lambda row: row.optimizer),
        _optimizer,
    ),
    ("Other frameworks and modes", {"framework", "mode"}, _one_each(_setup), _setup),
)
