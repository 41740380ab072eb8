"""Steps and drift in histories: found, placed and sized; clean histories and bad nights are not
flagged. tests/benchmarks/histories.py measures the rates."""

from __future__ import annotations

import time

import numpy as np
import pytest
from gradrace.history.detect import FEWEST_NIGHTS, Change, Series
from gradrace.history.detect.search import detect
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nights import level, noise, page

NIGHTS, CELLS, AT = 60, 12, 3


def made(seed: int, kind: str, size: float = 0.0, begin: int = 0, end: int = 0) -> list[Series]:
    """A page of which one cell changes."""
    rng = np.random.default_rng(seed)
    cells = [noise(rng, NIGHTS) for _ in range(CELLS)]
    values, errors = cells[AT]
    cells[AT] = (values + level(NIGHTS, kind, size, begin, end), errors)
    return page(cells)


def one(values: np.ndarray) -> list[Series]:
    return page([(values, np.full(len(values), np.nan))])


# kind, size, begin, end -> the changes: kind, first and last night give or take, size.
CHANGES = {
    "step": (("step", 0.05, 35, 0), [("step", 34, 35, 1.05)]),
    "improvement": (("step", -0.05, 20, 0), [("step", 19, 20, 0.95)]),
    "five nights ago": (("step", 0.05, 55, 0), [("step", 54, 55, 1.05)]),
    "ten steps of 1%": (("stairs", 0.1, 0, 0), [("drift", 2, 57, 1.1)]),
    "ten nights of 1%": (("ramp", 0.1, 20, 30), [("drift", 20, 30, 1.1)]),
    "up and back": (("bump", 0.06, 20, 30), [("step", 19, 20, 1.06), ("step", 29, 30, 1 / 1.06)]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_found_placed_and_sized(case):
    change, expected = CHANGES[case]
    for seed in range(4):
        found = detect(made(seed, *change))
        assert [(each.series, each.kind) for each in found] == [(AT, kind) for kind, *_ in expected]
        for each, (kind, first, last, ratio) in zip(found, expected, strict=True):
            near = 2 if kind == "step" else 14
            assert abs(each.first - first) <= near and abs(each.last - last) <= near
            assert each.low < each.ratio < each.high and each.ratio == pytest.approx(
                ratio, abs=0.02
            )


def test_clean_pages_flag_nothing_at_any_night():
    for seed in range(8):
        pages = made(seed, "clean")
        for nights in range(FEWEST_NIGHTS, NIGHTS + 1, 7):
            seen = [(each.log_ratios[:nights], each.errors[:nights]) for each in pages]
            assert detect(page(seen)) == ()


@pytest.mark.parametrize("bad", [[30], [59], [10, 11], [58, 59], [5, 20, 21, 40]])
def test_bad_nights_are_no_change(bad):
    cells = made(2, "clean")
    cells[AT].log_ratios[bad] += 0.5
    assert detect(cells) == ()


def test_several_changes_of_a_series_are_told_apart():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 0.01, 300) + level(300, "step", 0.05, 60) + level(300, "step", 0.04, 110)
    values += level(300, "ramp", 0.12, 160, 240)
    found = detect(one(values))
    assert [each.kind for each in found] == ["step", "step", "drift"]
    assert [round(each.ratio, 2) for each in found] == pytest.approx([1.05, 1.04, 1.12], abs=0.011)


def test_positions_are_those_of_the_page_and_nights_without_a_figure_are_left_out():
    values = np.random.default_rng(3).normal(0, 0.003, 40) + level(40, "step", 0.05, 20)
    values[[5, 19]] = np.nan
    nights = np.arange(40) * 7 + 100
    (found,) = detect([Series("c", "step", "m", "a", nights, values, np.full(40, 0.003))])
    assert (found.first, found.last) == (100 + 18 * 7, 100 + 20 * 7)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], 0),
        ([0.0] * (FEWEST_NIGHTS - 1), 0),
        ([0.0] * 3 + [0.5] * 4, 0),
        ([0.0] * 50, 0),
        ([0.0] * 25 + [0.05] * 25, 1),
        ([0.0] * 25 + [0.004] * 25, 0),
        ([0.0, 0.1] * 30, 0),
        ([np.nan] * 50, 0),
        ([700.0] * 20 + [-700.0] * 20, 1),
    ],
    ids=["empty", "few", "few but far", "flat", "jump", "small", "saw", "nan", "huge"],
)
def test_odd_series(values, found):
    assert len(detect(one(np.array(values, dtype=np.float64)))) == found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-0.2, 0.2), min_size=FEWEST_NIGHTS, max_size=40),
    st.floats(-1.0, 1.0),
    st.integers(4, 30),
)
def test_swapped_sides_mirror_and_a_shift_changes_nothing(values, shift, at):
    given_values = np.array(values)
    given_values[at:] += 0.5
    found = detect(one(given_values))
    mirrored, shifted = detect(one(-given_values)), detect(one(given_values + shift))
    for each, mirror, moved in zip(found, mirrored, shifted, strict=True):
        assert mirror[:4] == each[:4] == moved[:4]
        assert mirror.ratio == pytest.approx(1 / each.ratio) == pytest.approx(1 / moved.ratio)


def test_ten_thousand_points_take_seconds_and_a_staircase_ends():
    rng = np.random.default_rng(4)
    cells = [(rng.normal(0, 0.01, 833), np.full(833, 0.01)) for _ in range(12)]
    cells[0] = (np.repeat(rng.permutation(167), 5)[:833] * 0.1, np.full(833, 0.01))
    began = time.process_time()
    found = detect(page(cells))
    # 0.2 s where this was written.
    assert time.process_time() - began < 20
    assert {each.series for each in found} == {0} and len(found) <= 42


def test_a_change_is_a_plain_value():
    assert Change._fields == ("series", "kind", "first", "last", "ratio", "low", "high")
