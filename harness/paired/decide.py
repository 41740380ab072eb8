"""From log ratios of launches to verdicts. Pure functions; the launch is the unit, because blocks within one are not independent.

x_1 .. x_n are a cell's log ratios, log(seconds per step of b / seconds per step of a), one a launch, taken as independent
and normal with unknown mean mu and variance (Student 1908): a launch's x is the median of many paired blocks, and what
differs between launches (memory layout, frequency, neighbours) hits both sides of a pair alike.

Looking repeatedly at growing data inflates the error of a test (Armitage, McPherson & Rowe 1969; Pocock 1977). Look k
(k = 1, 2, ..) is therefore given the share alpha_k = alpha / (k (k + 1)). The shares sum to alpha, so that the union bound
holds whatever the dependence between looks. Within a look, Holm's procedure (1979) covers all cells of the comparison;
a cell that was decided at an earlier look stays in the family with the p value that it was decided by. So the probability of
one or more false regressions in a whole comparison is at most alpha / 2, and of false improvements likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import optimize, special, stats

from . import Rule

Array = np.ndarray
Found = Literal["regression", "improvement", "ok", "inconclusive"]

# The power at which a slowdown counts as detectable.
POWER = 0.8


class Judgement(NamedTuple):
    """What one look says about one cell. Ratios b / a.

    low, high: the t interval of the ratio at level 1 - alpha_k. It holds at every look at once (the shares are spent as the
    verdicts spend them), for this cell alone: over cells it is p_slower that is corrected.
    p_slower: of "b is no slower than a", adjusted over cells by Holm; compared with alpha_k / 2.
    detectable: see `detectable`.
    """

    decision: Found
    ratio: float
    low: float
    high: float
    p_slower: float
    detectable: float


def error_share(alpha: float, look: int) -> float:
    """What look 1, 2, .. may spend of the error rate: alpha / (k (k + 1)), which sums to alpha over all k."""
    return alpha / (look * (look + 1))


def launches_at(rule: Rule, look: int) -> int:
    """How many launches look 1, 2, .. rests on."""
    return rule.first_look + (look - 1) * rule.more


def p_above(x: Array, bound: float) -> float:
    """One-sided p of "the mean is at most `bound`" (Student's t, n - 1 degrees of freedom). x: float64[n], n >= 2.

    Values without any spread leave no doubt: p is then 0 where they lie above the bound, else 1.
    """
    x = np.asarray(x, dtype=np.float64)
    excess, error = float(x.mean()) - bound, float(x.std(ddof=1)) / np.sqrt(len(x))
    if error == 0.0:
        return 0.0 if excess > 0 else 1.0
    return float(special.stdtr(len(x) - 1, -excess / error))


def interval(x: Array, level: float) -> tuple[float, float]:
    """Limits of the mean by Student's t, two-sided; level 0.95 leaves 2.5% on each side. x: float64[n], n >= 2."""
    x = np.asarray(x, dtype=np.float64)
    half = special.stdtrit(len(x) - 1, 0.5 + level / 2) * x.std(ddof=1) / np.sqrt(len(x))
    return float(x.mean() - half), float(x.mean() + half)


def holm(p: Array) -> Array:
    """Adjusted p values (Holm 1979): at most alpha exactly for the hypotheses that his procedure rejects at alpha.

    p: float64[m], of any dependence, in any order.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def detectable(x: Array, level: float, threshold: float) -> float:
    """The slowdown, as a fraction, that n launches of the spread of x find with power 0.8.

    The larger of two: what a one-sided t test at `level` finds (noncentral t with the sample's standard deviation), and
    what lies far enough above the line between ok and regression to be estimated above it four times out of five.
    """
    x = np.asarray(x, dtype=np.float64)
    n, error = len(x), float(np.std(x, ddof=1)) / np.sqrt(len(x))
    critical = float(special.stdtrit(n - 1, 1.0 - level))
    shift = optimize.brentq(lambda d: stats.nct.sf(critical, n - 1, d) - POWER, 0.0, 4.0 * critical + 10.0)
    beyond_line = line(threshold) + float(stats.norm.ppf(POWER)) * error
    return float(np.expm1(max(shift * error, beyond_line)))


def line(threshold: float) -> float:
    """The log ratio between ok and regression: half, on the log scale, of the slowdown that must not go unnoticed.

    A slowdown of exactly the threshold then lies as far from being called ok as none lies from being called a regression.
    """
    return float(np.log1p(threshold)) / 2


def judge(samples: Sequence[Array], rule: Rule, look: int) -> list[Judgement]:
    """The verdicts of look 1, 2, .. on all cells of a comparison. samples: each cell's log ratios, float64[n], n >= 2.

    regression: shown to be slower (Holm-adjusted p at most alpha_k / 2), and estimated beyond `line`. improvement: the
    mirror image. ok: neither, and shown (p at most alpha_k / 2) not to be slower by the threshold. Else inconclusive.
    Give cells that were decided earlier with the launches that they were decided by, and ignore what is said of them.
    """
    share = error_share(rule.alpha, look)
    slower = holm(np.array([p_above(x, 0.0) for x in samples]))
    faster = holm(np.array([p_above(-x, 0.0) for x in samples]))
    return [_judged(x, rule, share, len(samples), *p) for x, *p in zip(samples, slower, faster, strict=True)]


def _judged(x: Array, rule: Rule, share: float, cells: int, p_slower: float, p_faster: float) -> Judgement:
    mean, beyond = float(np.mean(x)), line(rule.threshold)
    decision: Found = "inconclusive"
    if p_slower <= share / 2 and mean > beyond:
        decision = "regression"
    elif p_faster <= share / 2 and mean < -beyond:
        decision = "improvement"
    elif p_above(-x, -float(np.log1p(rule.threshold))) <= share / 2:
        decision = "ok"
    low, high = np.exp(interval(x, 1.0 - share))
    smallest = detectable(x, share / 2 / cells, rule.threshold)
    return Judgement(decision, float(np.exp(mean)), float(low), float(high), float(p_slower), smallest)
