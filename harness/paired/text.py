"""A cell's figures for people, the same in every table that shows them."""

from __future__ import annotations

from . import CellVerdict


def figures(cell: CellVerdict) -> dict[str, str]:
    """Microseconds a step of both sides, the ratio b / a with its simultaneous interval, launches,
    and the slowdown that so many find with power 0.8; empty texts for what was not measured."""
    return {
        "a, µs/step": micros(cell.a_step_s),
        "b, µs/step": micros(cell.b_step_s),
        "b / a": (
            "" if cell.ratio is None else f"{cell.ratio:.3f} [{cell.low:.3f}, {cell.high:.3f}]"
        ),
        "launches": str(cell.launches),
        "detectable": "" if cell.detectable is None else f"{cell.detectable:.1%}",
    }


def micros(seconds: float | None) -> str:
    """Microseconds to a tenth; nothing for None."""
    return "" if seconds is None else f"{seconds * 1e6:.1f}"
