"""Profiles, the AlgoPerf score, runtime distributions, Kaplan-Meier: by hand and against scipy."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.statistics.arrivals import median_time
from gradrace.statistics.profiles import Profile, performance_profile
from gradrace.statistics.targets import (
    expected_running_time,
    kaplan_meier,
    runtime_ecdf,
    times_to_targets,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

INF = float("inf")
TIMES = st.one_of(st.integers(1, 1000).map(float), st.just(INF))
RUNS = st.lists(st.tuples(st.integers(1, 20), st.booleans()), min_size=1, max_size=12)


@st.composite
def pools(draw: st.DrawFn) -> tuple[dict[str, list[list[float]]], list[str]]:
    """Times of 1 to 4 optimizers on 1 to 5 tasks with 1 to 3 studies."""
    tasks, studies = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    row = st.lists(TIMES, min_size=studies, max_size=studies)
    rows = st.lists(row, min_size=tasks, max_size=tasks)
    names = [f"task {i}" for i in range(tasks)]
    return {name: draw(rows) for name in "abcd"[: draw(st.integers(1, 4))]}, names


def by_hand() -> Profile:
    """Four tasks, three studies; medians: adam 10, 30, 8, miss; sgd 20, 20, miss, miss.

    Ratios: adam 1, 1.5, 1; sgd 2, 1. So rho of adam is 2/4 from 1 and 3/4 from 1.5 on; of sgd 1/4
    from 1 and 2/4 from 2 on. B of adam = (2/4 * 0.5 + 3/4 * 2.5) / 3 = 2.125 / 3; of sgd = (1/4 * 1
    + 2/4 * 2) / 3 = 1.25 / 3."""
    adam = [[9, 10, INF], [31, 30, 29], [8, 8, 8], [INF, 5, INF]]
    sgd = [[20, 20, 20], [10, 20, 30], [INF, INF, 1], [INF, INF, INF]]
    return performance_profile({"adam": adam, "sgd": sgd}, ["w", "x", "y", "z"])


def test_algoperf_score_by_hand():
    found = by_hand()
    assert found.times.tolist() == [[10, 30, 8, INF], [20, 20, INF, INF]]
    assert found.ratios.tolist() == [[1, 1.5, 1, INF], [2, 1, INF, INF]]
    assert found.score == pytest.approx([2.125 / 3, 1.25 / 3])
    adam, sgd = found.rho([1, 1.4, 1.5, 2, 4]).tolist()
    assert adam == [0.5, 0.5, 0.75, 0.75, 0.75] and sgd == [0.25, 0.25, 0.25, 0.5, 0.5]
    assert found.pool == ("adam", "sgd") and found.unreached == ("z",) and found.r_max == 4


def test_algoperf_score_is_relative_to_the_pool():
    """A third optimizer, twice as fast, lowers both scores; that is why the pool is named."""
    alone = performance_profile({"adam": [[10]]}, ["w"])
    beside = performance_profile({"adam": [[10]], "new": [[5]]}, ["w"])
    assert (alone.score[0], beside.score[0]) == pytest.approx((1, 2 / 3))
    assert beside.pool == ("adam", "new")


def test_an_even_number_of_studies_half_of_them_missed_is_a_miss():
    found = performance_profile({"a": [[1, INF]], "b": [[1, 3]]}, ["x"])
    assert found.times.tolist() == [[INF], [2]]


@settings(max_examples=80, deadline=None)
@given(pool=pools(), r_max=st.sampled_from([1.5, 4.0, 10.0]))
def test_profiles_rise_and_their_area_is_the_score(pool, r_max):
    times, tasks = pool
    found = performance_profile(times, tasks, r_max)
    taus = np.linspace(1, r_max, 20_001)
    rho = found.rho(taus)
    assert (np.diff(rho, axis=1) >= 0).all() and ((rho >= 0) & (rho <= 1)).all()
    assert np.trapezoid(rho, taus, axis=1) / (r_max - 1) == pytest.approx(found.score, abs=1e-3)
    assert ((found.score >= 0) & (found.score <= 1)).all()
    assert found.rho(1).sum() >= (len(tasks) - len(found.unreached)) / len(tasks) - 1e-9
    changed = lambda change: performance_profile(
        {name: [change(row) for row in rows] for name, rows in times.items()}, tasks, r_max
    )
    assert (changed(lambda row: row[::-1]).score == found.score).all()
    slower = changed(lambda row: [4 * time for time in row])
    assert slower.score == pytest.approx(found.score)


def test_times_to_targets():
    steps, accuracy = np.array([10, 20, 30, 40]), np.array([0.5, 0.7, np.nan, 0.8])
    higher = times_to_targets(steps, accuracy, [0.5, 0.7, 0.75, 0.9], higher_is_better=True)
    assert higher.tolist() == [10, 20, 40, INF]
    lower = times_to_targets(steps, -accuracy, [-0.7, -0.9], higher_is_better=False)
    assert lower.tolist() == [20, INF]


def test_runtime_ecdf_by_hand():
    """Two tasks, 2 x 2 and 1 x 2 (target, seed): 6 in all, reached at 1, 2, 2, 5, never, never."""
    times = {"x": np.array([[1, 2], [2, INF]]), "y": np.array([[5, INF]])}
    targets = {"x": [0.8, 0.9], "y": [0.7]}
    trained = {"x": np.array([10, 10]), "y": np.array([8, 20])}
    found = runtime_ecdf(times, targets, trained)
    assert found.budgets.tolist() == [1, 2, 5]
    assert found.share == pytest.approx([1 / 6, 3 / 6, 4 / 6])
    assert found.targets == {"x": (0.8, 0.9), "y": (0.7,)}
    assert found.runs == 6
    assert found.complete_up_to == 8
    given_ = runtime_ecdf(times, targets, trained, np.array([0, 2, 100]))
    assert given_.share == pytest.approx([0, 3 / 6, 4 / 6])


@settings(max_examples=50, deadline=None)
@given(seconds=st.lists(st.lists(TIMES, min_size=3, max_size=3), min_size=1, max_size=4))
def test_runtime_ecdf_rises_to_the_share_that_arrived(seconds):
    times = np.array(seconds)
    found = runtime_ecdf({"x": times}, {"x": range(len(times))}, {"x": np.full(3, 1000)})
    assert (np.diff(found.share) > 0).all()
    assert (found.share[-1] if found.share.size else 0) == pytest.approx(np.isfinite(times).mean())


def test_kaplan_meier_by_hand():
    """Arrived at 10, 20, 30 and 40, stopped at 20 and 50: the risk sets are 6, 5, 3 and 2."""
    found = kaplan_meier([10, 20, 20, 30, 40, 50], [True, True, False, True, True, False])
    curve = [1, 5 / 6, 5 / 6 * 4 / 5, 5 / 6 * 4 / 5 * 2 / 3, 5 / 6 * 4 / 5 * 2 / 3 / 2]
    assert found.times.tolist() == [0, 10, 20, 30, 40, 50]
    assert found.remaining == pytest.approx([*curve, curve[-1]])
    assert found.median.estimate == 30
    assert found.restricted_mean.estimate == pytest.approx(10 * sum(curve))
    assert found.expected_running_time == pytest.approx(170 / 4)
    assert (found.reached, found.runs, found.horizon) == (4, 6, 50)


@settings(max_examples=60, deadline=None)
@given(runs=RUNS)
def test_kaplan_meier_falls_within_its_limits(runs):
    times, reached = (np.array(column) for column in zip(*runs, strict=True))
    found = kaplan_meier(times, reached)
    assert (np.diff(found.remaining) <= 0).all()
    assert (found.low <= found.remaining + 1e-12).all()
    assert (found.remaining <= found.high + 1e-12).all()
    assert found.median.low <= found.median.estimate <= found.median.high
    mean = found.restricted_mean
    assert 0 <= mean.low <= mean.estimate + 1e-9
    assert mean.estimate <= mean.high + 1e-9
    assert mean.high <= found.horizon
    backwards = kaplan_meier(times[::-1], reached[::-1])
    assert (backwards.remaining == found.remaining).all() and backwards.median == found.median
    assert found.expected_running_time == pytest.approx(expected_running_time(times, reached))


@pytest.mark.parametrize("runs", [3, 5, 10])
def test_limits_without_early_censoring_are_clopper_and_pearsons(runs):
    times = np.arange(1, runs + 1)
    budget = runs - 1
    found = kaplan_meier(np.minimum(times, budget), times <= budget)
    for time, low, high in zip(found.times, found.low, found.high, strict=True):
        exact = stats.binomtest(int((times > time).sum()), runs).proportion_ci(0.95, method="exact")
        assert (low, high) == pytest.approx((exact.low, exact.high))


def test_restricted_mean_without_censoring_is_the_mean_with_its_t_interval():
    times = np.array([30.0, 34, 35, 41, 42, 60])
    expected = stats.ttest_1samp(np.minimum(times, 50), 0).confidence_interval(0.95)
    found = kaplan_meier(times, np.full(6, True), horizon=50).restricted_mean
    assert found[:3] == pytest.approx((np.minimum(times, 50).mean(), expected.low, expected.high))


@pytest.mark.parametrize(
    ("times", "reached", "text", "median"),
    [
        ([5, 9, 9], [True, False, False], "not reached", INF),
        ([9, 9, 9], [False, False, False], "not reached", INF),
        ([5, 6, 9, 9], [True, True, False, False], "not reached", INF),
        ([5, 6, 8, 9], [True, True, True, False], "7 epochs", 7),
        ([120], [True], "120 epochs", 120),
    ],
)
def test_median_time_or_not_reached(times, reached, text, median):
    found = kaplan_meier(times, reached)
    assert found.median.estimate == median
    assert found.median_text("epochs") == text


@st.composite
def censored(draw: st.DrawFn) -> tuple[list[float], list[bool]]:
    """Up to 60 runs with many ties, arrivals and censorings at one time among them."""
    size, last = draw(st.integers(1, 60)), draw(st.integers(1, 8))
    multiples = st.integers(1, last).map(lambda k: 36.0 * k)
    times = draw(st.lists(multiples, min_size=size, max_size=size))
    return times, draw(st.lists(st.booleans(), min_size=size, max_size=size))


def survfit_median(times: list[float], reached: list[bool]) -> float:
    """R's rule, in fractions: the middle of the times at one half; a flat end is not ended."""
    curve, left = [], Fraction(1)
    for time in sorted({t for t, r in zip(times, reached, strict=True) if r}):
        deaths = sum(r and t == time for t, r in zip(times, reached, strict=True))
        left *= 1 - Fraction(deaths, sum(t >= time for t in times))
        curve.append((time, left))
    at_half = [t for t, s in curve if s == Fraction(1, 2)]
    below = [t for t, s in curve if s < Fraction(1, 2)]
    ends = below[0] if below else INF
    return (at_half[0] + ends) / 2 if at_half else ends


