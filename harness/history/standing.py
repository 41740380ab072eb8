"""Slowdowns that still stand: the level before them was not reached again."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

from .detect import Change
from .together import Line

# A level within this factor of the old one has returned to it. No smaller change is ever found.
_SAME = 1.005


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
