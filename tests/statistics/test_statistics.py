"""Aggregates, intervals and comparisons: by hand, against scipy, and properties of any scores."""

from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.statistics import aggregates, bootstrap, comparisons
from gradrace.statistics.bootstrap import bootstrap_interval
from gradrace.statistics.comparisons import (
    improvement_matrix,
    probability_of_improvement,
    seeds_warning,
    win_matrix,
    winner,
)
from gradrace.statistics.intervals import Interval
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from simulated_scores import SEEDS, SHAPES, coverage, first_task, true_value

Array = np.ndarray
AGGREGATES = [
    getattr(aggregates, name)
    for name in ("interquartile_mean", "median_of_means", "median_of_medians", "mean")
]
# Whole numbers: sums and rescalings of them are exact, so that invariance means equality.
WHOLE = st.integers(-50, 50).map(float)
TABLES = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 5)), elements=WHOLE)


def table(seed: int, tasks: int = 6, seeds: int = 5) -> Array:
    return np.random.default_rng(seed).normal(size=(tasks, seeds))


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ([[1, 2, 3, 4]], 2.5),
        ([[0, 10], [20, 30]], 15),
        ([[1, 2, 3]], 2),  # the outer scores count a quarter each, of 1.5 in all
        ([[0, 0, 0, 0, 0, 100]], 0),
        ([[0], [1, 1, 1, 1]], 0.5),  # tasks weigh the same
    ],
)
def test_interquartile_mean_by_hand(tasks, expected):
    scores = [np.array(task, float) for task in tasks]
    assert aggregates.interquartile_mean(scores) == pytest.approx(expected)


def test_aggregates_against_their_definitions():
    scores = table(1, tasks=6, seeds=4)
    trimmed = stats.trim_mean(scores.ravel(), 0.25)
    assert aggregates.interquartile_mean(scores) == pytest.approx(trimmed)
    assert aggregates.median_of_means(scores) == pytest.approx(np.median(scores.mean(axis=1)))
    three = [np.array([1, 2, 90.0]), np.array([4, 5, 6.0]), np.array([0, 8, 9.0])]
    assert aggregates.median_of_medians(three) == 5
    gap = aggregates.optimality_gap([np.array([0.5, 1.5]), np.array([0.8, 0.8])])
    assert gap == pytest.approx((0.25 + 0.2) / 2)
    assert aggregates.normalised(np.array([3.0, 1.0]), worst=3.0, best=1.0) == pytest.approx([0, 1])


def test_share_of_runs_by_hand():
    """None of 5 diverged: the share p that makes this a chance of 2.5% solves (1 - p)^5 = 2.5%."""
    assert aggregates.share_of_runs(0, 5)[:3] == pytest.approx((0, 0, 1 - 0.025 ** (1 / 5)))
    assert aggregates.share_of_runs(2, 8).estimate == 0.25


def test_aggregates_of_unequal_seeds_agree_with_equal_ones():
    """A task whose every seed is written twice is the same task."""
    scores = list(table(2))
    twice = [np.repeat(scores[0], 2), *scores[1:]]
    for aggregate in AGGREGATES:
        assert aggregate(twice) == pytest.approx(aggregate(scores)), aggregate.__name__


def test_resamples_are_all_draws_with_their_probabilities():
    draws, weights = bootstrap.resamples(4)
    every = np.sort(list(product(range(4), repeat=4)), axis=1)
    for draw, weight in zip(draws, weights, strict=True):
        assert weight == pytest.approx((every == draw).all(axis=1).mean())
    assert weights.sum() == pytest.approx(1)
    assert bootstrap.resamples(10)[0].shape == (bootstrap.RESAMPLES, 10)


@pytest.mark.parametrize("seeds", [3, 5, 6])
def test_spread_of_a_mean_is_the_textbooks(seeds):
    """Variance s^2 / R with R - 1 degrees of freedom; unbiased third cumulant; Welch over tasks."""
    tasks = table(3, tasks=2, seeds=seeds)
    one = bootstrap.spread([tasks[0]], aggregates.mean)
    assert one.error == pytest.approx(stats.sem(tasks[0]))
    assert one.freedom == pytest.approx(seeds - 1)
    assert one.skewness == pytest.approx(stats.kstat(tasks[0], 3) / seeds**2 / one.error**3)
    a, b = tasks.var(axis=1, ddof=1) / seeds
    both = bootstrap.spread(tasks, aggregates.mean)
    assert both.error == pytest.approx(np.sqrt(a + b) / 2)
    assert both.freedom == pytest.approx((a + b) ** 2 * (seeds - 1) / (a**2 + b**2))


