"""Names and numbers in sentences."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from .. import text
from ..tables.standings import EPOCHS, LOSS, METRIC, SECONDS, STEPS

# Numbers with more digits than a sentence needs.
_DECIMALS = re.compile(r"\b\d+\.\d{4,}\b")
_RIGHT_TO_LEFT = ("R", "AL")
# First strong isolate and its end: what is between them does not turn its neighbours around.
_ISOLATE = "\u2068{}\u2069"


def name(whole: str, most: int = 48) -> str:
    """A name in a sentence: its end is cut if it is long, and it turns no neighbour around if it is
    written from right to left."""
    whole = _DECIMALS.sub(lambda number: f"{float(number[0]):.3g}", whole)
    short = whole if len(whole) <= most else f"{whole[: most - 1].rstrip()}…"
    turned = any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in short)
    return _ISOLATE.format(short) if turned else short


def series(row: dict[str, object]) -> str:
    """'adam', or 'adam in jax (scan)' if the setup counts."""
    setup = f" in {row['setup']}" if row["setup"] else ""
    return name(str(row["series"])) + setup


def listed(found: Iterable[str], most: int = 4) -> str:
    """'a, b and c', 'a, b, c and 9 more'."""
    names = list(dict.fromkeys(found))
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def amount(value: float, unit: str, metric: str) -> str:
    """'108 steps', '0.0054 s', 'accuracy 97.5%', 'loss 0.31'."""
    if unit in (STEPS, EPOCHS):
        return f"{value:g} {unit}" if unit == STEPS else f"{text.significant(value)} {unit}"
    if unit == SECONDS:
        return f"{text.significant(value)} s"
    if unit == METRIC:
        return f"{'accuracy' if metric == 'accuracy' else 'R²'} {text.metric(value, metric)}"
    return f"loss {text.significant(value)}"


def plain(value: float, unit: str, metric: str) -> str:
    """The same without its unit, for a table."""
    if unit == METRIC:
        return text.metric(value, metric)
    return f"{value:g}" if unit == STEPS else text.significant(value)


def times(ratio: float) -> str:
    """'3.1×'"""
    return f"{text.significant(ratio, 3 if ratio < 10 else 2)}×"


def shown(unit: str) -> str:
    """'slower' or 'worse', as a contender that is not a leader is shown to be."""
    return "shown to be worse" if unit in (METRIC, LOSS) else "shown to be slower"
