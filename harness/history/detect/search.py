"""Steps and drift in series of log ratios, with a false-alarm rate for the whole page.

The promise: on pages of which no series ever changes, the probability that anything is flagged at
any of the nights on which somebody looks is at most alpha, over all series and all nights together.
It is shared out over series (Bonferroni) and over the length of a history: to k = 1, 2, .. (up to
64, 128, .. nights) belongs alpha / (k (k + 1)), as the looks of `paired.decide`. Within such a
span the page may be looked at every night; `_LOOKS` has how many independent tests that amounts
to, by simulation up to 256 nights. Conditions: the noise of a night is symmetric apart from rare
bad nights, and nights depend on each other for a few nights at most. docs/statistics.md has the
figures, and the cases in which the promise fails.

Several changes of one series are found by binary segmentation (Vostrikova 1981; Fryzlewicz 2014,
"Wild binary segmentation for multiple change-point detection"): the best change that passes the
limit splits the series, and both parts are searched against the same limit."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

from . import ALPHA, FEWEST_NIGHTS, Change, Series, fit, noise, scan

Array = np.ndarray

# A change by less than this factor is not flagged, however sure it is: 0.5%.
LEAST = 0.005
# Nights of the first span, and the tests that all looks of a span amount to.
_SPAN = 64
_LOOKS = (50.0, 150.0, 430.0, 1300.0, 3900.0)
# The stretches between changes are searched again, once those have moved to their best places.
_ROUNDS = 4
# Changes of one series that are looked for, the strongest first.
_MOST = 40


def detect(series: Sequence[Series], alpha: float = ALPHA) -> tuple[Change, ...]:
    """All changes of a page, the series in their order, each from its first night on."""
    cleaned = {place: _Cleaned.of(each) for place, each in enumerate(series)}
    judged = {place: each for place, each in cleaned.items() if each is not None}
    if not judged:
        return ()
    own = np.stack([each.wander for each in judged.values()])
    page = _medians(own)
    found = []
    for (place, each), wander in zip(judged.items(), own, strict=True):
        dependence = float(noise.dependence(wander, page, len(each.values)))
        limit = _limit(len(each.values), alpha / len(judged))
        fits = _fits(each, each.variance * dependence, limit)
        found += [_change(place, each, fitted) for fitted in fits]
    return tuple(found)


class _Cleaned(NamedTuple):
    """A series without outliers. variance: of values / scales if nights are independent."""

    positions: Array
    values: Array
    scales: Array
    variance: float
    wander: Array

    @classmethod
    def of(cls, series: Series) -> _Cleaned | None:
        """None if there are too few nights."""
        values = np.asarray(series.log_ratios, dtype=np.float64)
        known = np.isfinite(values)
        if known.sum() < FEWEST_NIGHTS:
            return None
        values, errors = values[known], np.asarray(series.errors, dtype=np.float64)[known]
        scales = noise.spreads(values, errors)
        values = noise.without_outliers(values, scales)
        variance = float(noise.remaining(values, scales))
        positions = np.asarray(series.positions)[known]
        return cls(positions, values, scales, variance, noise.wander(values, scales))


def _medians(wander: Array) -> Array:
    """Over series, of each size of block; NaN if no series is long enough."""
    return np.array(
        [np.median(of[np.isfinite(of)]) if np.isfinite(of).any() else np.nan for of in wander.T]
    )


def _limit(nights: int, alpha: float) -> float:
    """|score| beyond which a series of so many nights has changed. The spread is an estimate from
    few nights, so it is Student's."""
    span = max(1, int(np.ceil(np.log2(nights / _SPAN))) + 1)
    looks = _LOOKS[min(span, len(_LOOKS)) - 1]
    share = alpha / (span * (span + 1)) / looks
    return float(-special.stdtrit(nights - 4, share / 2))


def _fits(series: _Cleaned, variance: float, limit: float) -> list[fit.Fitted]:
    sums = scan.sums_of(series.values, 1.0 / series.scales**2)
    nights = len(series.values)
    places: list[fit.Place] = []
    for _ in range(_ROUNDS):
        new: list[fit.Place] = []
        for gap in fit.gaps(places, nights):
            new += _search(sums, gap, limit**2 * variance, _MOST - len(places) - len(new))
        if not new:
            break
        places = fit.moved(sums, sorted([*places, *new]), nights)
    model = fit.Model(series.values, series.scales, variance)
    fits = fit.settled(model, sums, places, limit)
    return [fitted for fitted in fits if abs(fitted.size) >= np.log1p(LEAST)]


def _search(sums: scan.Sums, gap: tuple[int, int], least_gain: float, most: int) -> list[fit.Place]:
    """Binary segmentation of one stretch: the strongest changes first, about `most` at the most."""
    places: list[fit.Place] = []
    todo = _candidates(sums, [gap], least_gain)
    while todo and len(places) < most:
        _, (low, high), found = heapq.heappop(todo)
        new = [(found.begin, found.end)]
        if found.bump:
            new = [(found.begin, found.begin + 1), (found.end, found.end + 1)]
        places += new
        inner = zip(
            [low, *(end for _, end in new)], [*(begin + 1 for begin, _ in new), high], strict=True
        )
        for each in _candidates(sums, list(inner), least_gain):
            heapq.heappush(todo, each)
    return places


def _candidates(
    sums: scan.Sums, gaps: Sequence[tuple[int, int]], least_gain: float
) -> list[tuple[float, tuple[int, int], scan.Found]]:
    """How to split each stretch in which some change passes, as a heap: the best is the first."""
    found = [(gap, scan.split(sums, *gap)) for gap in gaps]
    passed = [(-each[0], gap, each[1]) for gap, each in found if each and each[0] > least_gain]
    heapq.heapify(passed)
    return passed


def _change(place: int, series: _Cleaned, fitted: fit.Fitted) -> Change:
    first, last = (int(series.positions[night]) for night in (fitted.begin, fitted.end))
    kind: Literal["step", "drift"] = "step" if fitted.end - fitted.begin == 1 else "drift"
    margin = special.stdtrit(len(series.values) - 4, 0.975) * fitted.error
    ratio, low, high = np.exp([fitted.size, fitted.size - margin, fitted.size + margin]).tolist()
    return Change(place, kind, first, last, ratio, low, high)
