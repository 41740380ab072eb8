"""A figure of stored results for people."""

from __future__ import annotations

from typing import Any


def figure_row(row: dict[Any, Any]) -> dict[str, str]:
    """A row of Comparison.rows as text."""
    change = row["change"]
    sides = {side: _figure(row["figure"], row[side]) for side in ("a", "b")}
    found = row | sides | {"change": "" if change != change else f"{change:+.1%}"}
    return {str(key): str(value) for key, value in found.items()}


def _figure(figure: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value != value:
        return "–"
    never = figure == "steps_to_target" and value == float("inf")
    return "not reached" if never else f"{value:.4g}"
