"""Tags artists with the series, values and runs that they show, for the script of the page.

A drawing function tags the artists that a reader may want to touch; svg reads the tags when it
writes the figure. An artist without a tag is drawn, and cannot be touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.artist import Artist

Kind = Literal["line", "band", "marks", "bars"]


@dataclass(frozen=True)
class Tag:
    """The data of an artist.

    series: its name in the legend; artists of one name are switched on and off together. x, y (low
    and high of a band): data coordinates of its points, whole, not cut to the panel; none: it is
    only switched. labels: names of points whose place does not name them, one a point. runs:
    digests, separated by spaces, of the runs behind each point, or one text for all points."""

    series: str
    kind: Kind
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


def tag(
    artist: Artist,
    series: str,
    kind: Kind,
    x: Iterable[Any] = (),
    y: Iterable[Any] = (),
    limits: tuple[Iterable[Any], Iterable[Any]] = ((), ()),
    labels: Sequence[str] = (),
    runs: Sequence[str] = (),
) -> None:
    """Keeps the artist's data on it; see Tag."""
    low, high = map(_numbers, limits)
    found = Tag(series, kind, _numbers(x), _numbers(y), low, high, tuple(labels), tuple(runs))
    artist._gradrace_tag = found  # type: ignore[attr-defined]


def tag_of(artist: Artist) -> Tag | None:
    """What was noted on it."""
    return getattr(artist, "_gradrace_tag", None)


def _numbers(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