@settings(max_examples=400, deadline=None)
@given(runs=censored())
def test_the_median_is_that_of_survfit(runs):
    assert kaplan_meier(*runs).median.estimate == median_time(*runs) == survfit_median(*runs)


@pytest.mark.parametrize("count", [2, 10, 24, 38, 46, 60])
def test_half_of_the_runs_arrived_is_exactly_one_half(count):
    """The float product of count / 2 factors is not; without a later arrival there is no median."""
    half = count // 2
    arrived = [float(k) for k in range(1, half + 1)]
    assert median_time([*arrived, *[999.0] * half], [True] * half + [False] * half) == INF
    later = [half + 4.0, *[999.0] * (half - 1)]
    assert median_time([*arrived, *later], [True] * (half + 1) + [False] * (half - 1)) == half + 2.0


def test_ties_with_a_censoring_at_one_half():
    """6 / 10 remain before 108, where one of six arrives: exactly one half until 144."""
    times = [36, 36, 72, 72, 108, 108, 144, 144, 180, 180]
    assert median_time(times, [True] * 4 + [False] + [True] * 5) == (108 + 144) / 2


@settings(max_examples=200, deadline=None)
@given(runs=censored(), budget=st.sampled_from([100.0, 200.0, 1000.0]))
def test_the_median_at_one_budget_is_the_ordinary_one(runs, budget):
    times = np.array(runs[0])
    assert median_time(times, [True] * len(times)) == np.median(times)
    reached = times <= budget
    ordinary = np.median(np.where(reached, times, INF))
    assert median_time(np.minimum(times, budget), reached) == ordinary
    assert median_time(np.where(reached, times, INF), reached) == ordinary


