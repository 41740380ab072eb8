"""Looks through a series for the one change that explains it best.

A change is a ramp: the level goes from one to another in so many nights. A step is a ramp of one
night. A bump (up and back again) is tried as well, so that its two steps are found even if neither
stands out alone (circular binary segmentation: Olshen, Venkatraman, Lucito & Wigler 2004). For each
candidate the weighted least-squares gain is computed from cumulative sums; its root is normal with
variance 1 if nothing changes and nights are independent. Long series have a grid of candidates that
grows coarser with their length (Kovács, Bühlmann, Li & Munk 2023, "Seeded binary segmentation"),
and the best one is refined."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

Array = np.ndarray
# ramp_scores or bump_scores.
Scores = Callable[["Sums", int, int, Array, Array], Array]

# Nights that a level must have on both sides of a step, and a bump must have.
LEAST_NIGHTS = 3
# A slower change than a step has at least so many nights, and one that has not ended, or began
# before the first night, so many: two bad nights at the end are no drift.
_SHORTEST_RAMP, _SHORTEST_OPEN = 5, 10
# Candidates of one length begin this share of their length apart; the next length is longer by it.
_STRIDE, _GROWTH = 0.2, 1.25


class Found(NamedTuple):
    """begin: the last night at the old level; end: the first at the new one; places in the series.
    gain: of the fit. bump: the level goes back after `end`; then both are steps."""

    begin: int
    end: int
    gain: float
    bump: bool = False


class Sums(NamedTuple):
    """Cumulative sums of w, w t, w t², w y, w t y; float64[.., n + 1]."""

    w: Array
    wt: Array
    wtt: Array
    wy: Array
    wty: Array


def sums_of(values: Array, weights: Array) -> Sums:
    """values: float64[.., n]; weights: 1 / variance, of the same shape."""
    t = np.arange(values.shape[-1], dtype=np.float64)
    w = np.broadcast_to(weights, values.shape)
    return Sums(*map(_cumulated, (w, w * t, w * t * t, w * values, w * t * values)))


def _cumulated(values: Array) -> Array:
    sums = np.cumsum(values, axis=-1)
    return np.concatenate([np.zeros((*sums.shape[:-1], 1)), sums], axis=-1)


@lru_cache(maxsize=512)
def ramps(nights: int) -> tuple[Array, Array]:
    """Candidates of a series of so many nights: begins and ends, int64[k] each, begin < end."""
    steps = np.arange(LEAST_NIGHTS - 1, nights - LEAST_NIGHTS)
    begins, ends = [steps], [steps + 1]
    length = float(_SHORTEST_RAMP)
    while length <= nights - 1:
        whole = round(length)
        begin = np.arange(0, nights - whole, max(1, int(_STRIDE * whole)))
        begin = begin[_are_ramps(begin, begin + whole, 0, nights)]
        begins.append(begin)
        ends.append(begin + whole)
        length = max(length * _GROWTH, length + 1)
    return np.concatenate(begins), np.concatenate(ends)


def _are_ramps(begins: Array, ends: Array, low: int, high: int) -> Array:
    closed = (begins >= low + LEAST_NIGHTS - 1) & (ends <= high - LEAST_NIGHTS)
    inside = (begins >= low) & (ends < high)
    found: Array = inside & (ends - begins >= np.where(closed, _SHORTEST_RAMP, _SHORTEST_OPEN))
    return found


def _are_bumps(begins: Array, ends: Array, low: int, high: int) -> Array:
    inside = (begins >= low + LEAST_NIGHTS - 1) & (ends < high - LEAST_NIGHTS)
    found: Array = inside & (ends - begins >= LEAST_NIGHTS)
    return found


@lru_cache(maxsize=512)
def bumps(nights: int) -> tuple[Array, Array]:
    """Candidates: the last night before the bump and its last night, int64[k] each."""
    begins, ends = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    length = float(LEAST_NIGHTS)
    while length <= nights - 2 * LEAST_NIGHTS:
        whole = round(length)
        last = nights - LEAST_NIGHTS - whole
        begin = np.arange(LEAST_NIGHTS - 1, last, max(1, int(_STRIDE * whole)))
        begins.append(begin)
        ends.append(begin + whole)
        length = max(length * _GROWTH, length + 1)
    return np.concatenate(begins), np.concatenate(ends)


def ramp_scores(sums: Sums, low: int, high: int, begins: Array, ends: Array) -> Array:
    """Signed roots of the gains, float64[.., k], of ramps in the nights low to high - 1; begins and
    ends count from the series' first night."""
    length = (ends - begins).astype(np.float64)
    inner, after = _between(begins, ends), _between(ends, np.full_like(ends, high))
    w1, wt, wtt, wy, wty = (inner(each) for each in sums)
    f = (wt - begins * w1) / length + after(sums.w)
    ff = (wtt - 2 * begins * wt + begins**2 * w1) / length**2 + after(sums.w)
    fy = (wty - begins * wy) / length + after(sums.wy)
    return _scores(sums, low, high, f, ff, fy)


