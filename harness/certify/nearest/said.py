"""Numbers and lists in the sentences of findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from ...optimizer import Optimizer


def listed(names: Iterable[str]) -> str:
    """'a, b and c'."""
    *first, last = list(names) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """'lr=0.01, betas=(0.9, 0.999)'."""
    return ", ".join(f"{name}={value}" for name, value in arguments.items())


def apart(size: float) -> str:
    """A scaled difference: '0.18', or 'infinitely' if one side stands still."""
    return "infinitely" if size == float("inf") else f"{size:.2g}"


def finite(size: float | None) -> float | None:
    """For Finding.size, which JSON holds: None for infinity."""
    return size if size is not None and isfinite(size) else None


def source(optimizer: Optimizer) -> str:
    """The first words of its paper: 'Kingma & Ba (2015)'."""
    found = re.match(r"[^;]*?\(\d{4}\)", optimizer.paper)
    return found[0] if found else optimizer.title
