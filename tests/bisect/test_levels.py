"""Where a version belongs, by launches: error rates by simulation with fixed random numbers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from gradrace.bisect.levels import (
    FEWEST,
    LEAST_SPREAD,
    MOST,
    Level,
    decide,
    level,
    pooled_spread,
    posterior,
    share_of,
)

GOOD = Level(0.0)
STEP = float(np.log(1.05))


def place(centre, spread, rng, heavy=0.0):
    """The place and the number of launches of a version, against a BAD of twelve launches."""

    def launches(around, count):
        far = rng.random(count) < heavy
        return around + spread * rng.standard_normal(count) * np.where(far, 10.0, 1.0)

    bad, x = launches(STEP, 12), np.array([])
    while len(x) < MOST:
        x = np.append(x, launches(centre, 1))
        seen = pooled_spread([bad, x] if len(x) > 1 else [bad])
        found = decide(x, GOOD, level([bad], seen), seen, delta=0.01)
        if found:
            return found, len(x)
    return None, len(x)


@pytest.mark.parametrize("heavy", [0.0, 0.05])
@pytest.mark.parametrize("spread, most_launches", [(0.003, 3.1), (0.01, 3.3), (0.02, 6.0)])
def test_one_end_is_not_taken_for_the_other(spread, most_launches, heavy):
    rng = np.random.default_rng(1)
    for centre, right, wrong in ((0.0, "older", "newer"), (STEP, "newer", "older")):
        found = [place(centre, spread, rng, heavy) for _ in range(100)]
        counts = Counter(where for where, _ in found)
        assert counts[wrong] <= 2 and counts[right] >= 93
        assert np.mean([launches for _, launches in found]) < most_launches


def test_half_of_the_change_is_like_neither_end():
    rng = np.random.default_rng(2)
    found = Counter(place(STEP / 2, 0.004, rng)[0] for _ in range(100))
    assert found["neither"] >= 97


@pytest.mark.parametrize("centre", [-STEP, 2 * STEP])
def test_so_is_what_lies_beyond_both_ends(centre):
    x = centre + np.array([0.001, -0.001, 0.0, 0.002])
    assert decide(x, GOOD, Level(STEP, 0.001), 0.002, 0.01) == "neither"


def test_one_bad_launch_has_little_weight():
    x = np.array([0.001, -0.002, 0.0, 0.3])
    assert decide(x, GOOD, Level(STEP, 0.002), 0.005, 0.01) == "older"


def test_fewer_launches_than_the_least_place_nothing():
    assert decide(np.zeros(FEWEST - 1), GOOD, Level(STEP), 0.001, 0.01) is None


def test_a_level_that_is_badly_known_decides_nothing():
    x = np.array([0.5, 0.52, 0.48]) * STEP
    assert decide(x, GOOD, Level(STEP, STEP), 0.5 * STEP, 0.01) is None


def test_a_speed_up_is_the_mirror_image():
    x = np.array([0.01, 0.02, 0.015, 0.04])
    there = posterior(x, GOOD, Level(STEP, 0.003), 0.01)
    mirrored = posterior(-x, GOOD, Level(-STEP, 0.003), 0.01)
    assert there == pytest.approx(mirrored) and sum(there.values()) == pytest.approx(1)


def test_the_pooled_spread_is_that_of_normal_launches_and_bears_bad_ones():
    rng = np.random.default_rng(3)
    samples = [centre + 0.01 * rng.standard_normal(8) for centre in (0.0, 0.05, -1.0) * 20]
    assert pooled_spread(samples) == pytest.approx(0.01, rel=0.15)
    samples[0][0] = 5.0
    assert pooled_spread(samples) == pytest.approx(0.01, rel=0.15)
    assert pooled_spread([np.zeros(5)]) == pooled_spread([]) == LEAST_SPREAD


@pytest.mark.parametrize("versions, tests", [(1, 1), (2, 1), (32, 5), (10_000, 14)])
def test_the_error_rate_is_shared_out_over_the_tests(versions, tests):
    assert share_of(0.05, versions) == pytest.approx(0.05 / tests)
