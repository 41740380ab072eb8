"""Pairs for people, the same in every table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import PairedResult, PairVerdict, Quantity
from .words import WORDS


def figures(cell: PairVerdict, quantity: Quantity = "step") -> dict[str, str]:
    """By column: ratio with interval, the values it is made of, launches, detectable slowdown; ''
    if not measured."""
    ratio = "" if cell.ratio is None else f"{cell.ratio:.3f} [{cell.low:.3f}, {cell.high:.3f}]"
    unit = WORDS[quantity].unit
    return {
        "b / a": ratio,
        f"a, {unit}": value(quantity, cell.a_value),
        f"b, {unit}": value(quantity, cell.b_value),
        "launches": str(cell.launches),
        "detectable": "" if cell.detectable is None else f"{cell.detectable:.1%}",
    }


def value(quantity: Quantity, measured: float | None) -> str:
    """A value in the unit of the table's column, to a tenth; nothing for None."""
    return "" if measured is None else f"{measured * WORDS[quantity].scale:.1f}"


def micros(seconds: float | None) -> str:
    """Microseconds to a tenth; nothing for None."""
    return "" if seconds is None else f"{seconds * 1e6:.1f}"


def described(side: dict[str, Any]) -> str:
    """A side in a line: label, details, versions."""
    details = [f"{key} {value}" for key, value in side.items() if key not in ("label", "versions")]
    versions = [f"{name} {version}" for name, version in side["versions"].items()]
    return f"{side['label']}  ({', '.join([*details, *versions])})"


def row(cell: PairVerdict, versions: bool, quantity: Quantity = "step") -> dict[str, str]:
    """A pair's name, verdict and figures. versions: the sides are versions of one thing."""
    said = word(cell, versions, quantity) + (" (found twice)" if cell.confirmed else "")
    return {"cell": cell.cell, "verdict": said, **figures(cell, quantity)}


def skipped(result: PairedResult) -> list[str]:
    """The pairs that were skipped, a line for each reason."""
    return by_reason((cell.cell, cell.reason) for cell in result.of("skipped"))


def by_reason(named: Iterable[tuple[str, str]], noun: str = "cells") -> list[str]:
    """'12 cells: tensorflow is not installed' for (name, reason); a name that is alone stands there
    itself."""
    groups: dict[str, list[str]] = {}
    for name, reason in named:
        groups.setdefault(reason, []).append(name)
    return [
        f"{names[0] if len(names) == 1 else f'{len(names)} {noun}'}: {reason}"
        for reason, names in groups.items()
    ]


def word(cell: PairVerdict, versions: bool, quantity: Quantity = "step") -> str:
    """The verdict. Between different things neither side is the one to be kept."""
    words = WORDS[quantity]
    different = {"regression": words.larger, "improvement": words.smaller, "ok": "about equal"}
    return cell.decision if versions else different.get(cell.decision, cell.decision)


def part_rows(cell: PairVerdict) -> list[dict[str, str]]:
    """The parts of a pair's step."""
    rows = []
    for part in dict.fromkeys([*cell.a_parts_s, *cell.b_parts_s]):
        a, b = cell.a_parts_s.get(part), cell.b_parts_s.get(part)
        ratio = f"{b / a:.3f}" if a and b and a > 0 and part != "remainder" else ""
        times = {"a, µs/step": micros(a), "b, µs/step": micros(b), "b / a": ratio}
        rows.append({"cell": cell.cell, "part": part, **times})
    return rows


def warnings(result: PairedResult) -> list[str]:
    """Cautions for readers of the verdicts."""
    found, cells = [], len(result.cells)
    detectable = [cell.detectable for cell in result.cells if cell.detectable is not None]
    if weak := [each for each in detectable if each > result.rule.threshold]:
        found.append(
            f"in {len(weak)} of {cells} cells this many launches, so far apart, find only"
            f" {WORDS[result.quantity].more}s above the threshold with power 0.8 (up to"
            f" {max(weak):.1%}): a quieter machine or a larger --budget finds smaller ones"
        )
    if contended := sum(cell.contended for cell in result.cells):
        found.append(f"other processes held the core in {contended} of {cells} cells")
    return found
