"""Time to target. Runs that never arrive are censored at their last trained step, never dropped.

Times are steps, epochs or seconds, as the caller says; lower is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .arrivals import median_time
from .intervals import LEVEL, Array, Interval, check_level, t_margin


class RuntimeECDF(NamedTuple):
    """Share of all (task, target, seed) reached within each budget.

    budgets: float[n], rising. share: float[n], between 0 and 1. targets: the counted targets of
    each task. runs: the number of (task, target, seed). complete_up_to: the least budget of any
    run; beyond it the curve is a lower bound, because some runs were stopped before.
    """

    budgets: Array
    share: Array
    targets: dict[str, tuple[float, ...]]
    runs: int
    complete_up_to: float


class KaplanMeier(NamedTuple):
    """Share of runs that have not reached the target after a time, with its limits.

    times: float[n], rising from 0: arrivals and censorings. remaining, low, high: float[n], then.
    median: see `arrivals.median_time`; infinite is "not reached". Its limits are the times at which
    those of the curve cross one half. restricted_mean: of min(time, horizon), with its limits.
    expected_running_time: see the function. reached, runs: numbers of runs.
    """

    times: Array
    remaining: Array
    low: Array
    high: Array
    median: Interval
    restricted_mean: Interval
    horizon: float
    expected_running_time: float
    reached: int
    runs: int

    def median_text(self, unit: str = "steps") -> str:
        """The median for people: "120 steps", or "not reached" if half or more may never arrive."""
        median = self.median.estimate
        return f"{median:g} {unit}" if np.isfinite(median) else "not reached"


def times_to_targets(
    times: Array, metric: Array, targets: Sequence[float], higher_is_better: bool
) -> Array:
    """float[targets]: the first time at which the metric is as good as each target, or infinity.

    times: float[n], rising; metric: float[n] at these times. NaN (a diverged run) reaches none."""
    sign = 1 if higher_is_better else -1
    wanted = np.asarray(targets, dtype=np.float64)[:, None]
    reached = sign * np.asarray(metric)[None, :] >= sign * wanted
    first = np.asarray(times, dtype=np.float64)[reached.argmax(axis=1)]
    return np.where(reached.any(axis=1), first, np.inf)


def runtime_ecdf(
    times: Mapping[str, Array],
    targets: Mapping[str, Sequence[float]],
    trained: Mapping[str, Array],
    budgets: Array | None = None,
) -> RuntimeECDF:
    """The empirical distribution of runtimes over several targets, without simulated restarts.

    Hansen et al. 2016, "COCO: Performance Assessment", the section on runtime distributions. times:
    per task float[targets, seeds], infinite for a miss. targets: per task their values. trained:
    per task float[seeds], the length of each training. budgets: the points of the curve, rising;
    by default every finite time. Every (task, target, seed) weighs the same. UserError if tasks or
    shapes do not agree."""
    if not times or set(times) != set(targets) or set(times) != set(trained):
        raise UserError(
            "a runtime ECDF needs times, targets and trained lengths of the same tasks, and at"
            " least one task"
        )
    for task, of_task in times.items():
        shape = (len(targets[task]), np.size(trained[task]))
        if np.shape(of_task) != shape or 0 in shape or np.isnan(of_task).any():
            raise UserError(
                f"{task}: times of shape {np.shape(of_task)} without NaN are wanted as {shape},"
                " targets by seeds"
            )
    flat = [np.asarray(of_task, dtype=np.float64).ravel() for of_task in times.values()]
    pooled = np.sort(np.concatenate(flat))
    finite = np.unique(pooled[np.isfinite(pooled)])
    read = finite if budgets is None else np.asarray(budgets, dtype=np.float64)
    share = np.searchsorted(pooled, read, side="right") / pooled.size
    complete = float(min(np.min(of_task) for of_task in trained.values()))
    counted = {task: tuple(map(float, targets[task])) for task in times}
    return RuntimeECDF(read, share, counted, pooled.size, complete)


def kaplan_meier(
    times: Array, reached: Array, horizon: float | None = None, level: float = LEVEL
) -> KaplanMeier:
    """The product-limit curve of runs that have not arrived (Kaplan & Meier 1958), and its figures.

    times: float[runs], the time of arrival, or the length of a training without. reached:
    bool[runs]. horizon: the end of the restricted mean, by default the longest training; compare
    optimizers at one horizon. The curve is unknown after the last run in training, so a later
    horizon is an error.

    Limits of the curve: the beta product limits (Fay, Brittain & Proschan 2013, "Pointwise
    confidence intervals for a survival distribution with small samples or heavy censoring",
    Biostatistics 14, 723-736, by their method of moments). They are Clopper and Pearson's if
    nothing is censored early, and keep their level with three runs; Greenwood's do not. Of the
    median: these limits' crossings of one half (Brookmeyer & Crowley 1982), with fewer than 6 runs
    all of [0, inf]. Of the restricted mean: Student's (Klein & Moeschberger 2003, "Survival
    Analysis", section 4.5, for the variance).

    Assumes that censoring is independent of the time to come: true of a fixed budget, false of a
    run stopped because it looked bad. A diverged run that can no longer arrive is censored at the
    full budget, not when it diverged."""
    times, reached = _checked(times, reached)
    check_level(level)
    end = _horizon(times, reached, horizon)
    at, remaining = _product(times, reached)
    at, remaining = np.insert(at, 0, 0.0), np.insert(remaining, 0, 1.0)
    low, high, low_after = _limits(times, at, times[reached], level)
    middle = median_time(times, reached)
    median = Interval(middle, _crossing(at, low_after), _crossing(at, high), level)
    mean = _restricted_mean(times, times[reached], at, remaining, end, level)
    running, count = expected_running_time(times, reached), int(reached.sum())
    return KaplanMeier(at, remaining, low, high, median, mean, end, running, count, reached.size)


def _horizon(times: Array, reached: Array, horizon: float | None) -> float:
    """The end of the restricted mean; the curve is unknown after a last run that missed."""
    longest = float(times.max())
    known = longest if not reached[times == longest].all() else float("inf")
    end = longest if horizon is None else float(horizon)
    if not 0 < end <= known or end == float("inf"):
        raise UserError(
            f"the restricted mean needs an end above 0 and up to {known:g}, the longest training,"
            f" not {end:g}"
        )
    return end


def expected_running_time(times: Array, reached: Array) -> float:
    """Time of all runs over the number of arrivals: the cost of an arrival with restarts.

    Auger & Hansen 2005, "Performance evaluation of an advanced local search evolutionary
    algorithm"; Hansen et al. 2016. Infinite if none arrived. Assumes that a restart is an
    independent run of the same budget.
    """
    times, reached = _checked(times, reached)
    return float(times.sum() / reached.sum()) if reached.any() else float("inf")


def _checked(times: Array, reached: Array) -> tuple[Array, Array]:
    times, reached = np.asarray(times, dtype=np.float64), np.asarray(reached, dtype=bool)
    if times.ndim != 1 or times.size == 0 or times.shape != reached.shape:
        raise UserError(
            f"every run needs a time and whether it reached the target, not {times.shape} and"
            f" {reached.shape}"
        )
    if not (np.isfinite(times).all() and (times > 0).all()):
        raise UserError(
            "a run that missed its target is given by how long it was trained, not by infinity"
            " or NaN"
        )
    return times, reached


def _limits(
    times: Array, at: Array, event_times: Array, level: float
) -> tuple[Array, Array, Array]:
    """The beta product limits (see kaplan_meier): low and high at each of `at`, and low just after.

    With d arrivals among n runs at risk the curve's distribution is multiplied by a Beta(n - d + 1,
    d); its low quantile once more by a Beta(m, 1), m runs still at risk. A censored run is at risk
    at its time, not after it."""
    moments = np.ones(2)
    low, high, low_after = np.zeros(at.size), np.ones(at.size), np.zeros(at.size)
    for number, time in enumerate(at):
        arrived = int(np.count_nonzero(event_times == time))
        still = int(np.count_nonzero(times >= time)) - arrived
        if arrived:
            moments = moments * _beta_moments(still + 1, arrived)
            high[number:] = _beta_quantile(moments, (1 + level) / 2)
        low[number] = _low(moments, still, level)
        low_after[number] = _low(moments, int(np.count_nonzero(times > time)), level)
    return low, high, low_after


def _low(moments: Array, still: int, level: float) -> float:
    return _beta_quantile(moments * _beta_moments(still, 1), (1 - level) / 2) if still else 0.0


def _product(times: Array, reached: Array) -> tuple[Array, Array]:
    """The distinct times, and the product limit estimate of the share that remains after each;
    equals scipy.stats.ecdf, which takes half a second to import."""
    at, places, counts = np.unique(times, return_inverse=True, return_counts=True)
    if reached.all():
        return at, 1 - np.cumsum(counts) / times.size
    arrived, at_risk = np.bincount(places, reached), np.cumsum(counts[::-1])[::-1]
    return at, np.cumprod((at_risk - arrived) / at_risk)


def _beta_moments(a: float, b: float) -> Array:
    """First and second moment of Beta(a, b)."""
    first = a / (a + b)
    return np.array([first, first * (a + 1) / (a + b + 1)])


def _beta_quantile(moments: Array, probability: float) -> float:
    """Quantile of the beta distribution with these two moments."""
    from scipy import special

    first, second = moments
    size = (first - second) / (second - first**2)
    return float(special.betaincinv(first * size, (1 - first) * size, probability))


def _crossing(at: Array, curve: Array) -> float:
    """The first time at which a falling curve is at one half or below, or infinity."""
    below = np.flatnonzero(curve <= 0.5)
    return float(at[below[0]]) if below.size else float("inf")


def _restricted_mean(
    times: Array, event_times: Array, at: Array, remaining: Array, end: float, level: float
) -> Interval:
    """Area under the curve up to the end, with Student's limits, n - 1 degrees of freedom.

    Greenwood's variance times n / (n - 1): without early censoring they are the t interval of the
    mean of min(time, end)."""
    inside = at < end
    widths = np.diff(np.append(at[inside], end))
    areas = remaining[inside] * widths
    mean, runs = float(areas.sum()), times.size
    if runs < 2:
        return Interval(mean, 0.0, end, level)
    beyond = areas[::-1].cumsum()[::-1]
    at_risk = np.array([np.count_nonzero(times >= time) for time in at[inside]])
    arrived = np.array([np.count_nonzero(event_times == time) for time in at[inside]])
    some = at_risk > arrived
    beyond, at_risk, arrived = beyond[some], at_risk[some], arrived[some]
    terms = beyond**2 * arrived / (at_risk * (at_risk - arrived))
    half = t_margin(np.sqrt(terms.sum() * runs / (runs - 1)), runs - 1, level)
    return Interval(mean, max(mean - half, 0.0), min(mean + half, end), level)
