"""The changes of a history, and the slowdowns among them that still stand: the level before them
was not reached again."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

from .detect import ALPHA, Change, Series
from .together import History, Line

# A level within this factor of the old one has returned to it. No smaller change is ever found.
_SAME = 1.005


def changes_of(history: History, alpha: float = ALPHA) -> tuple[Change, ...]:
    """All steps and drift; see detect.search. asv's unpaired values are judged apart, so that they
    take nothing from the rate of the others."""
    from .detect.search import detect

    found: list[Change] = []
    for unpaired in (False, True):
        places = [n for n, line in enumerate(history.lines) if line.unpaired == unpaired]
        changes = detect([_series(history.lines[place]) for place in places], alpha)
        found += [change._replace(series=places[change.series]) for change in changes]
    return tuple(found)


def _series(line: Line) -> Series:
    said = line.cell, line.quantity, line.machine, line.anchor
    return Series(*said, line.positions, line.log_ratios, line.errors)


def standing(lines: Sequence[Line], changes: Sequence[Change]) -> tuple[Change, ...]:
    """The slowdowns that are still there, in series whose anchor is the newest of their cell."""
    newest = {(line.cell, line.quantity, line.machine): number for number, line in enumerate(lines)}
    current = set(newest.values())
    found = []
    for change in changes:
        if change.ratio > 1 and change.series in current:
            later = [
                other
                for other in changes
                if other.series == change.series and other.first >= change.first
            ]
            levels = itertools.accumulate((each.ratio for each in later), operator.mul)
            if min(levels) > _SAME:
                found.append(change)
    return tuple(found)
