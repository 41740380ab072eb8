"""What stands above the answer of a suite: how many runs ended how."""

from __future__ import annotations

from . import tables, text
from .builder import Builder


def chips(builder: Builder) -> list[tuple[str, str]]:
    """Kind and label: '12 ok', '1 diverged', '3 not run yet'."""
    counts = builder.runs["status"].value_counts()
    found = [(name, f"{counts[name]:,} {name}") for name in text.STATUSES if name in counts]
    left = tables.missing(builder.frames, builder.suite)
    return found + ([("missing", f"{left:,} not run yet")] if left else [])
