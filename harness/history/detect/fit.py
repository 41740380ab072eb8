"""All changes of a series fitted together, once their places are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .scan import Sums, best

Array = np.ndarray

# The last night at the old level, the first at the new one.
Place = tuple[int, int]


class Fitted(NamedTuple):
    """size: of the change of the log ratio, with its standard error."""

    begin: int
    end: int
    size: float
    error: float


class Model(NamedTuple):
    """values, scales: float64[n]; noise: the variance of values / scales."""

    values: Array
    scales: Array
    noise: float

    def fit(self, places: Sequence[Place]) -> tuple[list[Fitted], float]:
        """The changes, and what is left: the sum of squares over the noise."""
        t = np.arange(len(self.values), dtype=np.float64)
        ramps = [np.clip((t - begin) / (end - begin), 0.0, 1.0) for begin, end in places]
        design = np.stack([np.ones_like(t), *ramps], axis=1) / self.scales[:, None]
        target = self.values / self.scales
        inverse = np.linalg.pinv(design.T @ design)
        sizes = inverse @ (design.T @ target)
        left = float(((target - design @ sizes) ** 2).sum()) / self.noise
        errors = np.sqrt(np.diag(inverse) * self.noise)
        rows = zip(places, sizes[1:], errors[1:], strict=True)
        fits = [Fitted(*place, float(size), float(error)) for place, size, error in rows]
        return fits, left


def gaps(places: Sequence[Place], nights: int) -> list[tuple[int, int]]:
    """The stretches without a change: first night, and the one after the last."""
    lows, highs = [0, *(end for _, end in places)], [*(begin + 1 for begin, _ in places), nights]
    return list(zip(lows, highs, strict=True))


def moved(sums: Sums, places: list[Place], nights: int) -> list[Place]:
    """Each change at its best place between its neighbours, and as a drift if that is better."""
    for i in range(len(places)):
        (low, _), (_, high) = gaps(places, nights)[i : i + 2]
        found = best(sums, low, high)
        if found is not None and not found.bump:
            places[i] = (found.begin, found.end)
    return places


def settled(model: Model, sums: Sums, places: list[Place], limit: float) -> list[Fitted]:
    """The changes that stand. Neighbours in one direction that one drift explains as well are one
    drift; what then does not pass the limit beside the others is left out, the weakest first."""
    places = _merged(model, sums, places)
    fits, _ = model.fit(places)
    while fits:
        weakest = min(fits, key=lambda fit: abs(fit.size) / fit.error)
        if abs(weakest.size) > limit * weakest.error:
            break
        places = [place for place in places if place != (weakest.begin, weakest.end)]
        fits, _ = model.fit(places)
    return fits


def _merged(model: Model, sums: Sums, places: list[Place]) -> list[Place]:
    nights = len(model.values)
    # One change less has one size and one place less.
    price = 2.0 * np.log(nights)
    fits, left = model.fit(places)
    i = 0
    while i + 1 < len(places):
        between = gaps(places, nights)
        one = best(sums, between[i][0], between[i + 2][1])
        if one is None or one.bump or fits[i].size * fits[i + 1].size < 0:
            i += 1
            continue
        tried = [*places[:i], (one.begin, one.end), *places[i + 2 :]]
        found, more = model.fit(tried)
        if more - left > price:
            i += 1
            continue
        places, fits, left, i = tried, found, more, max(i - 1, 0)
    return places
