"""Points for people."""

from __future__ import annotations

from ..paired import UNITS, Quantity
from . import Point


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
    """'12.3 µs/step'; nothing for None."""
    if amount is None:
        return ""
    if quantity == "step":
        return f"{amount * 1e6:,.1f} µs/step"
    return f"{amount:.4g} {UNITS[quantity]}"
