"""Verdicts of paired comparisons: formulas by hand, looks on a fake clock, the rule simulated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from gradrace.paired import StopRule
from gradrace.paired.decide import (
    detectable,
    error_share,
    judge,
    launches_at,
    launches_to_find,
    line,
    p_above,
)
from gradrace.paired.measure import Launch, Outcome
from gradrace.paired.processes import Failure
from gradrace.paired.run import search
from gradrace.statistics.holm import holm
from gradrace.statistics.intervals import t_interval
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

RULE = StopRule()
RNG = np.random.default_rng(20261121)


def spread(mean: float, sd: float, n: int) -> np.ndarray:
    """n values of exactly this mean and sample standard deviation."""
    x = np.arange(n) - (n - 1) / 2
    return mean + sd * x / x.std(ddof=1)


# -- formulas


def test_the_shares_of_all_looks_sum_to_alpha():
    shares = [error_share(0.05, look) for look in range(1, 100_001)]
    assert shares[:3] == [0.05 / 2, 0.05 / 6, 0.05 / 12]
    assert 0.05 * (1 - 1e-4) < sum(shares) <= 0.05


def test_looks_are_taken_at_the_launches_that_the_rule_says():
    assert [launches_at(StopRule(first_look=6, more=3), look) for look in (1, 2, 3)] == [6, 9, 12]


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01], [0.01]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.3, 0.4], [0.6, 0.6]),
        ([0.9, 0.8, 0.0], [1.0, 1.0, 0.0]),
        ([], []),
    ],
)
def test_holm_by_hand(p, adjusted):
    assert np.allclose(holm(np.array(p)), adjusted, rtol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_as_his_step_down_procedure_does(p, alpha):
    """Adjusted p values against the procedure as he wrote it."""
    rejected, order = set(), np.argsort(p, kind="stable")
    for rank, index in enumerate(order):
        if p[index] * (len(p) - rank) > alpha:
            break
        rejected.add(int(index))
    assert {i for i, value in enumerate(holm(np.array(p))) if value <= alpha} == rejected


@given(
    st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=12),
    st.floats(-0.1, 0.1),
    st.floats(0.5, 0.99),
)
def test_p_values_and_intervals_are_students(values, bound, level):
    x = np.array(values)
    if x.std() < 1e-6:
        return
    expected = scipy_stats.ttest_1samp(x, bound, alternative="greater").pvalue
    assert p_above(x, bound) == pytest.approx(expected, rel=1e-6, abs=1e-12)
    expected = scipy_stats.ttest_1samp(x, 0).confidence_interval(level)
    assert t_interval(x, level)[1:3] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("bound", "p"), [(0.0625, 0.0), (0.125, 1.0), (0.25, 1.0)])
def test_values_without_spread_leave_no_doubt(bound, p):
    assert p_above(np.full(6, 0.125), bound) == p


def simulated_power(rule: StopRule, look: int, sd: float, samples: int, searches: int) -> float:
    """The share of searches that find a slowdown of the size that such launches call detectable."""
    rng, sizes = np.random.default_rng(7), [launches_at(rule, k) for k in range(1, look + 1)]
    shares = [error_share(rule.alpha, k) / 2 for k in range(1, look + 1)]
    hits = 0
    for _ in range(samples):
        shift = np.log1p(detectable(rng.normal(0.0, sd, sizes[-1]), rule, look))
        x = rng.normal(shift, sd, (2, searches, sizes[-1]))
        found, open_ = np.zeros((2, searches), bool), np.ones((2, searches), bool)
        for size, share in zip(sizes, shares, strict=True):
            mean, error = x[..., :size].mean(-1), x[..., :size].std(-1, ddof=1) / np.sqrt(size)
            t = scipy_stats.t.ppf(1 - share, size - 1)
            found |= open_ & (mean / error >= t) & (mean > line(rule.threshold))
            margin = np.log1p(rule.threshold)
            open_ &= ~found & ~((mean + t * error <= margin) & (mean - t * error >= -margin))
        hits += int((found.all(axis=0) if rule.confirm else found[0]).sum())
    return hits / (samples * searches)


@pytest.mark.parametrize("confirm", [True, False])
@pytest.mark.parametrize(("look", "sd"), [(1, 0.01), (1, 0.05), (3, 0.02), (3, 0.05)])
def test_detectable_sizes_are_found_four_times_out_of_five(look, sd, confirm):
    """The spread is estimated from the same number of launches, as a user has it.

    4000 samples gave 0.795 to 0.832, the more if the line decides, which needs no estimate. The
    power that a sample leads to varies by 0.27: 400 of them give the mean to 0.0135, and three of
    these are allowed."""
    power = simulated_power(StopRule(confirm=confirm), look, sd, samples=400, searches=20)
    assert 0.795 - 0.04 <= power <= 0.832 + 0.04


def test_more_cells_and_a_confirmation_make_less_detectable():
    x = spread(0.0, 0.03, 6)
    alone, among = detectable(x, RULE, 1), detectable(x, RULE, 1, cells=10)
    assert detectable(x, StopRule(confirm=False), 1) < alone < among
    assert detectable(spread(0.0, 0.03, 12), RULE, 3) < alone
    assert detectable(x, RULE, 1) == alone, "the same every time"


def test_nothing_is_detectable_below_the_line_between_ok_and_regression():
    assert detectable(np.zeros(6), RULE, 1) == pytest.approx(np.sqrt(1.05) - 1)


# -- one look

# threshold 5%: the line is at a log ratio of 0.0244, the threshold at 0.0488. n = 6, look 1: t must
# be at least 3.16.
TABLE = {
    "slower beyond doubt": (spread(0.08, 0.01, 6), "regression"),
    "slower by the threshold": (spread(0.0488, 0.01, 6), "regression"),
    "slower beyond doubt, by less than half the threshold": (spread(0.02, 0.001, 6), "ok"),
    "slower beyond doubt, by more than half of it": (spread(0.027, 0.001, 6), "regression"),
    "much slower, perhaps": (spread(0.08, 0.08, 6), "inconclusive"),
    "equal": (spread(0.0, 0.01, 6), "ok"),
    "equal, perhaps": (spread(0.0, 0.05, 6), "inconclusive"),
    "between, without a doubt about neither": (spread(0.03, 0.03, 6), "inconclusive"),
    "faster beyond doubt": (spread(-0.08, 0.01, 6), "improvement"),
    "faster, perhaps, but not slower": (spread(-0.08, 0.08, 6), "inconclusive"),
    "faster by 18%, perhaps": (spread(np.log(0.82), 0.185, 6), "inconclusive"),
    "faster by the threshold": (spread(-0.0488, 0.01, 6), "improvement"),
    "hardly any spread, on the mirrored line": (spread(-line(0.05), 1e-9, 6), "ok"),
    "faster by less than half the threshold": (spread(-0.02, 0.001, 6), "ok"),
    "no spread, slower": (np.full(6, 0.08), "regression"),
    "no spread, equal": (np.zeros(6), "ok"),
    "no spread, on the line": (np.full(6, line(0.05)), "ok"),
}


@pytest.mark.parametrize(("x", "decision"), TABLE.values(), ids=TABLE)
def test_verdicts(x, decision):
    (judged,) = judge([x], RULE, 1)
    assert judged.decision == decision
    assert judged.ratio == pytest.approx(np.exp(x.mean()))
    assert judged.low <= judged.ratio <= judged.high


MIRRORED = {"regression": "improvement", "improvement": "regression"}


@given(
    st.lists(st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6), min_size=1, max_size=4),
    st.sampled_from([0.01, 0.05, 0.25]),
    st.integers(1, 4),
)
def test_swapped_sides_are_the_mirror_image(samples, threshold, look):
    """Every verdict, ratio and interval of b against a says the same as that of a against b."""
    rule = StopRule(threshold=threshold)
    ahead = judge([np.array(x) for x in samples], rule, look)
    back = judge([-np.array(x) for x in samples], rule, look)
    for one, other in zip(ahead, back, strict=True):
        assert other.decision == MIRRORED.get(one.decision, one.decision)
        mirrored = (1 / other.ratio, 1 / other.high, 1 / other.low)
        assert mirrored == pytest.approx((one.ratio, one.low, one.high))


@given(st.lists(st.floats(-0.12, 0.12), min_size=6, max_size=6), st.sampled_from([0.05, 0.1]))
def test_ok_has_both_limits_within_the_margin(values, threshold):
    """Two one-sided tests at alpha_k / 2 are the interval at 1 - alpha_k."""
    (judged,) = judge([np.array(values)], StopRule(threshold=threshold), 1)
    if judged.decision == "ok":
        assert 1 / (1 + threshold) * (1 - 1e-9) <= judged.low
        assert judged.high <= (1 + threshold) * (1 + 1e-9)


def test_figures_of_a_look_by_hand():
    x = spread(0.01, 0.02, 6)
    (judged,) = judge([x], RULE, 2)
    half = scipy_stats.t.ppf(1 - 0.05 / 6 / 2, 5) * 0.02 / np.sqrt(6)
    assert (judged.low, judged.high) == pytest.approx((np.exp(0.01 - half), np.exp(0.01 + half)))
    assert judged.p_slower == pytest.approx(scipy_stats.t.sf(0.01 / (0.02 / np.sqrt(6)), 5))


def test_later_looks_ask_for_more():
    x = spread(0.08, 0.05, 6)  # t = 3.92, p = 0.0056
    assert [judge([x], RULE, look)[0].decision for look in (1, 2)] == ["regression", "inconclusive"]


def test_more_cells_ask_for_more():
    x = spread(0.08, 0.05, 6)
    alone, among = judge([x], RULE, 1)[0], judge([x, *[spread(0.0, 0.01, 6)] * 9], RULE, 1)[0]
    assert (alone.decision, among.decision) == ("regression", "inconclusive")
    assert among.p_slower == pytest.approx(10 * alone.p_slower)
    assert among.detectable > alone.detectable


# -- launches, looks and the budget, on a fake clock


class Declared:
    """A measure whose launches take declared seconds: cell -> log ratios of its launches."""

    def __init__(self, ratios: Sequence[Sequence[float | Failure]], seconds: float = 1.0) -> None:
        self._ratios, self._seconds = ratios, seconds
        self.now = 0.0
        self.asked: list[tuple[int, ...]] = []
        self._taken = [0] * len(ratios)

    def __call__(self, cells: Sequence[int]) -> dict[int, Outcome]:
        self.asked.append(tuple(cells))
        self.now += self._seconds
        return {cell: self._outcome(cell) for cell in cells}

    def _outcome(self, cell: int) -> Outcome:
        value = self._ratios[cell][self._taken[cell] % len(self._ratios[cell])]
        self._taken[cell] += 1
        if isinstance(value, Failure):
            return value
        return Launch(value, value / 2, 1e-3, 1e-3 * np.exp(value))


def run(ratios, rule=RULE, seconds=1.0):
    measure = Declared(ratios, seconds)
    return search(len(ratios), measure, rule, clock=lambda: measure.now), measure


NOISY = [0.2, -0.2]
SLOW, EQUAL, FAST = [0.08, 0.081], [0.0, 0.001], [-0.08, -0.081]


@pytest.mark.parametrize(
    ("ratios", "decision", "launches", "looks", "taken"),
    [
        (EQUAL, "ok", 6, 1, 6),
        (FAST, "improvement", 6, 1, 12),
        (SLOW, "regression", 6, 1, 12),
        (NOISY, "inconclusive", 15, 4, 15),
        # A regression that is not found again.
        ([*SLOW * 3, *EQUAL * 3], "ok", 6, 1, 12),
        ([*SLOW * 3, *NOISY * 10], "suspected", 15, 4, 21),
        ([*SLOW * 3, *FAST * 3], "inconclusive", 6, 1, 12),
        # An improvement that is not found again.
        ([*FAST * 3, *EQUAL * 3], "ok", 6, 1, 12),
        ([*FAST * 3, *NOISY * 10], "suspected", 15, 4, 21),
        ([*FAST * 3, *SLOW * 3], "inconclusive", 6, 1, 12),
    ],
)
def test_looks_and_confirmation(ratios, decision, launches, looks, taken):
    """20 launches fit; a first search keeps 6 of them for the confirmation."""
    (cell,), measure = run([ratios], StopRule(budget_s=21.5))
    assert (cell.decision, len(cell.launches), cell.looks) == (decision, launches, looks)
    assert len(measure.asked) == taken
    assert cell.confirmed == (decision in ("regression", "improvement"))


def test_a_regression_is_reported_with_the_figures_of_its_second_run():
    (cell,), _ = run([[*[0.08, 0.081] * 3, *[0.06, 0.061] * 3]])
    assert cell.confirmed
    assert cell.judged is not None
    assert cell.judged.ratio == pytest.approx(np.exp(0.0605))


def test_without_confirmation_the_first_run_stands():
    (cell,), measure = run([SLOW], StopRule(confirm=False))
    assert (cell.decision, cell.confirmed, len(measure.asked)) == ("regression", False, 6)


@pytest.mark.parametrize(("ratios", "what"), [(SLOW, "slowdown"), (FAST, "speed-up")])
def test_a_difference_that_there_is_no_time_to_confirm_does_not_stand(ratios, what):
    (cell,), measure = run([ratios], StopRule(budget_s=8.0))
    assert (cell.decision, len(measure.asked)) == ("suspected", 6)
    assert f"a {what} was found once, with no time to measure again" in cell.reason
    # Two searches of six launches of a second.
    assert cell.settle_s == 12.0
    assert "about --budget 20 for this cell alone would settle it" in cell.reason


def test_what_contradicts_itself_is_no_suspicion():
    (cell,), _ = run([[*SLOW * 3, *FAST * 3]])
    assert cell.decision == "inconclusive" and cell.settle_s is None
    assert "a slowdown of 8.4% was found first and then a speed-up" in cell.reason


@pytest.mark.parametrize("sd", [0.02, 0.04, 0.06])
def test_the_budget_that_would_settle_a_suspicion_does(sd):
    """So many launches find the slowdown four times out of five, and half as many do not."""
    x, rng = spread(np.log1p(0.06), sd, 8), np.random.default_rng(3)
    needed = launches_to_find(x, RULE)
    assert needed is not None

    def power(launches: int) -> float:
        rule = StopRule(budget_s=2 * launches + 0.5)
        ratios = x.mean() + rng.normal(0, sd, (400, 2 * launches))
        return float(np.mean([run([one], rule)[0][0].confirmed for one in ratios.tolist()]))

    # The spread of eight launches is not known for sure; with the true one there is more power.
    assert power(needed) >= 0.8
    assert needed == RULE.first_look or power(max(needed // 2, RULE.first_look)) < 0.75


def test_what_no_reasonable_budget_settles_says_so():
    assert launches_to_find(spread(0.0, 1.0, 8), RULE) is None
    (cell,), _ = run([[*SLOW * 3, *[2.0, -2.0] * 10]], StopRule(budget_s=21.5))
    assert cell.decision == "suspected" and cell.settle_s is None
    assert "a quieter machine would" in cell.reason


def test_a_speed_up_that_is_not_found_again_is_said_in_its_own_size():
    (cell,), _ = run([[*[-0.223, -0.224] * 3, *NOISY * 10]], StopRule(budget_s=21.5))
    assert "a speed-up of 20.0% was found once and not found again" in cell.reason


def without_size(reason: str) -> str:
    """The reason without the size of the difference and its direction."""
    return reason.split(" of ")[0].replace("slowdown", "speed-up")


@given(
    st.integers(0, 10_000),
    st.floats(-0.15, 0.15),
    st.sampled_from([0.02, 0.05, 0.1]),
    st.booleans(),
)
def test_a_search_with_swapped_sides_is_the_mirror_image(seed, shift, sd, confirm):
    """It takes the same launches: no speed-up is hidden that a slowdown would not be."""
    x = np.random.default_rng(seed).normal(shift, sd, (3, 60))
    rule = StopRule(budget_s=40.5, confirm=confirm)
    (ahead, asked), (back, swapped) = run(x.tolist(), rule), run((-x).tolist(), rule)
    assert asked.asked == swapped.asked
    for one, other in zip(ahead, back, strict=True):
        assert other.decision == MIRRORED.get(one.decision, one.decision)
        assert one.confirmed == other.confirmed
        assert one.log_ratios == pytest.approx(-other.log_ratios) and one.looks == other.looks
        assert without_size(one.reason) == without_size(other.reason)


@pytest.mark.parametrize(("true", "sd"), [(0.95, 0.05), (0.8, 0.2), (0.9, 0.1)])
def test_a_speed_up_beyond_the_threshold_is_seldom_called_equal(true, sd):
    """One-sided, b at 0.95 of a was "about equal" in 59% and the swapped sides "slower" in 96%."""
    rng, found = np.random.default_rng(11), {}
    for side in (1, -1):
        ratios = (side * np.log(true) + rng.normal(0, sd, (150, 40))).tolist()
        cells = [run([one], StopRule(budget_s=30.5, confirm=False))[0][0] for one in ratios]
        decisions = [cell.decision for cell in cells]
        names = ("ok", "improvement", "regression")
        found[side] = {name: decisions.count(name) / 150 for name in names}
    assert max(found[1]["ok"], found[-1]["ok"]) <= 0.05
    # Two shares of 150 at most: three standard errors of their difference.
    assert abs(found[1]["improvement"] - found[-1]["regression"]) <= 0.17


def test_the_first_look_is_always_taken_and_no_other_that_does_not_fit():
    (cell,), measure = run([NOISY], StopRule(budget_s=1.0))
    assert (cell.decision, len(measure.asked)) == ("inconclusive", 6)


def test_decided_cells_are_not_measured_again():
    cells, measure = run([EQUAL, NOISY, FAST], StopRule(budget_s=15.5))
    assert measure.asked == [(0, 1, 2)] * 6 + [(1,)] * 3 + [(2,)] * 6
    assert [cell.decision for cell in cells] == ["ok", "inconclusive", "improvement"]


def test_decided_cells_stay_in_the_family():
    """At the second look the p value of a cell counts double, although the other one is decided."""
    cells, _ = run([FAST, [*NOISY * 3, 0.2, 0.2, 0.2]], StopRule(budget_s=15.5, confirm=False))
    assert cells[1].judged is not None
    assert cells[1].judged.p_slower == pytest.approx(2 * p_above(cells[1].log_ratios, 0.0))


def test_a_decision_stays():
    """This cell is ok at the first look; by the stricter second look it would be inconclusive."""
    x = list(spread(0.0, 0.035, 6))
    first, second = (judge([np.array(x)], RULE, look)[0].decision for look in (1, 2))
    assert (first, second) == ("ok", "inconclusive")
    cells, measure = run([x, NOISY], StopRule(budget_s=15.5))
    assert measure.asked == [(0, 1)] * 6 + [(1,)] * 3
    assert (cells[0].decision, cells[0].looks) == ("ok", 1)


def test_only_cells_that_look_different_are_measured_again():
    cells, measure = run([EQUAL, SLOW, FAST])
    assert measure.asked == [(0, 1, 2)] * 6 + [(1, 2)] * 6
    assert [cell.decision for cell in cells] == ["ok", "regression", "improvement"]


@pytest.mark.parametrize(
    ("failure", "decision"),
    [(Failure("it broke"), "failed"), (Failure("no such device", skipped=True), "skipped")],
)
def test_a_cell_that_fails_leaves_the_others_alone(failure, decision):
    cells, measure = run([[0.0, failure], EQUAL])
    assert [cell.decision for cell in cells] == [decision, "ok"]
    assert cells[0].reason == failure.reason
    assert measure.asked == [(0, 1)] * 2 + [(1,)] * 4, "it is not tried again"


def test_a_cell_that_fails_while_it_is_confirmed_has_failed():
    (cell,), _ = run([[*SLOW * 3, Failure("it broke")]])
    assert (cell.decision, cell.reason) == ("failed", "it broke")


# -- the whole rule


def simulated(count: int, cells: int, mean: float, sd: float, seed: int) -> list[list[str]]:
    """Verdicts of whole comparisons whose launches are drawn; room for five looks."""
    rng, rule = np.random.default_rng(seed), StopRule(budget_s=25.0)
    found = []
    for _ in range(count):
        clock = [0.0]

        def measure(indices, clock=clock):
            clock[0] += 1.0
            drawn = rng.normal(mean, sd, len(indices))
            return {i: Launch(x, x, 1e-3, 1e-3) for i, x in zip(indices, drawn, strict=True)}

        judged = search(cells, measure, rule, clock=lambda clock=clock: clock[0])
        found.append([cell.decision for cell in judged])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "count"), [(1, 600), (10, 60)])
@pytest.mark.parametrize("sd", [0.01, 0.03, 0.06])
def test_equal_sides_raise_no_alarm(cells, count, sd):
    """The rule promises at most alpha / 2 before, and far fewer after the confirmation."""
    found = simulated(count, cells, 0.0, sd, seed=1)
    # 99.9% limit of a count whose rate is the promised one.
    limit = scipy_stats.binom.ppf(0.999, count, 0.025**2)
    for alarm in ("regression", "improvement"):
        assert sum(alarm in verdicts for verdicts in found) <= limit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slowdown", "sd", "least"),
    [(0.05, 0.01, 0.97), (0.10, 0.01, 0.99), (0.10, 0.03, 0.95), (0.05, 0.03, 0.3)],
)
def test_slowdowns_are_found(slowdown, sd, least):
    found = [verdicts[0] for verdicts in simulated(200, 1, np.log1p(slowdown), sd, seed=2)]
    power = found.count("regression") / len(found)
    ok = found.count("ok") / len(found)
    print(f"slowdown {slowdown:.0%}, spread {sd:.0%}: found {power:.0%}, called ok {ok:.1%}")
    assert power >= least
    # "ok" needs proof against a slowdown of the threshold: wrong at most in alpha / 2, twice if
    # it is looked at twice.
    assert ok <= 0.05


@pytest.mark.slow
def test_the_interval_covers_the_ratio_at_every_look():
    rng, misses, count = np.random.default_rng(3), 0, 400
    for _ in range(count):
        x = rng.normal(0.02, 0.03, 18)
        looks = [judge([x[: launches_at(RULE, look)]], RULE, look)[0] for look in (1, 2, 3, 4, 5)]
        misses += any(not judged.low <= np.exp(0.02) <= judged.high for judged in looks)
    assert misses <= scipy_stats.binom.ppf(0.999, count, RULE.alpha)
