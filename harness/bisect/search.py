"""Which version is tested next: pure functions over indices 0 (GOOD) to n - 1 (BAD).

A span (older, newer) is two tested versions that differ. Its middle is like the older end, like the
newer end, or like neither: then both halves hold a change. Versions that cannot be run are stepped
around; if none is left between the ends, any of them may be the one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from . import Place

# More changes than this are not followed: each costs a search of its own.
MOST_CHANGES = 3


class Span(NamedTuple):
    """Indices of two tested versions that differ."""

    older: int
    newer: int


class Spent(Exception):
    """No time is left for another test."""


@dataclass
class Found:
    """ends: spans in which nothing is left to test. rest: spans that were not followed, too small
    or too many. open: the span being searched when the time ended."""

    ends: list[Span] = field(default_factory=list)
    rest: list[Span] = field(default_factory=list)
    open: list[Span] = field(default_factory=list)


def search(
    last: int,
    place: Callable[[int, Span], Place],
    size: Callable[[Span], float],
    worth: Callable[[Span], bool] = lambda span: True,
) -> Found:
    """Follows the changes between 0 and `last`, the largest first.

    place: tests a version against a span's ends; raises Spent if there is no time. size: of the
    change in a span. worth: whether a span's change is large enough to be followed."""
    found, spans, skipped = Found(), [Span(0, last)], set[int]()
    while spans:
        span = max(spans, key=size)
        spans.remove(span)
        if len(found.ends) == MOST_CHANGES or not worth(span):
            found.rest.append(span)
            continue
        try:
            spans += _followed(span, place, skipped, found)
        except _Ended as ended:
            found.open = [ended.span, *spans]
            break
    found.ends.sort()
    found.rest.sort()
    return found


class _Ended(Exception):
    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span


def _followed(
    span: Span, place: Callable[[int, Span], Place], skipped: set[int], found: Found
) -> list[Span]:
    """Narrows the span to its end, or to a version like neither end: then both halves."""
    while (middle := choose(span, skipped)) is not None:
        try:
            where = place(middle, span)
        except Spent:
            raise _Ended(span) from None
        if where == "older":
            span = Span(middle, span.newer)
        elif where == "newer":
            span = Span(span.older, middle)
        elif where == "neither":
            return [Span(span.older, middle), Span(middle, span.newer)]
        else:
            skipped.add(middle)
    found.ends.append(span)
    return []


def choose(span: Span, skipped: Collection[int]) -> int | None:
    """The next to test: the middle; after k skips in the span the k-th of 1/2, 1/4, 3/4, 1/8, ..
    (van der Corput 1935), or its nearest neighbour that was not skipped. None if none is left."""
    inside = [i for i in range(span.older + 1, span.newer) if i not in skipped]
    if not inside:
        return None
    failed = span.newer - span.older - 1 - len(inside)
    aim = span.older + _van_der_corput(failed + 1) * (span.newer - span.older)
    return min(inside, key=lambda i: (abs(i - aim), i))


def _van_der_corput(number: int) -> float:
    """The digits of number = 1, 2, .. in base 2, mirrored at the point: 1/2, 1/4, 3/4, 1/8, .."""
    value, scale = 0.0, 0.5
    while number:
        value += scale * (number & 1)
        number, scale = number >> 1, scale / 2
    return value