def test_no_runs_have_no_median():
    assert np.isnan(median_time([], []))


def test_limits_of_the_median_need_six_runs():
    """Half of 5 runs all arrive before or after it with the chance 2 / 32 > 5%; of 6, 2 / 64."""
    assert kaplan_meier([1, 2, 3, 4, 5], [True] * 5).median[1:3] == (0, INF)
    assert kaplan_meier([1, 2, 3, 4, 5, 6], [True] * 6).median[1:3] == (1, 6)


def test_a_median_beyond_the_budget_has_a_lower_limit():
    found = kaplan_meier([30] * 10, [False] * 10)
    assert found.median[:3] == (INF, 30, INF)
    assert found.expected_running_time == INF


@pytest.mark.slow
def test_kaplan_meier_limits_hold_with_few_runs_and_early_censoring():
    """Five runs, exponential times of mean 1, training times of mean 2: 95% or more at any time."""
    rng = np.random.default_rng(4)
    at, held, repetitions = np.array([0.2, 0.5, 1.0]), np.zeros(3), 1500
    for _ in range(repetitions):
        arrival, stopped = rng.exponential(1, 5), rng.exponential(2, 5)
        found = kaplan_meier(np.minimum(arrival, stopped), arrival <= stopped)
        last = np.searchsorted(found.times, at, side="right") - 1
        known = last < found.times.size - 1
        held += ~known | ((found.low[last] <= np.exp(-at)) & (np.exp(-at) <= found.high[last]))
    assert (held / repetitions >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / repetitions)).all()


