"""Paths of an SVG in half the characters: steps from point to point instead of places."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_PIECE = re.compile(r"([MLCQZz])([^MLCQZz]*)")
_NUMBER = re.compile(r"-?\d*\.?\d+(?:e-?\d+)?")


def compact(path: str) -> str:
    """The same path to a hundredth of a unit. It may hold the commands that matplotlib writes: M,
    L, C, Q and z, with absolute coordinates."""
    return "".join(_pieces(path))


def _pieces(path: str) -> Iterator[str]:
    here = start = (0, 0)
    last = ""
    for command, text in _PIECE.findall(path):
        values = [round(100 * float(number)) for number in _NUMBER.findall(text)]
        if command in "Zz":
            here = start
            yield "z"
        elif command == "M":
            here = start = (values[0], values[1])
            yield "M" + _joined(values)
        else:
            steps = [value - here[i % 2] for i, value in enumerate(values)]
            here = (values[-2], values[-1])
            joined = _joined(steps)
            same = last == command
            yield (" " if same and joined[0] != "-" else "" if same else command.lower()) + joined
        last = command


def _joined(hundredths: Sequence[int]) -> str:
    """Numbers with no more than is needed between them."""
    text = ""
    for number in map(_short, hundredths):
        text += number if not text or number[0] == "-" else f" {number}"
    return text


def _short(hundredths: int) -> str:
    whole, part = divmod(abs(hundredths), 100)
    digits = f"{whole or ''}" + (f".{part:02d}".rstrip("0") if part else "")
    return ("-" if hundredths < 0 else "") + (digits or "0")
