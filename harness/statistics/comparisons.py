"""Is one optimizer better than another? Probability of improvement, win matrix, and standing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .bootstrap import Scores, resamples, strata
from .intervals import LEVEL, Array, Interval, check_level, t_margin

FEW_SEEDS = 5
NO_CLEAR_WINNER = "no clear winner"


class WinMatrix(NamedTuple):
    """Shares of tasks, float[optimizers, optimizers], rows against columns: win + loss + tie = 1.

    win: the difference's interval lies above the margin. loss: below its negative. tie: neither,
    which is no proof of equality; the diagonal. margin: in units of the score. level: of each
    task's interval, not corrected for their number."""

    optimizers: tuple[str, ...]
    win: Array
    loss: Array
    tie: Array
    margin: float
    level: float


class Standing(NamedTuple):
    """The optimizers not shown to be worse than any other, on the named tasks.

    clear: some optimizer is shown to be worse, so the set says something. beaten: every other
    optimizer -> those that it is shown to be worse than. sentence: the same for people."""

    not_worse: tuple[str, ...]
    clear: bool
    beaten: dict[str, tuple[str, ...]]
    sentence: str


def seeds_warning(seeds: int) -> str | None:
    """The caution beside figures from fewer than 5 seeds; None from 5 on."""
    if seeds >= FEW_SEEDS:
        return None
    if seeds < 2:
        return (
            "Only one seed: nothing is known of the spread between seeds, so no difference here can"
            " be told from chance."
        )
    return (
        f"Only {seeds} seeds: intervals are wide and hold only if scores have no long tail; "
        f"take {FEW_SEEDS} or more before concluding anything."
    )


def probability_of_improvement(
    ours: Scores, theirs: Scores, higher_is_better: bool, level: float = LEVEL
) -> Interval:
    """Mean over tasks of P(our seed beats their seed), ties half, with its interval over seeds.

    The Mann-Whitney form (Agarwal et al. 2021, section 4.3): 1 / 2 if neither is better; says how
    often, not by how much. ours, theirs: see `bootstrap.strata`, the same tasks in the same order.
    Only the order of scores counts, so a diverged run may have any score below all others.

    The limits are the wider, at each end, of two. One is from the stratified bootstrap: Student's,
    seeds resampled within tasks, variances times R / (R - 1), Satterthwaite's degrees of freedom.
    It collapses if one side wins every pair; the other, the score interval with Hanley and McNeil's
    variance at each probability (Newcombe 2006, "Confidence intervals for an effect size measure
    based on the Mann-Whitney statistic, part 2", method 5), does not. Assumes independent seeds;
    seeds shared by both sides make the interval wider than needed."""
    ours, theirs = _same_tasks(ours, theirs)
    check_level(level)
    found = [_superiority(a, b) for a, b in zip(ours, theirs, strict=True)]
    estimate = float(np.mean(found))
    # The higher score counts; if lower is better, that is the other side's win.
    low, high = _bootstrap_limits(ours, theirs, estimate, level)
    score_low, score_high = _score_limits(ours, theirs, estimate, level)
    low, high = max(min(low, score_low), 0.0), min(max(high, score_high), 1.0)
    found_interval = Interval(estimate, low, high, level)
    return found_interval if higher_is_better else _reversed(found_interval)


def _reversed(ahead: Interval) -> Interval:
    """The same probability from the other side."""
    return Interval(1 - ahead.estimate, 1 - ahead.high, 1 - ahead.low, ahead.level)


def improvement_matrix(
    scores: Mapping[str, Scores], higher_is_better: bool, level: float = LEVEL
) -> dict[tuple[str, str], Interval]:
    """Probability of improvement of every optimizer over every other, (ours, theirs) to interval.

    `level` holds for all of them together: each pair's interval is at 1 - (1 - level) / pairs
    (Bonferroni)."""
    pairs = list(combinations(scores, 2))
    each = 1 - (1 - check_level(level)) / max(len(pairs), 1)
    found: dict[tuple[str, str], Interval] = {}
    for a, b in pairs:
        ahead = probability_of_improvement(scores[a], scores[b], higher_is_better, each)
        found[a, b] = ahead
        found[b, a] = _reversed(ahead)
    return found