def test_spread_counts_interactions_of_tasks():
    """The product of two means of 0: drawing one task leaves it 0, both give variance (2/9)^2."""
    tasks = np.array([[-1.0, 0.0, 1.0]] * 2)
    found = bootstrap.spread(tasks, lambda drawn: drawn[0].mean(axis=-1) * drawn[1].mean(axis=-1))
    assert found.error == pytest.approx(2 / 9, rel=0.15)
    assert found.freedom == 4
    effects = [bootstrap._effect(tasks, aggregates.mean, i) for i in (0, 1)]
    assert bootstrap._interaction(tasks, aggregates.mean, effects) < 1e-30


def test_interval_of_a_symmetric_sample_is_the_t_interval():
    scores = np.array([1.0, 2, 3, 4, 5])
    expected = stats.ttest_1samp(scores, 0).confidence_interval(0.9)
    found = bootstrap_interval([scores], aggregates.mean, level=0.9)
    assert found == pytest.approx((3, expected.low, expected.high, 0.9))


def test_skewness_is_1_at_most():
    """A mean reaches it if one seed stands out; of a median, the rare draw of many diverged seeds
    would make it 13 and leave nothing of the upper limit."""
    outlier = bootstrap.spread([np.array([0.0, 1, 1, 1, 1])], aggregates.mean)
    assert outlier.skewness == pytest.approx(-1)
    finished = np.linspace(0.80, 0.81, 10)
    tasks = [finished - 0.05, np.append(0.1, finished[1:]), finished + 0.05]
    assert bootstrap.spread(tasks, aggregates.median_of_medians).skewness == -1
    found = bootstrap_interval(tasks, aggregates.median_of_medians)
    assert found.high - found.estimate > bootstrap.spread(tasks, aggregates.median_of_medians).error


def test_skew_moves_the_limits_towards_the_tail():
    tail = np.array([1.0, 1.1, 1.2, 1.3, 3.0])
    found = bootstrap_interval([tail, tail], aggregates.mean)
    assert found.high - found.estimate > 1.5 * (found.estimate - found.low)
    mirrored = bootstrap_interval([-tail, -tail], aggregates.mean)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((found.low, found.high))


def test_one_task_has_the_wider_of_both_limits():
    tail = np.array([1.0, 1.1, 1.2, 1.3, 3.0])
    students = stats.ttest_1samp(tail, 0).confidence_interval(0.95)
    found = bootstrap_interval([tail], aggregates.mean)
    assert found.low == pytest.approx(students.low)
    assert found.high > students.high


@pytest.mark.parametrize(
    ("scores", "low", "high"),
    [([[0.5], [0.4, 0.6]], -np.inf, np.inf), ([[0.5, 0.5, 0.5]], 0.5, 0.5)],
)
def test_interval_of_one_seed_and_of_seeds_that_agree(scores, low, high):
    tasks = [np.array(task) for task in scores]
    assert bootstrap_interval(tasks, aggregates.mean)[1:3] == (low, high)


@settings(max_examples=40, deadline=None)
@given(scores=TABLES, shuffle=st.randoms(use_true_random=False))
def test_intervals_do_not_depend_on_the_order_of_seeds(scores, shuffle):
    shuffled = [np.array(shuffle.sample(list(task), len(task))) for task in scores]
    for aggregate in AGGREGATES:
        assert bootstrap_interval(shuffled, aggregate) == bootstrap_interval(scores, aggregate)
    unmoved = probability_of_improvement(scores, scores, True)
    assert probability_of_improvement(shuffled, scores, True) == unmoved


