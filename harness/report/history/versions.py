"""When libraries changed their versions."""

from __future__ import annotations

from collections.abc import Mapping

from ...history.together import Line
from .chart import Moved


def moved(line: Line) -> list[Moved]:
    """Changes from one night of the line to the next, of HEAD's libraries and of the anchor's."""
    found: list[Moved] = []
    if line.unpaired:
        return found
    pairs = zip(line.points[:-1], line.points[1:], line.positions[1:], strict=True)
    for before, after, at in pairs:
        ours = _changes(before.versions, after.versions)
        theirs = _changes(before.anchor_versions, after.anchor_versions)
        texts = [*ours, *(f"anchor: {text}" for text in theirs if text not in ours)]
        found += [Moved(int(at), text) for text in texts]
    return found


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    names = sorted(before.keys() | after.keys())
    return [
        f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
        for name in names
        if before.get(name) != after.get(name)
    ]