def win_matrix(
    scores: Mapping[str, Scores], higher_is_better: bool, margin: float = 0.0, level: float = LEVEL
) -> WinMatrix:
    """The share of tasks on which each optimizer is shown to beat each other by the margin.

    scores: per optimizer, see `bootstrap.strata`, the same tasks in the same order. A task is won
    if Welch's t interval (1947) of the difference of means lies above the margin. Assumes nearly
    normal means of independent seeds; a single seed decides nothing.
    """
    if not margin >= 0:
        raise UserError(f"a margin is a difference of scores, 0 or more, not {margin}")
    sign = 1 if higher_is_better else -1
    names = tuple(scores)
    win = np.zeros((len(names), len(names)))
    for row, column in combinations(range(len(names)), 2):
        ours, theirs = _same_tasks(scores[names[row]], scores[names[column]])
        limits = np.array([welch(a, b, level) for a, b in zip(ours, theirs, strict=True)]) * sign
        win[row, column] = np.mean(limits.min(axis=1) > margin)
        win[column, row] = np.mean(limits.max(axis=1) < -margin)
    return WinMatrix(names, win, win.T.copy(), 1 - win - win.T, margin, check_level(level))


def winner(
    optimizers: Sequence[str],
    improvements: Mapping[tuple[str, str], Interval],
    tasks: Sequence[str],
) -> Standing:
    """The optimizers that no other is shown to improve on, from `improvement_matrix`.

    "No clear winner" if that is all of them. Over several tasks the sentence names no winner: ahead
    on average is not best on each. On a single task it names an optimizer as ahead if every other
    is shown to be worse. UserError if a pair was not compared."""
    pairs = permutations(optimizers, 2)
    missing = [f"{b} over {a}" for a, b in pairs if (b, a) not in improvements]
    if missing or not optimizers or not tasks:
        raise UserError(
            "who is ahead needs optimizers, tasks and every pair compared; missing:"
            f" {', '.join(missing) or 'all'}"
        )
    beaten = {
        a: tuple(b for b in optimizers if b != a and improvements[b, a].low > 0.5)
        for a in optimizers
    }
    not_worse = tuple(name for name in optimizers if not beaten[name])
    clear = 0 < len(not_worse) < len(optimizers)
    sentence = _sentence(not_worse, clear, beaten, tasks)
    return Standing(not_worse, clear, {name: by for name, by in beaten.items() if by}, sentence)


def _sentence(
    not_worse: Sequence[str], clear: bool, beaten: Mapping[str, Sequence[str]], tasks: Sequence[str]
) -> str:
    on = f"On {tasks[0] if len(tasks) == 1 else f'average over {len(tasks)} tasks'}"
    if not clear:
        return f"{on}: {NO_CLEAR_WINNER}."
    alone = len(not_worse) == 1 and all(
        not_worse[0] in by for name, by in beaten.items() if name != not_worse[0]
    )
    if alone and len(tasks) == 1:
        return f"{on}: {not_worse[0]} is ahead of every other."
    caveat = "" if len(tasks) == 1 else " On a single task the order may differ."
    return f"{on}: not shown to be worse than any other: {', '.join(not_worse)}.{caveat}"


def _same_tasks(ours: Scores, theirs: Scores) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    a, b = strata(ours, "our scores"), strata(theirs, "their scores")
    if len(a) != len(b):
        counts = f"{len(a)} tasks stand against {len(b)}"
        raise UserError(f"only the same tasks can be compared: {counts}")
    return a, b


def _superiority(ours: Array, theirs: Array) -> float:
    """Share of pairs in which ours [n] is higher than theirs [m], ties half."""
    return float(_placements(ours, theirs).mean())


def _placements(ours: Array, theirs: Array) -> Array:
    """float[n]: for each of ours the share of theirs, sorted [m], below it, ties half.

    Orban & Wolfe 1982. By rank: pairs would take n times m numbers for every draw of the bootstrap.
    """
    below, up_to = (np.searchsorted(theirs, ours, side=side) for side in ("left", "right"))
    return np.asarray((below + up_to) / (2 * theirs.size))


