"""Is a version as fast as the older end of a span, as the newer end, or as neither? Pure functions.

x_1 .. x_n are log ratios of the version's time to GOOD's, one a launch. Three hypotheses on their
centre m: `older` and `newer` (m is that end's level, within a tenth of the step between the two),
and `neither` (m is anywhere else, up to one step beyond). A sequential test (Wald 1945; with three
hypotheses, Baum & Veeravalli 1994): launches are added until one end has more than 1 - delta of
both ends' posterior, and `neither` is unlikely. By Wald's argument, the probability of taking one
end for the other is then at most delta / (1 - delta), however many launches were needed.

A launch is now and then far off, so x - m over the spread follows Student's t with 4 degrees of
freedom (Lange, Little & Taylor 1989), which bounds the weight of one launch. The spread is pooled:
the median distance of all launches so far from their version's median, scaled to a standard
deviation. Levels other than GOOD's own, which is 0, are known only from launches: their uncertainty
is integrated over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from . import Place

Array = np.ndarray

FREEDOM = 4.0
PRIORS: Mapping[Place, float] = {"older": 0.45, "newer": 0.45, "neither": 0.1}
# How far a level may be off, as a share of the step between the two ends; and how near to one of
# them a version like neither may be. Smaller changes inside a span are not told apart.
TOLERANCE, NEAREST = 0.1, 0.25
# Launches before a version may be placed: with fewer, one bad launch has too much weight.
FEWEST, MOST = 3, 40
# The posterior that `neither` needs, and how likely an end must be beside it. To take the one for
# the other names a change that is too small or too large, which its confirmation shows; to take one
# end for the other would name the wrong commit, so that has an error rate of its own.
NEITHER_ERROR, END_ERROR = 0.05, 0.2
# The spread is never taken to be smaller: a clock has this much in it.
LEAST_SPREAD = 5e-4
_GRID = 241
# Of a normal distribution: standard deviation / median distance from the median.
_NORMAL = 1.4826


class Level(NamedTuple):
    """The centre of versions that are equally fast, and its standard error; GOOD's is (0, 0)."""

    centre: float
    error: float = 0.0


def level(samples: Sequence[Array], spread: float) -> Level:
    """From the launches of all versions on it, float64[n] each.

    The median of normal values has pi / 2 times the variance of their mean."""
    x = np.concatenate(list(samples))
    return Level(float(np.median(x)), spread * math.sqrt(math.pi / 2 / len(x)))


def pooled_spread(samples: Sequence[Array]) -> float:
    """The standard deviation of launches around their version's median, in the presence of some
    that are far off. samples: float64[n] each.

    A sample's median takes up one of its launches: the distances are widened by
    sqrt(n / (n - 1))."""
    widened = [
        np.abs(x - np.median(x)) * math.sqrt(len(x) / (len(x) - 1)) for x in samples if len(x) > 1
    ]
    if not widened:
        return LEAST_SPREAD
    return max(LEAST_SPREAD, _NORMAL * float(np.median(np.concatenate(widened))))


def posterior(x: Array, older: Level, newer: Level, spread: float) -> dict[Place, float]:
    """The probability of each hypothesis. x: float64[n], log ratios to GOOD."""
    step = abs(newer.centre - older.centre)
    low = min(older.centre, newer.centre) - step
    m = np.linspace(low, low + 3 * step, _GRID)
    fit = _log_likelihood(np.asarray(x, dtype=np.float64), m, spread)
    # A hair less, so that rounding does not decide at the edge.
    near = (1 - 1e-9) * NEAREST * step
    far = np.minimum(np.abs(m - older.centre), np.abs(m - newer.centre)) >= near
    weights: dict[Place, Array] = {
        "older": _around(m, older, step),
        "newer": _around(m, newer, step),
        "neither": far / far.sum(),
    }
    evidence = {
        place: math.log(PRIORS[place]) + float(special.logsumexp(fit, b=weight))
        for place, weight in weights.items()
    }
    total = float(special.logsumexp(list(evidence.values())))
    return {place: math.exp(value - total) for place, value in evidence.items()}


def _around(m: Array, level: Level, step: float) -> Array:
    """Normal weights around a level, float64[k], that sum to 1."""
    width = math.hypot(TOLERANCE * step, level.error)
    weights = np.exp(-0.5 * ((m - level.centre) / width) ** 2)
    return weights / weights.sum()


def _log_likelihood(x: Array, m: Array, spread: float) -> Array:
    """float64[k]: of launches x, float64[n], for each centre m, but for a constant.

    The t distribution's scale is chosen so that its median distance is the normal one's."""
    scale = spread / (_NORMAL * float(special.stdtrit(FREEDOM, 0.75)))
    distance = (x[:, None] - m[None, :]) / scale
    return -(FREEDOM + 1) / 2 * np.log1p(distance**2 / FREEDOM).sum(axis=0)


def decide(x: Array, older: Level, newer: Level, spread: float, delta: float) -> Place | None:
    """The end that the version belongs to, or `neither`; None if more launches are needed.

    delta: the error rate of this one test between the two ends, in (0, 0.5)."""
    if len(x) < FEWEST:
        return None
    chances = posterior(x, older, newer, spread)
    if chances["neither"] > 1 - NEITHER_ERROR:
        return "neither"
    end: Place = "older" if chances["older"] > chances["newer"] else "newer"
    ends = chances["older"] + chances["newer"]
    sure = chances[end] > (1 - delta) * ends
    return end if sure and chances[end] > 1 - END_ERROR else None


def share_of(alpha: float, versions: int) -> float:
    """delta of each test, so that all tests of a search together err at most alpha: over so many
    versions, a search tests ceil(log2(versions))."""
    return alpha / max(1, math.ceil(math.log2(max(versions, 2))))
