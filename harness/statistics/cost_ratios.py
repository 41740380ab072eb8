"""The cost of a step in one setting against another: a ratio over the cells that both have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .intervals import FEWEST_LAUNCHES, LEVEL, Array, Interval, t_margin


class CostRatio(NamedTuple):
    """ratio: geometric mean over cells, its interval speaks of other launches of the same cells.
    least, most: of single cells. cells: how many."""

    ratio: Interval
    least: float
    most: float
    cells: int


def cost_ratio(pairs: Sequence[tuple[Array, Array]], level: float = LEVEL) -> CostRatio:
    """Ours over theirs: pairs of step times of launches float[n], float[m], one pair a cell, each
    cell timed on one machine.

    The logarithms of a cell's launches are averaged, their difference is that cell's, and cells
    weigh the same whatever their launches. The variances of the means add up, with Satterthwaite's
    degrees of freedom. Limits are NaN if a cell has fewer than three launches on a side. ValueError
    without a pair."""
    if not pairs:
        raise ValueError("a ratio needs a cell that both have")
    logs = [(np.log(ours), np.log(theirs)) for ours, theirs in pairs]
    of_cells = np.array([ours.mean() - theirs.mean() for ours, theirs in logs])
    mean, margin = float(of_cells.mean()), _margin(logs, level)
    low, high = math.exp(mean - margin), math.exp(mean + margin)
    ratio = Interval(math.exp(mean), low, high, level)
    least, most = (math.exp(float(limit)) for limit in (of_cells.min(), of_cells.max()))
    return CostRatio(ratio, least, most, len(pairs))


def _margin(logs: Sequence[tuple[Array, Array]], level: float) -> float:
    """Half the interval of the mean of the cells' differences; NaN with too few launches."""
    sides = [side for pair in logs for side in pair]
    if min(len(side) for side in sides) < FEWEST_LAUNCHES:
        return math.nan
    variances = np.array([side.var(ddof=1) / len(side) for side in sides]) / len(logs) ** 2
    total = float(variances.sum())
    if total == 0:
        return 0.0
    freedoms = np.array([len(side) - 1 for side in sides])
    return t_margin(math.sqrt(total), total**2 / float((variances**2 / freedoms).sum()), level)