def _bootstrap_limits(
    ours: Sequence[Array], theirs: Sequence[Array], estimate: float, level: float
) -> tuple[float, float]:
    """Student's limits. Each side of each task is resampled in turn, and their variances add up.

    To first order: the projection of a two-sample U-statistic (van der Vaart 1998, "Asymptotic
    Statistics", section 12.2)."""
    variances, freedoms = [], []
    for a, b in zip(ours, theirs, strict=True):
        if min(a.size, b.size) < 2:
            return 0.0, 1.0
        for one, other in ((a, b), (b, a)):
            draws, weights = resamples(one.size)
            values = _placements(one, other)[draws].mean(axis=-1)
            variance = weights @ (values - weights @ values) ** 2
            variances.append(variance * one.size / (one.size - 1) / len(ours) ** 2)
            freedoms.append(one.size - 1)
    total = sum(variances)
    if total == 0:
        return estimate, estimate
    freedom = total**2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    half = t_margin(np.sqrt(total), freedom, level)
    return estimate - half, estimate + half


def _score_limits(
    ours: Sequence[Array], theirs: Sequence[Array], estimate: float, level: float
) -> tuple[float, float]:
    """The probabilities p from which the estimate is t standard errors away, taken at p itself."""
    freedom = sum(a.size + b.size - 2 for a, b in zip(ours, theirs, strict=True)) or 1
    t = t_margin(1.0, freedom, level)

    def excess(p: float) -> float:
        variances = [_hanley_mcneil(p, a.size, b.size) for a, b in zip(ours, theirs, strict=True)]
        return float((estimate - p) ** 2 - t**2 * sum(variances) / len(variances) ** 2)

    # An estimate of 0 or 1 is itself a trivial root: the search stops short of it.
    low = _root(excess, 0.0, estimate * (1 - 1e-9)) if estimate > 0 else 0.0
    high = _root(excess, 1 - (1 - estimate) * (1 - 1e-9), 1.0) if estimate < 1 else 1.0
    return low, high


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """A zero between two places of unlike signs, to 2e-12, by the Illinois variant of false
    position (Dowell & Jarratt 1971): of an end that stays, half the value counts.

    Not scipy.optimize.brentq: scipy.optimize takes a third of a second to import."""
    at_low, at_high, stayed = function(low), function(high), 0
    if at_low * at_high > 0:
        raise ValueError(f"the function has one sign at {low} and {high}")
    while high - low > 2e-12:
        middle = low + (high - low) * at_low / (at_low - at_high)
        # False position may come to a rest before the ends have met.
        middle = middle if low < middle < high else (low + high) / 2
        found = function(middle)
        if found == 0:
            return middle
        if (found > 0) == (at_low > 0):
            low, at_low, at_high = middle, found, at_high / (2 if stayed == 1 else 1)
            stayed = 1
        else:
            high, at_high, at_low = middle, found, at_low / (2 if stayed == -1 else 1)
            stayed = -1
    return (low + high) / 2


def _hanley_mcneil(p: float, ours: int, theirs: int) -> float:
    """Variance of the share of pairs won (Hanley & McNeil 1982; Newcombe's mean of counts)."""
    extra = (ours + theirs) / 2 - 1
    return p * (1 - p) * (1 + extra * (1 - p) / (2 - p) + extra * p / (1 + p)) / (ours * theirs)


def welch(ours: Array, theirs: Array, level: float) -> tuple[float, float]:
    """Limits of mean(ours) - mean(theirs); equal if all seeds of each side agree."""
    difference = float(ours.mean() - theirs.mean())
    if min(ours.size, theirs.size) < 2:
        return -np.inf, np.inf
    a, b = ours.var(ddof=1) / ours.size, theirs.var(ddof=1) / theirs.size
    if a + b == 0:
        return difference, difference
    freedom = (a + b) ** 2 / (a**2 / (ours.size - 1) + b**2 / (theirs.size - 1))
    half = t_margin(np.sqrt(a + b), freedom, level)
    return difference - half, difference + half
