"""Steps and drift in series of log ratios: pure functions of NumPy and SciPy.

search.py has `detect` and states its promise. noise.py says how much nights vary if nothing
changes, scan.py tries changes, fit.py fits those that were found, all together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

Array = np.ndarray

# With fewer nights a series is not judged.
FEWEST_NIGHTS = 8
# The false-alarm rate of a page, over all its series and all nights.
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Series:
    """One cell, by one quantity, on one machine, against one anchor: nights in their order.

    positions: int[n], growing; where the nights stand on the page. log_ratios: float64[n]. errors:
    float64[n], their standard errors over launches; NaN if not known."""

    cell: str
    quantity: str
    machine: str
    anchor: str
    positions: Array
    log_ratios: Array
    errors: Array


class Change(NamedTuple):
    """series: its place among those given. first: the position of the last night at the old level;
    last: of the first at the new one. A step has no night between them, a drift some.

    ratio: the new level over the old one, with 95% limits. They are of the size at the place that
    was found, not corrected for the choice of the place or of the series."""

    series: int
    kind: Literal["step", "drift"]
    first: int
    last: int
    ratio: float
    low: float
    high: float
