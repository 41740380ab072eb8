"""A history as a page shows it: nights in their order, and lines of values over them.

history = of(points, ranks(repository), asv_values)
night = history.nights[history.lines[0].positions[0]]"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import Point
from .detect import Series
from .foreign import UNPAIRED, Value
from .order import gone, ordered


class Night(NamedTuple):
    """One recording of one commit, on whichever machines. at: when it was recorded; of asv's
    values, when the commit was made. gone: the history of HEAD has no such commit any more."""

    commit: str
    at: str
    subject: str = ""
    gone: bool = False


@dataclass(frozen=True, eq=False)
class Line(Series):
    """A series and its points or values.

    anchor_commit: "" for an interpreter. points: of paired lines. values: of unpaired ones, whose
    log ratios are log(value / first value), and whose anchor is UNPAIRED. One each position."""

    anchor_commit: str = ""
    points: tuple[Point, ...] = ()
    values: tuple[Value, ...] = ()

    @property
    def unpaired(self) -> bool:
        return bool(self.values)


@dataclass(frozen=True)
class History:
    """nights: the axis that all lines share. lost: failed and skipped points, by time."""

    nights: tuple[Night, ...]
    lines: tuple[Line, ...]
    lost: tuple[Point, ...] = ()


def of(
    points: Sequence[Point], rank: Mapping[str, int] | None = None, values: Sequence[Value] = ()
) -> History:
    """rank: commit -> place in the history of HEAD, see order.ranks. Lines are in the order of
    cell, quantity, machine and anchor, the newest anchor last."""
    rank = rank or {}
    missing = gone(points, rank)
    told = {point.commit: point.subject for point in points}
    measured: list[Point | Value] = [*points, *values]
    moments = ordered(measured, rank)
    keys = list(dict.fromkeys((moment.commit, moment.at) for moment in moments))
    place = {key: number for number, key in enumerate(keys)}
    nights = (Night(c, at, told.get(c, ""), c in missing) for c, at in keys)
    lines = [*_paired(points, place), *_unpaired(values, place)]
    lost = sorted((point for point in points if not point.measured), key=lambda each: each.at)
    return History(tuple(nights), tuple(lines), tuple(lost))


_Place = Mapping[tuple[str, str], int]


def _paired(points: Iterable[Point], place: _Place) -> list[Line]:
    found: dict[tuple[str, ...], dict[int, Point]] = {}
    begun: dict[tuple[str, ...], str] = {}
    for point in points:
        if point.measured:
            anchor = point.anchor_commit or point.anchor
            key = (point.cell, point.quantity, point.machine, anchor)
            found.setdefault(key, {})[place[point.commit, point.at]] = point
            begun[key] = min(point.at, begun.get(key, point.at))
    keys = sorted(found, key=lambda key: (*key[:3], begun[key], key[3]))
    return [_line(found[key]) for key in keys]


def _line(at: Mapping[int, Point]) -> Line:
    positions = sorted(at)
    points = tuple(at[position] for position in positions)
    logs = [np.array(point.log_ratios) for point in points]
    last = points[-1]
    return Line(
        cell=last.cell,
        quantity=last.quantity,
        machine=last.machine,
        anchor=last.anchor,
        anchor_commit=last.anchor_commit,
        positions=np.array(positions),
        log_ratios=np.array([log.mean() for log in logs]),
        errors=np.array([log.std(ddof=1) / math.sqrt(len(log)) for log in logs]),
        points=points,
    )


def _unpaired(values: Iterable[Value], place: _Place) -> list[Line]:
    found: dict[tuple[str, ...], dict[int, Value]] = {}
    for value in values:
        machine = f"{value.machine}, {value.environment}"
        key = (value.benchmark, value.unit, machine)
        found.setdefault(key, {})[place[value.commit, value.at]] = value
    return [_unpaired_line(key[2], found[key]) for key in sorted(found)]


def _unpaired_line(machine: str, at: Mapping[int, Value]) -> Line:
    positions = sorted(at)
    values = tuple(at[position] for position in positions)
    logs = np.log([each.value for each in values])
    return Line(
        cell=values[0].benchmark,
        quantity=values[0].unit or "value",
        machine=machine,
        anchor=UNPAIRED,
        positions=np.array(positions),
        log_ratios=logs - logs[0],
        errors=np.array([each.error for each in values]),
        values=values,
    )
