"""Numbers as people read them. A missing number is an en dash."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

MISSING = "–"
STATUSES = ("ok", "diverged", "failed", "timeout", "skipped")


def significant(value: float, digits: int = 3) -> str:
    """`digits` significant digits, without an exponent if it can be read: 0.0123, 1.50, 1234."""
    if not math.isfinite(value):
        return MISSING if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -4 <= exponent < 7:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def percent(fraction: float) -> str:
    """0.9777 -> 97.8%"""
    return MISSING if math.isnan(fraction) else f"{100 * fraction:.1f}%"


def hundredths(fraction: float) -> str:
    """0.9777 -> 97.8, under a heading that says %."""
    return percent(fraction).removesuffix("%")


def metric(value: float, name: str) -> str:
    """Accuracy in percent, R² as a number; a loss stands in a column of its own."""
    if name == "accuracy" or math.isnan(value):
        return percent(value)
    return MISSING if name == "negative_loss" else significant(value)


def micros(seconds: float) -> str:
    """Seconds as microseconds, three significant digits, no unit."""
    return significant(seconds * 1e6)


def limits(
    low: float, high: float, form: Callable[[float], str] = significant, alike: bool = True
) -> str:
    """'0.11–0.13'; nothing if one is missing, or if both read `alike` and that is False."""
    texts = [form(low), form(high)]
    hidden = MISSING in texts or (not alike and texts[0] == texts[1])
    return "" if hidden else "–".join(texts)


def counts(by_status: Mapping[str, int]) -> str:
    """'2 ok, 1 diverged'"""
    return (
        ", ".join(f"{n} {status}" for status in STATUSES if (n := int(by_status[status])))
        or "no runs"
    )


def steps_to_target(median: float, reached: float, attempts: float, budget: float) -> str:
    """The median step of a cell; an infinite median is censored at the budget.

    '180', '180 (4 of 5)', '> 360 (1 of 3)', 'not reached (0 of 3)'
    """
    if attempts == 0 or math.isnan(median):
        return MISSING
    share = f"({int(reached)} of {int(attempts)})"
    if math.isfinite(median):
        return f"{median:g}" + ("" if reached == attempts else f" {share}")
    return f"> {budget:g} {share}" if reached else f"not reached {share}"


def seconds_to_target(seconds: float, reached: float, budget_s: float) -> str:
    """Seconds of the median run; '> 0.19' if that run missed the target within its budget."""
    if math.isnan(seconds) or math.isnan(budget_s):
        return MISSING
    if math.isfinite(seconds):
        return significant(seconds)
    return f"> {significant(budget_s)}" if reached else "not reached"


def minute(started_at: str) -> str:
    """2026-03-01T00:01:02+00:00 -> 2026-03-01 00:01"""
    return started_at[:16].replace("T", " ")


def plural(n: int, noun: str) -> str:
    """'1 run', '2 runs'"""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
