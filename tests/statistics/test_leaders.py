"""Who leads on one task, and what a step costs over another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradrace.statistics.cost_ratios import cost_ratio
from gradrace.statistics.leaders import leaders, seeds_needed
from hypothesis import given, settings
from hypothesis import strategies as st

MISSED = math.inf
NAN = math.nan


def spread(middle: float, runs: int) -> np.ndarray:
    return middle + np.arange(runs) - (runs - 1) / 2


CASES = {
    "six seeds far apart": ({"a": spread(100, 6), "b": spread(300, 6)}, {"a"}, {"a"}, True),
    "two seeds far apart": ({"a": spread(100, 2), "b": spread(300, 2)}, {"a"}, {"a", "b"}, False),
    "the same runs": ({"a": spread(9, 6), "b": spread(9, 6)}, {"a", "b"}, {"a", "b"}, False),
    "near": ({"a": spread(9, 6), "b": spread(10, 6)}, {"a"}, {"a", "b"}, True),
    "the other missed": ({"a": spread(9, 6), "b": np.full(6, MISSED)}, {"a"}, {"a"}, True),
    "all missed": (
        {"a": np.full(6, MISSED), "b": np.full(6, MISSED)},
        {"a", "b"},
        {"a", "b"},
        False,
    ),
    "alone": ({"a": spread(9, 6)}, {"a"}, {"a"}, False),
    "negative, as metrics are": ({"a": spread(-90, 6), "b": spread(-9, 6)}, {"a"}, {"a"}, True),
    "the best has one run": ({"a": spread(9, 1), "b": spread(99, 6)}, {"a"}, {"a", "b"}, False),
}


@pytest.mark.parametrize(("values", "best", "not_worse", "decidable"), CASES.values(), ids=CASES)
def test_leaders(values, best, not_worse, decidable):
    found = leaders(values)
    assert (set(found.best), set(found.not_worse), found.decidable) == (best, not_worse, decidable)


FACTORS = {
    "known": ({"a": (0.99, 1.01), "b": (0.99, 1.01)}, {"a"}, True),
    "so wide that they overlap": ({"a": (0.5, 2.0), "b": (0.5, 2.0)}, {"a", "b"}, True),
    "nobody knows": ({"a": (NAN, NAN), "b": (NAN, NAN)}, {"a", "b"}, False),
}


@pytest.mark.parametrize(("factors", "not_worse", "decidable"), FACTORS.values(), ids=FACTORS)
def test_values_that_may_be_off_together(factors, not_worse, decidable):
    found = leaders({"a": spread(100, 6), "b": spread(300, 6)}, factors)
    assert (set(found.not_worse), found.decidable) == (not_worse, decidable)


TIMES = st.one_of(st.just(MISSED), st.integers(1, 50).map(float))
RUNS = st.lists(TIMES, min_size=1, max_size=7).map(np.array)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from("abcdef"), RUNS, min_size=1))
def test_the_best_leads_and_whoever_is_worse_does_not(values):
    found = leaders(values)
    least = min(float(np.median(of)) for of in values.values())
    assert {name for name, of in values.items() if np.median(of) == least} == set(found.best)
    assert set(found.best) <= set(found.not_worse) <= set(values)
    for name in set(values) - set(found.not_worse):
        # The chance to be lower than the best's run.
        best = next(values[of] for of in found.best if values[of].size > 1)
        pairs = [(a < b) + (a == b) / 2 for a in values[name] for b in best]
        assert np.mean(pairs) < 0.5
        assert found.decidable


def test_so_many_seeds_are_enough_and_fewer_are_not():
    for names in (2, 4, 36):
        needed = seeds_needed(names)
        for runs, able in ((needed - 1, False), (needed, True)):
            values = {str(i): spread(100.0 * i, runs) for i in range(names)}
            assert leaders(values).decidable is able
            assert (len(leaders(values).not_worse) < names) is able


def test_the_truly_best_one_leads_as_often_as_the_level_says():
    """A hundred races of four equal optimizers, of which one is the best by a hair."""
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(200):
        values = {name: rng.normal(100 - (name == "a") / 100, 10, 8) for name in "abcd"}
        kept += "a" in leaders(values).not_worse
    assert kept >= 190


def test_a_ratio_over_cells_weighs_cells_alike():
    times = [(np.array([2.0, 2.0, 2.0]), np.array([1.0, 1.0, 1.0])), (np.full(9, 8.0), np.ones(3))]
    found = cost_ratio(times)
    assert found.ratio[:3] == pytest.approx((4, 4, 4)) and found.cells == 2
    assert (found.least, found.most) == pytest.approx((2, 8))


def test_the_interval_of_a_ratio_is_welchs_with_one_cell():
    from scipy import stats

    rng = np.random.default_rng(1)
    ours, theirs = rng.lognormal(1, 0.1, 5), rng.lognormal(0, 0.3, 7)
    welch = stats.ttest_ind(np.log(ours), np.log(theirs), equal_var=False).confidence_interval()
    found = cost_ratio([(ours, theirs)])
    assert found.ratio[1:3] == pytest.approx((math.exp(welch.low), math.exp(welch.high)))


@pytest.mark.parametrize("launches", [1, 2])
def test_too_few_launches_have_no_interval(launches):
    found = cost_ratio([(np.full(launches, 2.0), np.ones(5))])
    assert found.ratio.estimate == pytest.approx(2) and math.isnan(found.ratio.low)


def test_a_ratio_needs_a_cell():
    with pytest.raises(ValueError, match="cell"):
        cost_ratio([])