@settings(max_examples=40, deadline=None)
@given(
    scores=TABLES,
    scale=st.sampled_from([0.5, 2.0, 64.0]),
    shift=st.integers(-9, 9),
    level=st.sampled_from([0.05, 0.95]),
)
def test_intervals_follow_the_scale_of_scores(scores, scale, shift, level):
    for aggregate in AGGREGATES:
        found = bootstrap_interval(scores, aggregate, level)
        moved = bootstrap_interval(scale * scores + shift, aggregate, level)
        expected = [scale * value + shift for value in found[:3]]
        assert moved[:3] == pytest.approx(expected, rel=1e-6, abs=1e-6)
        assert found.low <= found.estimate <= found.high


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", ["normal", "normal, tasks alike", "normal, unequal spread", "log-normal, sigma 0.5"]
)
@pytest.mark.parametrize(("seeds", "repetitions"), [(3, 1200), (5, 1200), (10, 500)])
@pytest.mark.parametrize("name", ["interquartile mean", "median of means", "mean, one task"])
def test_coverage_is_93_to_97_per_cent(shape, seeds, repetitions, name):
    """It fails if the coverage is outside by more than the simulation's own two standard errors."""
    statistic, draw = {
        "interquartile mean": (aggregates.interquartile_mean, SHAPES[shape]),
        "median of means": (aggregates.median_of_means, SHAPES[shape]),
        "mean, one task": (aggregates.mean, first_task(SHAPES[shape])),
    }[name]
    truth = true_value(draw, statistic, 100_000)
    ours = {"ours": lambda scores: bootstrap_interval(scores, statistic)}
    held = coverage(draw, truth, seeds, repetitions, ours)["ours"]
    error = 2 * np.sqrt(0.95 * 0.05 / repetitions)
    assert 0.93 - error <= held <= 0.97 + error


@settings(max_examples=60, deadline=None)
@given(ours=TABLES, theirs=TABLES)
def test_by_rank_is_by_pairs(ours, theirs):
    """The share of pairs won, and the bootstrap's limits, against the quadratic definition."""

    def by_pairs(a: Array, b: Array) -> Array:
        return (np.sign(a[..., :, None] - b[..., None, :]).mean(axis=(-1, -2)) + 1) / 2

    a, b = np.sort(ours[0]), np.sort(theirs[0])
    draws, weights = bootstrap.resamples(a.size)
    assert comparisons._superiority(a, b) == pytest.approx(by_pairs(a, b), abs=1e-12)
    placed = comparisons._placements(a, b)[draws].mean(axis=-1)
    assert placed == pytest.approx(by_pairs(a[draws], b), abs=1e-12)
    variance = 0.0
    for one, other in ((a, b), (b, a)):
        draws, weights = bootstrap.resamples(one.size)
        values = by_pairs(one[draws], other)
        variance += weights @ (values - weights @ values) ** 2 * one.size / (one.size - 1)
    low, high = comparisons._bootstrap_limits([a], [b], 0.5, 0.95)
    freedom_at_least = min(a.size, b.size) - 1
    assert high - low <= 2 * stats.t.ppf(0.975, freedom_at_least) * np.sqrt(variance) + 1e-12
    assert high - low >= 2 * stats.norm.ppf(0.975) * np.sqrt(variance) - 1e-12


def test_many_seeds_are_compared_in_little_memory():
    """500 against 500 seeds on 3 tasks: all pairs of all draws would be 2 GB."""
    ours, theirs = table(5, tasks=3, seeds=500), table(6, tasks=3, seeds=500) + 0.1
    tracemalloc.start()
    found = probability_of_improvement(ours, theirs, True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.excludes(0.5) and peak < 40e6


def test_probability_of_improvement_by_hand():
    """9 pairs: 1 ties with one, 3 beats one and ties with one, 5 beats all three."""
    better = lambda ours, theirs, higher=True: (
        probability_of_improvement(ours, theirs, higher_is_better=higher).estimate
    )
    assert better([[1, 3, 5]], [[1, 3, 4]]) == pytest.approx((0.5 + 1.5 + 3) / 9)
    assert better([[1, 3, 5]], [[1, 3, 4]], higher=False) == pytest.approx(4 / 9)
    assert better([[1, 3, 5], [0, 0]], [[1, 3, 4], [1, 1]]) == pytest.approx(5 / 18)


@pytest.mark.parametrize("seed", range(5))
def test_probability_of_improvement_is_scipys_mann_whitney(seed):
    ours = np.round(table(seed, tasks=1), 1)
    theirs = np.round(table(seed + 100, tasks=1, seeds=7), 1)
    expected = stats.mannwhitneyu(ours[0], theirs[0]).statistic / 35
    assert probability_of_improvement(ours, theirs, True).estimate == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(ours=TABLES, theirs=TABLES)
def test_probability_of_improvement_bounds_symmetry_and_monotone_maps(ours, theirs):
    tasks = min(len(ours), len(theirs))
    ours, theirs = ours[:tasks], theirs[:tasks]
    found = probability_of_improvement(ours, theirs, True)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert found.low < found.high
    mirrored = probability_of_improvement(theirs, ours, True)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high), abs=1e-6)
    lower = probability_of_improvement(ours, theirs, False)
    assert lower == pytest.approx((1 - found.estimate, 1 - found.high, 1 - found.low, found.level))
    assert probability_of_improvement(ours**3, theirs**3, True) == found


