"""The figures of a pair for people, the same in every table."""

from __future__ import annotations

from . import PairVerdict


def figures(cell: PairVerdict) -> dict[str, str]:
    """By column: times, ratio with interval, launches, detectable slowdown; '' if not measured."""
    ratio = "" if cell.ratio is None else f"{cell.ratio:.3f} [{cell.low:.3f}, {cell.high:.3f}]"
    return {
        "a, µs/step": micros(cell.a_step_s),
        "b, µs/step": micros(cell.b_step_s),
        "b / a": ratio,
        "launches": str(cell.launches),
        "detectable": "" if cell.detectable is None else f"{cell.detectable:.1%}",
    }


def micros(seconds: float | None) -> str:
    """Microseconds to a tenth; nothing for None."""
    return "" if seconds is None else f"{seconds * 1e6:.1f}"
