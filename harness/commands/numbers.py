"""Parsers of numbers on the command line: finite, in plain digits, within stated limits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import typer

from .. import limits


def number(low: float | None = None, high: float | None = None) -> Callable[[Any], float]:
    """Reads a float within [low, high]; "nan" and "inf" are refused, though Python reads them."""

    def parse(value: Any) -> float:
        try:
            found = float(value)
        except ValueError:
            raise _refused(value, "a number") from None
        if not math.isfinite(found):
            raise _refused(value, "a finite number")
        return _within(found, low, high)

    parse.__name__ = "NUMBER"
    return parse


def count(low: int = 0, high: int | None = None) -> Callable[[Any], int]:
    """Reads a whole number within [low, high]; only digits 0 to 9, though Python reads others."""

    def parse(value: Any) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", str(value).strip(), re.ASCII):
            raise _refused(value, "a whole number of at most 18 digits")
        return int(_within(int(value), low, high))

    parse.__name__ = "COUNT"
    return parse


def _refused(value: Any, wanted: str) -> typer.BadParameter:
    from ..strict import given

    return typer.BadParameter(f"{given(value)} is not {wanted}")


def _within(value: float, low: float | None, high: float | None) -> float:
    if low is not None and value < low:
        raise typer.BadParameter(f"{_plain(value)} is less than {_plain(low)}")
    if high is not None and value > high:
        raise typer.BadParameter(f"{_plain(value)} is more than {_plain(high)}")
    return value


def _plain(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


SECONDS = number(0.1, limits.SECONDS)
BUDGET_S = number(1.0, limits.SECONDS)