@pytest.mark.parametrize(("tasks", "seeds", "shown"), [(1, 3, False), (1, 6, True), (6, 3, True)])
def test_winning_every_pair_is_no_certainty(tasks, seeds, shown):
    """Three seeds beat three by chance in 1 of 10: on one task 1/2 is not excluded."""
    low = np.arange(seeds)[None].repeat(tasks, axis=0)
    found = probability_of_improvement(low + 100, low, higher_is_better=True)
    assert found.estimate == found.high == 1
    assert 0 < found.low < 1
    assert found.excludes(0.5) is shown


@pytest.mark.slow
@pytest.mark.parametrize(("tasks", "shift"), [(6, 0.0), (6, 0.5), (6, 4.0), (1, 0.0), (1, 4.0)])
@pytest.mark.parametrize("seeds", SEEDS[:2])
def test_coverage_of_the_probability_of_improvement(tasks, shift, seeds):
    """At least 93%; near 0 and 1 more: the plain bootstrap holds the truth there in a tenth."""
    truth = float(stats.norm.cdf(shift / np.sqrt(2)))
    ahead = shift * np.array([1, 0])[:, None, None]
    draw = lambda rng, n: rng.standard_normal((2, tasks, n)) + ahead
    ours = {"ours": lambda scores: probability_of_improvement(scores[0], scores[1], True)}
    held = coverage(draw, truth, seeds, 800, ours)["ours"]
    assert held >= 0.93 - 2 * np.sqrt(0.95 * 0.05 / 800)
    assert held <= 0.985 or shift == 4 or tasks == 1


def test_win_matrix_by_hand():
    good, poor, noisy = [1.0, 1.01, 0.99], [0.5, 0.51, 0.49], [0.0, 1.0, 2.0]
    scores = {"a": [good, good, good, good], "b": [poor, good, noisy, poor]}
    found = win_matrix(scores, higher_is_better=True, margin=0.1)
    assert found.win.tolist() == [[0, 0.5], [0, 0]]
    assert found.loss.tolist() == [[0, 0], [0.5, 0]]
    assert found.tie.tolist() == [[1, 0.5], [0.5, 1]]
    assert win_matrix(scores, higher_is_better=False, margin=0.1).win.tolist() == [[0, 0], [0.5, 0]]
    assert win_matrix(scores, higher_is_better=True, margin=0.6).win.sum() == 0


@settings(max_examples=30, deadline=None)
@given(ours=TABLES, theirs=TABLES, margin=st.integers(0, 20), higher=st.booleans())
def test_win_matrix_shares_add_up(ours, theirs, margin, higher):
    tasks = min(len(ours), len(theirs))
    scores = {"a": ours[:tasks], "b": theirs[:tasks]}
    found = win_matrix(scores, higher, margin)
    assert (found.win == found.loss.T).all()
    assert found.win + found.loss + found.tie == pytest.approx(np.ones((2, 2)))
    assert (win_matrix(scores, higher, margin + 1).win <= found.win).all()


def test_welch_limits_are_scipys():
    a, b = table(7, 1, 5)[0], 3 * table(8, 1, 4)[0]
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert comparisons.welch(a, b, 0.9) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("seeds", "words"),
    [(1, "Only one seed"), (2, "Only 2 seeds"), (4, "Only 4 seeds"), (5, "None")],
)
def test_fewer_than_five_seeds_are_warned_of(seeds, words):
    assert words in str(seeds_warning(seeds)) and (seeds_warning(seeds) is None) == (seeds == 5)


def separate(*levels: float) -> dict[str, Array]:
    """One optimizer a level on six tasks and five seeds; the levels are far apart."""
    return {chr(ord("a") + i): level + 0.01 * table(i) for i, level in enumerate(levels)}


