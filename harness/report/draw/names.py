"""Names that fit: long ones lose their middle; the whole name stands in the figure's data."""

from __future__ import annotations

import re
from collections.abc import Iterable

_DIGITS = re.compile(r"(\d\.\d{4})\d{3,}(?![\de])")


def short(name: str, most: int = 44) -> str:
    """The name in at most so many letters: decimals of seven digits and more are cut, then its
    middle is left out."""
    name = _DIGITS.sub(r"\1…", name)
    if len(name) <= most:
        return name
    head = (most - 1) * 3 // 5
    return f"{name[:head].rstrip()}…{name[-(most - 1 - head) :].lstrip()}"


def shortened(names: Iterable[str], most: int = 44) -> dict[str, str]:
    """Name -> short name; names that would read the same are numbered."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        text, number = short(name, most), 2
        while text in found.values():
            text, number = f"{short(name, most - 4)} ({number})", number + 1
        found[name] = text
    return found
