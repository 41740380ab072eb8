"""The changes of a history, and words for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ...history.detect import FEWEST_NIGHTS, Change
from ...history.together import History, Line, Night

# The name of a quantity, and the words for more and for less of it.
_WORDS = {
    "step": ("time per step", "slower", "faster"),
    "first_call": ("first call", "slower", "faster"),
    "memory": ("memory", "more", "less"),
    "energy": ("energy per step", "more", "less"),
}


class Found(NamedTuple):
    """A change, its line, and the nights it lies between: the last one at the old level and the
    first at the new one."""

    change: Change
    line: Line
    first: Night
    last: Night

    @property
    def is_worse(self) -> bool:
        return self.change.ratio > 1.0


def found_in(history: History, changes: Sequence[Change]) -> list[Found]:
    """The changes with their lines and nights, the worst first, those of asv's values last."""
    found = [
        Found(
            change,
            history.lines[change.series],
            history.nights[change.first],
            history.nights[change.last],
        )
        for change in changes
    ]
    return sorted(found, key=lambda each: (each.line.unpaired, -each.change.ratio))


def too_short(lines: Sequence[Line]) -> list[Line]:
    """Those with too few nights to be judged."""
    return [line for line in lines if len(line.positions) < FEWEST_NIGHTS]


def quantity(line: Line) -> str:
    """What the line measures."""
    return _WORDS.get(line.quantity, (line.quantity, "", ""))[0]


def size(change: Change) -> str:
    """'+5.0%'."""
    return f"{change.ratio - 1:+.1%}"


def limits(change: Change) -> str:
    """'+4.2% to +5.8%'."""
    return f"{change.low - 1:+.1%} to {change.high - 1:+.1%}"


def together(found: Sequence[Found], line: Line) -> str:
    """All changes of a line taken together, '+10.2%'; "" if it has fewer than two."""
    ratios = [each.change.ratio for each in found if each.line is line]
    return f"{math.prod(ratios) - 1:+.1%}" if len(ratios) > 1 else ""


def verdict(found: Found) -> str:
    """'slower', 'less', ..; of asv's values only whether they rose."""
    words = ("", "rose", "fell") if found.line.unpaired else _WORDS.get(found.line.quantity)
    _, more, less = words or ("", "more", "less")
    return more if found.is_worse else less


def kind(found: Found) -> str:
    """'step', or 'drift over 40 nights'."""
    if found.change.kind == "step":
        return "step"
    inside = (found.line.positions > found.change.first) & (
        found.line.positions <= found.change.last
    )
    return f"drift over {int(inside.sum())} nights"