AHEAD = "not shown to be worse than any other: "


@pytest.mark.parametrize(
    ("levels", "tasks", "not_worse", "words"),
    [
        ((1.0, 1.0, 1.0), 6, "abc", "no clear winner"),
        ((1.0, 1.0, 0.0), 6, "ab", f"{AHEAD}a, b"),
        ((1.0, 0.5, 0.0), 6, "a", f"{AHEAD}a. On a single task the order may differ."),
        ((1.0, 0.5, 0.0), 1, "a", "On task 0: a is ahead of every other."),
        ((0.0, 1.0, 1.0), 1, "bc", f"On task 0: {AHEAD}b, c."),
    ],
)
def test_winner(levels, tasks, not_worse, words):
    scores = {name: np.tile(each, (1, 2))[:tasks] for name, each in separate(*levels).items()}
    names = [f"task {i}" for i in range(tasks)]
    found = winner(list(scores), improvement_matrix(scores, True), names)
    assert found.not_worse == tuple(not_worse)
    assert found.clear is (len(not_worse) < len(levels))
    assert words in found.sentence
    assert set(found.beaten) == set(scores) - set(not_worse)


def test_winner_never_names_one_over_several_tasks():
    scores = separate(1.0, 0.0)
    sentence = winner(list(scores), improvement_matrix(scores, True), ["x"] * 6).sentence
    for claim in ("winner", "ahead of every other", "best"):
        assert claim not in sentence


def test_a_cycle_has_no_winner():
    """Each beats the next: rock, paper, scissors."""
    ahead, behind = Interval(0.9, 0.8, 1.0), Interval(0.1, 0.0, 0.2)
    beaten = [("a", "b"), ("b", "c"), ("c", "a")]
    pairs = {pair: ahead for pair in beaten} | {pair[::-1]: behind for pair in beaten}
    found = winner("abc", pairs, ["x"])
    assert not found.clear and comparisons.NO_CLEAR_WINNER in found.sentence


def test_improvement_matrix_corrects_for_the_number_of_pairs():
    scores = separate(1.0, 1.0, 1.0)
    found = improvement_matrix(scores, True)
    assert len(found) == 6
    assert found["a", "b"].level == pytest.approx(1 - 0.05 / 3)
    alone = probability_of_improvement(scores["a"], scores["b"], True)
    assert found["a", "b"].high - found["a", "b"].low > alone.high - alone.low
    reversed_ = probability_of_improvement(scores["b"], scores["a"], True, found["a", "b"].level)
    assert found["b", "a"] == pytest.approx(reversed_, abs=1e-6)


NAN, ONE, TWO = [[0.5, np.nan]], [[1, 2]], [[1, 2], [3, 4]]


def interval(scores, **options):
    return bootstrap_interval(scores, aggregates.mean, **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: interval(NAN),
            "task 0 holds NaN or infinity; give a diverged run the worst score",
        ),
        (lambda: interval([[]]), "task 0 has no seed"),
        (lambda: interval([0.5, 0.6]), "one array of seeds is needed per task"),
        (lambda: interval([]), "there is no task"),
        (lambda: interval([[1, 2]], level=95), "lies between 0 and 1, not at 95"),
        (lambda: probability_of_improvement(ONE, TWO, True), "1 tasks stand against 2"),
        (lambda: probability_of_improvement(NAN, ONE, True), "our scores: task 0 holds NaN"),
        (lambda: win_matrix({"a": ONE, "b": ONE}, True, margin=-1), "0 or more, not -1"),
        (lambda: winner(["a", "b"], {}, ["x"]), "missing: b over a, a over b"),
        (lambda: aggregates.share_of_runs(3, 2), "not 3 of 2"),
        (lambda: aggregates.normalised(0.5, 1.0, 1.0), "two different finite ends"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_the_bootstrap_of_many_seeds_is_taken_in_parts(monkeypatch):
    scores = table(8, tasks=3, seeds=40)
    whole = bootstrap_interval(scores, aggregates.interquartile_mean)
    monkeypatch.setattr(bootstrap, "MOST_SCORES", 1000)
    parts = bootstrap_interval(scores, aggregates.interquartile_mean)
    assert parts == pytest.approx(whole, rel=1e-12)
