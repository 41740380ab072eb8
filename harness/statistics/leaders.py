"""The leaders of one task: those not shown to be worse than the best that was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .comparisons import probability_of_improvement
from .intervals import LEVEL, Array, check_level

# Nobody runs more seeds than that to tell two settings apart.
_MOST_SEEDS = 64
_KNOWN = (1.0, 1.0)


class Leaders(NamedTuple):
    """Who leads on one task.

    best: those with the lowest median; several if it is the same. not_worse: all that are not shown
    to be worse than the best, which are among them. decidable: whether so many runs could have
    shown any of them to be worse, had they all been slower."""

    best: tuple[str, ...]
    not_worse: tuple[str, ...]
    decidable: bool


def leaders(
    values: Mapping[str, Array],
    factors: Mapping[str, tuple[float, float]] | None = None,
    level: float = LEVEL,
) -> Leaders:
    """The leaders by values: name -> float[runs], lower is better, infinite for one that missed.

    One is shown to be worse if the probability that the best's run is lower lies above one half,
    at one side's share of 1 - level divided by the number of comparisons. So the truly best one is
    among `not_worse` with probability `level`, whichever looks best (Hsu 1981's multiple
    comparisons with the best, with Bonferroni's correction). Ties and infinite values count half
    against each other.

    factors: name -> limits by which all values of a name may be off together, such as the step time
    of seconds to target: the worse one's are taken at the low limit, the best's at the high one.
    NaN: nobody knows, so nothing is shown. UserError for a level that is none."""
    found = {name: np.asarray(of, dtype=np.float64) for name, of in values.items()}
    medians = {name: _median(of) for name, of in found.items()}
    least = min(medians.values())
    best = tuple(name for name, median in medians.items() if median == least)
    if math.isinf(least):
        return Leaders(best, tuple(found), False)
    first = max(best, key=lambda name: found[name].size)
    others = [name for name in found if name not in best]
    each = _one_sided(len(found), level)
    limits = {name: (factors or {}).get(name, _KNOWN) for name in found}
    worse = {
        name
        for name in others
        if _is_lower(found[first] * limits[first][1], found[name] * limits[name][0], each)
    }
    able = any(_decides(found[first].size, found[name].size, each) for name in others)
    known = not any(math.isnan(limits[first][1] + limits[name][0]) for name in others)
    return Leaders(best, tuple(name for name in found if name not in worse), able and known)


def seeds_needed(names: int, level: float = LEVEL) -> int:
    """The fewest runs of each of so many names that can show one to be worse than the best."""
    each = _one_sided(names, level)
    return next((n for n in range(2, _MOST_SEEDS) if _decides(n, n, each)), _MOST_SEEDS)


def _one_sided(names: int, level: float) -> float:
    """The level of a two-sided interval whose one side errs as often as a comparison may."""
    return 1 - 2 * (1 - check_level(level)) / max(1, names - 1)


def _median(values: Array) -> float:
    """Infinite if half of the runs or more missed."""
    return float(np.median(values)) if values.size else math.inf


def _is_lower(ours: Array, theirs: Array, level: float) -> bool:
    """Whether ours are shown to be lower. Only the order counts, so what missed may have any value
    above all others."""
    both = np.concatenate([ours, theirs])
    if np.isnan(both).any():
        return False
    arrived = both[np.isfinite(both)]
    late = 2 * float(np.abs(arrived).max()) + 1 if arrived.size else 1.0
    pair = [np.where(np.isinf(of), late, of)[None] for of in (ours, theirs)]
    return probability_of_improvement(pair[0], pair[1], False, level).low > 0.5


@lru_cache(maxsize=256)
def _decides(ours: int, theirs: int, level: float) -> bool:
    """Whether so many runs are enough if each of ours is below each of theirs."""
    return _is_lower(np.arange(ours) - float(ours), np.arange(theirs) + 0.0, level)