PAIR = {"x": np.ones((1, 2))}
MISMATCH = "adam: times of 1 tasks, not 2 as compared"
SHAPES = r"x: times of shape \(1, 2\) .* as \(2, 2\)"
NO_NAN = "adam on x: .* a miss is infinity, not NaN"
TOO_LONG = "up to 10, the longest training, not 11"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: performance_profile({}, ["x"]), "at least one optimizer"),
        (lambda: performance_profile({"adam": [[1]]}, ["x", "y"]), MISMATCH),
        (lambda: performance_profile({"adam": [[1, np.nan]]}, ["x"]), NO_NAN),
        (lambda: performance_profile({"adam": [[0.0]]}, ["x"]), "at least one time above 0"),
        (lambda: performance_profile({"adam": [[]]}, ["x"]), "at least one time above 0"),
        (lambda: performance_profile({"adam": [[1]]}, ["x"], r_max=1), "must be above 1, not 1"),
        (lambda: kaplan_meier([1, INF], [True, False]), "by how long it was trained"),
        (lambda: kaplan_meier([], []), "every run needs a time"),
        (lambda: kaplan_meier([10, 10], [True, False], horizon=11), TOO_LONG),
        (lambda: runtime_ecdf(PAIR, {"y": [1]}, {"x": [1, 1]}), "of the same tasks"),
        (lambda: runtime_ecdf(PAIR, {"x": [1, 2]}, {"x": [1, 1]}), SHAPES),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(UserError, match=words):
        call()
