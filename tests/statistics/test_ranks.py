"""Rank tests and the expected best of a tuning budget: by hand, against scipy, and properties."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.statistics.holm import holm
from gradrace.statistics.ranks import rank_tests, smallest_wilcoxon_p
from gradrace.statistics.tuning import expected_best, expected_best_curve
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

SCORES = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=9)


def test_ranks_by_hand():
    found = rank_tests({"a": [9, 8, 7], "b": [5, 8, 9], "c": [1, 2, 3]}, higher_is_better=True)
    assert found.ranks.tolist() == [[1, 1.5, 2], [2, 1.5, 1], [3, 3, 3]]
    assert found.mean_ranks.tolist() == [1.5, 1.5, 3]
    lower = rank_tests({"a": [9, 8], "b": [5, 8]}, higher_is_better=False)
    assert lower.ranks.tolist() == [[2, 1.5], [1, 1.5]]


def test_tests_are_scipys():
    drawn = np.random.default_rng(0).normal([[0.0], [0.5], [1.0]], 1, (3, 12))
    scores = dict(zip("abc", drawn, strict=True))
    found = rank_tests(scores, higher_is_better=True)
    assert found.friedman_p == pytest.approx(stats.friedmanchisquare(*scores.values()).pvalue)
    for pair in found.pairs:
        expected = stats.wilcoxon(scores[pair.a], scores[pair.b], method="exact").pvalue
        assert pair.p == pytest.approx(expected)
        assert pair.p <= pair.p_holm <= 3 * pair.p + 1e-12
    assert found.warning is None


def test_wilcoxon_is_exact_with_ties_and_zeros():
    """Differences 0, 1, 1, 1, 1: the four others all on one side has the chance 2 / 2^4."""
    found = rank_tests({"a": [0, 1, 1, 1, 1], "b": [0, 0, 0, 0, 0]}, higher_is_better=True)
    assert found.pairs[0].p == pytest.approx(2 / 16)


def test_holm_by_hand():
    """Sorted .01, .02, .03, .2 times 4, 3, 2, 1: .04, .06, .06 (not below the one before), .2."""
    assert holm(np.array([0.03, 0.01, 0.2, 0.02])) == pytest.approx([0.06, 0.04, 0.2, 0.06])


@pytest.mark.parametrize("tasks", range(2, 12))
def test_smallest_p_is_the_p_of_winning_every_task(tasks):
    scores = {"a": np.arange(1.0, tasks + 1), "b": np.zeros(tasks)}
    found, smallest = rank_tests(scores, higher_is_better=True), smallest_wilcoxon_p(tasks)
    assert found.pairs[0].p == pytest.approx(smallest) == pytest.approx(found.smallest_p)


@pytest.mark.parametrize(
    ("tasks", "optimizers", "words"),
    [
        (5, 2, "With 5 tasks Wilcoxon's p cannot fall below 0.0625"),
        (6, 3, "With 6 tasks and 3 pairs the corrected p cannot fall below 0.0938"),
        (6, 2, None),
        (9, 4, None),
    ],
)
def test_lack_of_power_is_said(tasks, optimizers, words):
    scores = {str(i): np.arange(tasks) * 1.0 + i for i in range(optimizers)}
    found = rank_tests(scores, higher_is_better=True).warning
    assert found is None if words is None else words in str(found)


def test_equal_optimizers_have_p_1():
    found = rank_tests({"a": [1, 2], "b": [1, 2], "c": [1, 2]}, higher_is_better=True)
    assert found.friedman_p == 1 and {pair.p_holm for pair in found.pairs} == {1}
    assert rank_tests({"a": [1, 2], "b": [2, 1]}, higher_is_better=True).friedman_p is None


@settings(max_examples=50, deadline=None)
@given(
    p=st.lists(st.floats(0, 1), min_size=1, max_size=8), shuffle=st.randoms(use_true_random=False)
)
def test_holm_is_between_p_and_bonferroni_and_keeps_the_order(p, shuffle):
    order = shuffle.sample(range(len(p)), len(p))
    values = np.array(p)
    found = holm(values)
    assert (found >= values).all() and (found <= np.minimum(values * len(p), 1) + 1e-12).all()
    assert (np.diff(found[np.argsort(values)]) >= 0).all()
    assert holm(values[order]) == pytest.approx(found[order])


@settings(max_examples=60, deadline=None)
@given(scores=SCORES, higher=st.booleans())
def test_expected_best_is_the_mean_over_all_choices(scores, higher):
    pick = max if higher else min
    for k in range(1, len(scores) + 1):
        every = np.mean([pick(choice) for choice in combinations(scores, k)])
        assert expected_best(np.array(scores), k, higher) == pytest.approx(every, abs=1e-9)


def test_expected_best_is_unbiased_although_replacement_promises_too_little():
    """The best of 5 of 10 uniform trials is 5/6 on average; drawn with replacement it is less."""
    trials = np.random.default_rng(0).random((20_000, 10))
    ours = expected_best(trials, 5, higher_is_better=True)
    error = ours.std() / np.sqrt(len(ours))
    assert abs(ours.mean() - 5 / 6) < 4 * error
    rank = np.arange(1, 11)
    plugged_in = np.sort(trials, axis=1) @ ((rank / 10) ** 5 - ((rank - 1) / 10) ** 5)
    assert 5 / 6 - plugged_in.mean() > 20 * error


@settings(max_examples=40, deadline=None)
@given(
    scores=SCORES.filter(lambda found: len(found) > 1),
    higher=st.booleans(),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_curve_of_the_expected_best(scores, higher, shuffle):
    found = expected_best_curve(np.array(scores), higher)
    assert found.trials.tolist() == list(range(1, len(scores) + 1))
    assert found.expected[0] == pytest.approx(np.mean(scores))
    assert found.expected[-1] == (max(scores) if higher else min(scores))
    assert ((np.diff(found.expected) if higher else -np.diff(found.expected)) >= -1e-9).all()
    assert (found.low <= found.expected + 1e-9).all()
    assert (found.expected <= found.high + 1e-9).all()
    assert (found.low >= min(scores)).all() and (found.high <= max(scores)).all()
    shuffled = expected_best_curve(np.array(shuffle.sample(scores, len(scores))), higher)
    assert (shuffled.low == found.low).all() and found.reliable_up_to == max(1, len(scores) // 4)
    mirrored = expected_best_curve(-np.array(scores), not higher)
    assert -mirrored.expected == pytest.approx(found.expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rank_tests({"a": [1, 2]}, True), "two optimizers or more"),
        (lambda: rank_tests({"a": [1, 2], "b": [1]}, True), "of the same tasks"),
        (lambda: rank_tests({"a": [1, 2], "b": [1, np.nan]}, True), "b: a score is NaN"),
        (lambda: expected_best(np.ones(3), 4, True), "best of 4 trials cannot be known from 3"),
        (lambda: expected_best(np.ones(3), 0, True), "best of 0 trials"),
        (lambda: expected_best_curve([1.0, np.nan], True), "trials: task 0 holds NaN"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(UserError, match=words):
        call()
