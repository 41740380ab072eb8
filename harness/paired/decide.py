"""From log ratios of launches to verdicts: pure functions.

The launch is the unit, because its blocks are not independent. x_1 .. x_n are a pair's log ratios,
log(seconds per step of b / seconds per step of a), one a launch, taken as independent and normal
with unknown mean mu and variance (Student 1908): a launch's x is the median of many paired blocks,
and launches differ by causes (memory layout, frequency, neighbours) that hit both sides alike.

Repeated looks at growing data inflate the error of a test (Armitage, McPherson & Rowe 1969; Pocock
1977). So look k (k = 1, 2, ..) may spend alpha_k = alpha / (k (k + 1)): the shares sum to alpha,
and the union bound holds however the looks depend on each other. Within a look, Holm's procedure
(1979) covers all pairs of the comparison; a pair that was decided at an earlier look stays in the
family with the p value that decided it. The probability of any false regression in a whole
comparison is then at most alpha / 2, and so is that of any false improvement. That is for one
search; a rule that confirms wants each found twice. It holds for independent launches: if the
machine's speed wanders from launch to launch, it is larger (docs/statistics.md has the figures).

The rule is symmetric: with the sides swapped every log ratio changes its sign, and every verdict is
the mirror image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from ..statistics.holm import holm
from ..statistics.intervals import t_interval
from . import Decision, StopRule

Array = np.ndarray

# The power at which a slowdown counts as detectable.
POWER = 0.8
# Simulated searches per power: its standard error is 0.0045.
REPLICAS = 8000
# Looks that a suggestion of a larger budget plans for at most.
MOST_LOOKS = 12


@dataclass(frozen=True)
class Judgement:
    """The outcome of one look at one pair. Ratios b / a.

    low, high: the t interval of the ratio at level 1 - alpha_k. It holds at all looks at once, for
    this pair alone; p_slower is corrected over pairs.
    p_slower: of "b is no slower than a", adjusted by Holm; compared with alpha_k / 2.
    sample, rule, look, cells: the data judged, and as one of how many pairs.
    """

    decision: Decision
    ratio: float
    low: float
    high: float
    p_slower: float
    sample: Array
    rule: StopRule
    look: int
    cells: int

    @cached_property
    def detectable(self) -> float:
        """See the function of this name; computed on demand, because it takes a moment."""
        return detectable(self.sample, self.rule, self.look, self.cells)


def error_share(alpha: float, look: int) -> float:
    """The error rate that look k = 1, 2, .. may spend: alpha / (k (k + 1)), alpha over all k."""
    return alpha / (look * (look + 1))


def launches_at(rule: StopRule, look: int) -> int:
    """Launches that look 1, 2, .. rests on."""
    return rule.first_look + (look - 1) * rule.more


def p_above(x: Array, bound: float) -> float:
    """One-sided p of "the mean is at most `bound`" (Student's t). x: float64[n], n >= 2.

    Values without any spread leave no doubt: p is then 0 if they lie above the bound, else 1.
    """
    x = np.asarray(x, dtype=np.float64)
    excess, error = float(x.mean()) - bound, float(x.std(ddof=1)) / np.sqrt(len(x))
    if error == 0.0:
        return 0.0 if excess > 0 else 1.0
    return float(special.stdtr(len(x) - 1, -excess / error))


def p_beyond(x: Array, margin: float) -> float:
    """p of "the mean is at least `margin` > 0 from 0": two one-sided tests (Schuirmann 1987)."""
    return max(p_above(-np.asarray(x), -margin), p_above(x, -margin))


def detectable(x: Array, rule: StopRule, look: int, cells: int = 1) -> float:
    """The slowdown, as a fraction, that the rule finds with power 0.8 in launches that vary like x.

    x: float64[n], n >= 2. Found: called a regression at one of the looks so far, before it is
    called ok, as one of so many pairs (Holm's worst case), and again in launches of its own if the
    rule confirms. The power is over launches to come: the true standard deviation is
    s * sqrt((n - 1) / chi2), s being that of x; s alone promises too much. By simulation with fixed
    random numbers; the power is exact to 0.01."""
    x = np.asarray(x, dtype=np.float64)
    spread = float(np.std(x, ddof=1))
    if spread == 0.0:
        return float(np.expm1(line(rule.threshold)))
    replicas = _replicas(_sizes(rule, look, len(x)))

    def short(shift: float) -> float:
        return POWER - _power(shift, spread, replicas, rule, cells)

    high = line(rule.threshold) + spread
    while short(high) > 0:
        high *= 2.0
    # The power of a finite simulation is a staircase; bisection finds its step over 0.8.
    return float(np.expm1(optimize.bisect(short, 0.0, high, xtol=1e-5 * high)))


def launches_to_find(x: Array, rule: StopRule) -> int | None:
    """Launches of a search of one pair alone that find a slowdown with power 0.8: of the threshold,
    or as large as the mean of x if that is larger. None if MOST_LOOKS looks do not suffice.

    x: float64[n], n >= 2, log ratios whose spread the coming launches share."""
    x = np.asarray(x, dtype=np.float64)
    shift, spread = max(abs(float(x.mean())), float(np.log1p(rule.threshold))), float(x.std(ddof=1))
    if spread == 0.0:
        return rule.first_look
    for look in range(1, MOST_LOOKS + 1):
        launches = launches_at(rule, look)
        if _power(shift, spread, _replicas(_sizes(rule, look, launches)), rule, 1) >= POWER:
            return launches
    return None


def _sizes(rule: StopRule, look: int, launches: int) -> tuple[int, ...]:
    """Launches that each look so far rested on."""
    earlier = (launches_at(rule, each) for each in range(1, look))
    return (*(size for size in earlier if size < launches), launches)


class _Replicas(NamedTuple):
    """Simulated searches, in units of the spread. sizes: launches of each look.

    means, deviations: float64[2, looks, k], of the first search and its confirmation. scales:
    float64[k], the true standard deviation over the sample's."""

    sizes: tuple[int, ...]
    means: Array
    deviations: Array
    scales: Array


@lru_cache(maxsize=16)
def _replicas(sizes: tuple[int, ...]) -> _Replicas:
    rng, last = np.random.default_rng(20261127), sizes[-1]
    scales = np.sqrt((last - 1) / rng.chisquare(last - 1, REPLICAS))
    x = rng.standard_normal((2, last, REPLICAS))
    looks = [x[:, :size] for size in sizes]
    means = np.stack([look.mean(axis=1) for look in looks], axis=1)
    deviations = np.stack([look.std(axis=1, ddof=1) for look in looks], axis=1)
    return _Replicas(sizes, means, deviations, scales)


def _power(shift: float, spread: float, replicas: _Replicas, rule: StopRule, cells: int) -> float:
    """The share of replicas with this true log ratio that the rule calls a regression."""
    scale, margin = spread * replicas.scales, float(np.log1p(rule.threshold))
    found = np.zeros((2, len(scale)), dtype=bool)
    open_ = np.ones_like(found)
    for number, size in enumerate(replicas.sizes):
        share = error_share(rule.alpha, number + 1) / 2
        mean = shift + scale * replicas.means[:, number]
        error = scale * replicas.deviations[:, number] / np.sqrt(size)
        slower, within = (
            special.stdtrit(size - 1, 1.0 - level) * error for level in (share / cells, share)
        )
        found |= open_ & (mean >= slower) & (mean > line(rule.threshold))
        open_ &= ~found & ~((mean + within <= margin) & (mean - within >= -margin))
    return float((found.all(axis=0) if rule.confirm else found[0]).mean())


def line(threshold: float) -> float:
    """The log ratio between ok and regression: half the threshold, on the log scale.

    So a slowdown of exactly the threshold is as far from ok as no slowdown is from a regression."""
    return float(np.log1p(threshold)) / 2


def judge(samples: Sequence[Array], rule: StopRule, look: int) -> list[Judgement]:
    """The verdicts of look 1, 2, .. on all pairs of a comparison.

    samples: each pair's log ratios, float64[n], n >= 2; a pair that was decided earlier is given
    with the launches that decided it, and its new verdict is to be ignored.

    regression: shown to be slower (Holm-adjusted p at most alpha_k / 2), and estimated beyond
    `line`. improvement: the mirror image. ok: neither, and shown to differ by less than the
    threshold: two one-sided tests (Schuirmann 1987), each p at most alpha_k / 2, of "slower by the
    threshold or more" and "faster by as much". Else inconclusive."""
    slower = holm(np.array([p_above(x, 0.0) for x in samples]))
    faster = holm(np.array([p_above(-x, 0.0) for x in samples]))
    return [
        _judged(x, rule, look, len(samples), *p)
        for x, *p in zip(samples, slower, faster, strict=True)
    ]


def _judged(
    x: Array, rule: StopRule, look: int, cells: int, p_slower: float, p_faster: float
) -> Judgement:
    mean, beyond, share = float(np.mean(x)), line(rule.threshold), error_share(rule.alpha, look)
    decision: Decision = "inconclusive"
    if p_slower <= share / 2 and mean > beyond:
        decision = "regression"
    elif p_faster <= share / 2 and mean < -beyond:
        decision = "improvement"
    elif p_beyond(x, float(np.log1p(rule.threshold))) <= share / 2:
        decision = "ok"
    ratio, low, high, _ = np.exp(t_interval(np.asarray(x, dtype=np.float64), 1.0 - share)).tolist()
    return Judgement(decision, ratio, low, high, float(p_slower), x, rule, look, cells)
