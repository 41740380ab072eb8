"""Points and changes for people."""

from __future__ import annotations

from typing import Any

from ..paired import Quantity
from ..paired.words import WORDS
from . import Point
from .detect import Change
from .together import History


def row(point: Point) -> dict[str, str]:
    """A point as a row of a table."""
    return {
        "cell": point.cell,
        "quantity": point.quantity,
        "anchor": point.anchor,
        "tonight": point.decision,
        "HEAD / anchor": ratio(point.ratio, point.low, point.high),
        "at the anchor": value(point.a_value, point.quantity),
        "at HEAD": value(point.b_value, point.quantity),
        "launches": str(len(point.log_ratios) or ""),
    }


def ratio(estimate: float | None, low: float | None, high: float | None) -> str:
    """'1.020 [1.010, 1.030]'; nothing if it was not measured."""
    if estimate is None or low is None or high is None:
        return ""
    return f"{estimate:.3f} [{low:.3f}, {high:.3f}]"


def value(amount: float | None, quantity: Quantity) -> str:
    """'12.3 µs/step', '8.5 ms', '82.8 MiB'; nothing for None."""
    if amount is None:
        return ""
    words = WORDS[quantity]
    return f"{amount * words.scale:,.1f} {words.unit}"


def change_fields(history: History, change: Change) -> dict[str, Any]:
    """A change as plain JSON: where it is, its size with limits, and the commits around it."""
    line = history.lines[change.series]
    before, after = history.nights[change.first], history.nights[change.last]
    return {
        "cell": line.cell,
        "quantity": line.quantity,
        "machine": line.machine,
        "anchor": line.anchor,
        "kind": change.kind,
        "ratio": change.ratio,
        "low": change.low,
        "high": change.high,
        "last_before": {"commit": before.commit, "at": before.at},
        "first_after": {"commit": after.commit, "at": after.at},
    }


def change_line(history: History, change: Change) -> str:
    """A change in a line: 'cell: step of +5.1% [+4.0%, +6.3%] between 1a2b3c4d (..) and ..'."""
    line = history.lines[change.series]
    before, after = history.nights[change.first], history.nights[change.last]
    size, low, high = (f"{of - 1:+.1%}" for of in (change.ratio, change.low, change.high))
    between = f"{before.commit[:8]} ({before.at[:10]}) and {after.commit[:8]} ({after.at[:10]})"
    about = f"{line.quantity}, {line.machine}, against {line.anchor}"
    if line.unpaired:
        about = f"{line.quantity}, {line.machine}, {line.anchor}"
    return f"{line.cell}: {change.kind} of {size} [{low}, {high}] between {between}; {about}"
