"""Numbers on the command line: within stated limits, finite, in plain digits. Each function makes a
parser of an option.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import typer

from .. import limits
from ..strict import given


def number(low: float | None = None, high: float | None = None) -> Callable[[Any], float]:
    """A float within [low, high]; "nan" and "inf" are none, though Python reads them."""

    def parse(value: Any) -> float:
        try:
            found = float(value)
        except ValueError:
            raise typer.BadParameter(f"{given(value)} is not a number") from None
        if not math.isfinite(found):
            raise typer.BadParameter(f"{given(value)} is not a finite number")
        return _within(found, low, high)

    parse.__name__ = "NUMBER"
    return parse


def count(low: int = 0, high: int | None = None) -> Callable[[Any], int]:
    """A whole number within [low, high], in digits 0 to 9; Python also reads those of other
    scripts.
    """

    def parse(value: Any) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", str(value).strip(), re.ASCII):
            raise typer.BadParameter(f"{given(value)} is not a whole number of at most 18 digits")
        return int(_within(int(value), low, high))

    parse.__name__ = "COUNT"
    return parse


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
