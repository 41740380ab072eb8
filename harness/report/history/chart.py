"""The content of a panel of the page: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Track:
    """A line of a panel, on one machine against one anchor.

    x: float64[n], places of nights. ratio, low, high: float64[n], with 95% limits (NaN: not known).
    fitted: float64[n], the levels between the changes that were found. labels: a night's date and
    commit, one a point."""

    name: str
    x: Array
    ratio: Array
    low: Array
    high: Array
    fitted: Array
    labels: tuple[str, ...]


class Flag(NamedTuple):
    """A change in a panel. track: the name of its line. first, last: places of nights."""

    track: str
    first: int
    last: int
    text: str


class Moved(NamedTuple):
    """Before this night a library changed its version."""

    at: int
    text: str


@dataclass(frozen=True, eq=False)
class Chart:
    """dates: of every night of the page. y: the label of the axis of ratios."""

    tracks: tuple[Track, ...]
    flags: tuple[Flag, ...]
    moved: tuple[Moved, ...]
    dates: tuple[str, ...]
    y: str
