"""How much a series varies from night to night if nothing changes.

The launches of a night share its luck, so their spread alone says too little: the nights
themselves are the sample. The spread is measured on differences of neighbouring nights, which
neither a step nor a slow drift moves much (von Neumann 1941, "Distribution of the ratio of the mean
square successive difference to the variance"). The largest quarter of them is not used, so that
steps and bad nights do not count."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

Array = np.ndarray

# A smaller spread than this is taken for this: clocks and compilers make no promise below it.
LEAST_SPREAD = 5e-4
# A night counts as at most so many spreads away from the median of the seven nights around it.
_CLIP, _AROUND = 2.5, 7
# Share of the squared differences that is used, and their mean for a normal sample of variance 1.
_USED, _MEAN_USED = 0.75, 0.3684
# Of launches: a night's own error counts as much as this many typical errors.
_SHRINK = 2.0
# Blocks of so many nights tell whether nights depend on each other.
_BLOCKS = (2, 4, 8)
# Median of the square of a standard normal value.
_MEDIAN_SQUARE = 0.4549
# Nights at which a series' own dependence counts as much as that of the whole page.
_OWN = 120.0


class Noise(NamedTuple):
    """values: log ratios without outliers, float64[n]. scales: standard deviation of each if
    nothing changes, float64[n]."""

    values: Array
    scales: Array


def spreads(values: Array, errors: Array) -> Array:
    """The standard deviation of each night, float64[.., n], from log ratios and their standard
    errors (NaN: not known): the nights' common spread, and more for a night with a larger error."""
    relative = _relative(values, errors)
    squares = np.diff(values) ** 2 / (relative[..., 1:] ** 2 + relative[..., :-1] ** 2)
    used = max(2, int(_USED * squares.shape[-1]))
    kept = np.sort(squares)[..., :used]
    spread = np.sqrt(kept.mean(axis=-1, keepdims=True) / _MEAN_USED)
    return np.maximum(spread, LEAST_SPREAD) * relative


def _relative(values: Array, errors: Array) -> Array:
    """The spread of each night over that of a typical night."""
    known = np.isfinite(errors) & (errors > 0)
    if not known.any():
        return np.ones_like(values)
    typical = np.median(errors[known]) ** 2
    own = np.where(known, np.where(known, errors, 1.0) ** 2, typical)
    own = (own + _SHRINK * typical) / (1.0 + _SHRINK)
    between = np.median(np.diff(values) ** 2) / (2 * _MEDIAN_SQUARE)
    total = own + max(between - typical, 0.0)
    return np.sqrt(total / np.median(total))


def without_outliers(values: Array, scales: Array) -> Array:
    """A night far away from the seven nights around it is moved nearer; steps and drift stay.
    n >= 8; the first and the last nights are compared with the first and the last seven."""
    size = (1,) * (values.ndim - 1) + (_AROUND,)
    around = ndimage.median_filter(values, size=size, mode="nearest")
    half = _AROUND // 2
    around[..., :half] = around[..., half : half + 1]
    around[..., -half:] = around[..., -half - 1 : -half]
    return around + np.clip(values - around, -_CLIP * scales, _CLIP * scales)


def remaining(values: Array, scales: Array) -> Array:
    """The variance of values / scales that differences show after outliers were moved, at least 1;
    float64[..]."""
    steps = np.clip(np.diff(values / scales), -_CLIP * np.sqrt(2), _CLIP * np.sqrt(2))
    return np.maximum((steps**2).mean(axis=-1) / 2, 1.0)


def wander(values: Array, scales: Array) -> Array:
    """How much more the means of 2, 4 and 8 nights vary than those of independent nights would:
    float64[.., 3], NaN if there are too few nights. From differences of neighbouring means, as the
    spread."""
    sums = np.cumsum(values / scales, axis=-1)
    sums = np.concatenate([np.zeros((*sums.shape[:-1], 1)), sums], axis=-1)
    base = remaining(values, scales)
    return np.stack([_of_blocks(sums, size) / base for size in _BLOCKS], axis=-1)


def _of_blocks(sums: Array, size: int) -> Array:
    if sums.shape[-1] <= 6 * size:
        return np.full(sums.shape[:-1], np.nan)
    blocks = sums[..., size:] - sums[..., :-size]
    squares = (blocks[..., size:] - blocks[..., :-size]) ** 2 / (2 * size)
    return np.median(squares, axis=-1) / _MEDIAN_SQUARE


def dependence(own: Array, page: Array, nights: int) -> Array:
    """The factor of the variance by which nights depend on each other, at least 1; float64[..].

    own: `wander` of the series, float64[.., 3]; page: the medians over all series of the page. A
    short series tells little of itself, so that it leans on the others of its page."""
    weight = nights / (nights + _OWN)
    both = np.where(np.isfinite(own) & np.isfinite(page), own, np.nan)
    logs = weight * np.log(np.maximum(both, 0.1)) + (1 - weight) * np.log(np.maximum(page, 0.1))
    worst = np.max(np.where(np.isfinite(logs), logs, 0.0), axis=-1)
    return np.exp(np.maximum(worst, 0.0))