def bump_scores(sums: Sums, low: int, high: int, begins: Array, ends: Array) -> Array:
    """The same of bumps, which are the nights begin + 1 to end."""
    within = _between(begins + 1, ends + 1)
    f = within(sums.w)
    return _scores(sums, low, high, f, f, within(sums.wy))


def _between(first: Array, last: Array) -> Callable[[Array], Array]:
    """Of cumulative sums those of the nights first to last - 1."""

    def cut(sums: Array) -> Array:
        found: Array = sums[..., last] - sums[..., first]
        return found

    return cut


def _scores(sums: Sums, low: int, high: int, f: Array, ff: Array, fy: Array) -> Array:
    w = (sums.w[..., high] - sums.w[..., low])[..., None]
    wy = (sums.wy[..., high] - sums.wy[..., low])[..., None]
    spread = np.maximum(ff - f * f / w, 1e-12 * w)
    found: Array = (fy - f * wy / w) / np.sqrt(spread)
    return found


def highest(sums: Sums, nights: int) -> Array:
    """The largest |score| of all candidates of whole series, float64[..]."""
    ramp = np.abs(ramp_scores(sums, 0, nights, *ramps(nights))).max(axis=-1)
    begins, ends = bumps(nights)
    if not len(begins):
        return np.asarray(ramp)
    bump = np.abs(bump_scores(sums, 0, nights, begins, ends)).max(axis=-1)
    return np.maximum(ramp, bump)


def best(sums: Sums, low: int, high: int) -> Found | None:
    """The best change of all in the nights low to high - 1 of one series; None if they are too few.
    A drift and a bump have one more number than a step, and must explain more than that by
    Schwarz's criterion (1978)."""
    found = [each for find in (_step, _drift, _bump) if (each := find(sums, low, high))]
    return max(found, key=lambda each: each.gain - _price(each, low, high), default=None)


def split(sums: Sums, low: int, high: int) -> tuple[float, Found] | None:
    """The gain of the best change of all, and the step or bump by which to split these nights."""
    found = [each for find in (_step, _bump) if (each := find(sums, low, high))]
    if not found:
        return None
    drift = _drift(sums, low, high)
    gain = max(each.gain for each in [*found, *([drift] if drift else [])])
    return gain, max(found, key=lambda each: each.gain - _price(each, low, high))


def _price(found: Found, low: int, high: int) -> float:
    return float(np.log(high - low)) if found.end - found.begin > 1 else 0.0


def _step(sums: Sums, low: int, high: int) -> Found | None:
    begins = np.arange(low + LEAST_NIGHTS - 1, high - LEAST_NIGHTS)
    return _largest(ramp_scores, sums, (low, high), begins, begins + 1)


def _drift(sums: Sums, low: int, high: int) -> Found | None:
    begins, ends = ramps(high - low)
    slow = ends - begins > 1
    found = _largest(ramp_scores, sums, (low, high), begins[slow] + low, ends[slow] + low)
    return _refined(sums, low, high, found) if found else None


def _bump(sums: Sums, low: int, high: int) -> Found | None:
    begins, ends = bumps(high - low)
    found = _largest(bump_scores, sums, (low, high), begins + low, ends + low)
    return _refined(sums, low, high, found._replace(bump=True)) if found else None


def _largest(
    scores: Scores, sums: Sums, nights: tuple[int, int], begins: Array, ends: Array
) -> Found | None:
    if not len(begins):
        return None
    gains = scores(sums, *nights, begins, ends) ** 2
    place = int(np.argmax(gains))
    return Found(int(begins[place]), int(ends[place]), float(gains[place]))


def _refined(sums: Sums, low: int, high: int, found: Found) -> Found:
    """The best of all begins and ends near those of the grid."""
    reach = max(1, int(2 * _STRIDE * (found.end - found.begin)))
    begin = np.arange(found.begin - reach, found.begin + reach + 1)
    end = np.arange(found.end - reach, found.end + reach + 1)
    begins, ends = (each.ravel() for each in np.meshgrid(begin, end, indexing="ij"))
    fits = (_are_bumps if found.bump else _are_ramps)(begins, ends, low, high)
    scores = bump_scores if found.bump else ramp_scores
    nearby = _largest(scores, sums, (low, high), begins[fits], ends[fits])
    return max([found, *([nearby._replace(bump=found.bump)] if nearby else [])], key=_gain)


def _gain(found: Found) -> float:
    return found.gain
