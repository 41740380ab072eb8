"""Schedules against their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradrace.schedules import SCHEDULES, complete, table
from gradrace.spec import ScheduleSpec
from hypothesis import given
from hypothesis import strategies as st

CASES = [
    ("constant", {}, 10, [(0, 0.1), (9, 0.1)]),
    ("step", {"every": 3, "factor": 0.5}, 10, [(0, 0.1), (2, 0.1), (3, 0.05), (5, 0.05), (6, 0.025), (9, 0.0125)]),
    ("step", {"every": 0.5, "factor": 0.1}, 10, [(4, 0.1), (5, 0.01)]),
    ("exponential", {"every": 10, "factor": 0.5}, 11, [(0, 0.1), (5, 0.1 * 0.5**0.5), (10, 0.05)]),
    ("cosine", {}, 10, [(0, 0.1), (5, 0.05), (9, 0.05 * (1 + math.cos(0.9 * math.pi)))]),
    ("cosine", {"final_fraction": 0.2}, 10, [(0, 0.1), (5, 0.06)]),
    ("warmup_cosine", {"warmup": 4}, 12, [(0, 0.025), (3, 0.1), (4, 0.1), (8, 0.05)]),
    ("warmup_cosine", {"warmup": 0.25}, 8, [(0, 0.05), (1, 0.1), (2, 0.1), (5, 0.05)]),
]


@pytest.mark.parametrize(("kind", "params", "steps", "points"), CASES)
def test_closed_form(kind, params, steps, points):
    rates = table(ScheduleSpec(kind=kind, base_lr=0.1, params=params), steps)
    assert rates.dtype == np.float64 and rates.shape == (steps,)
    for step, rate in points:
        assert rates[step] == pytest.approx(rate, rel=1e-14)


@pytest.mark.parametrize("kind", SCHEDULES)
@given(steps=st.integers(1, 500), base=st.floats(1e-6, 10))
def test_rates_stay_positive_and_below_the_base(kind, steps, base):
    rates = table(ScheduleSpec(kind=kind, base_lr=base), steps)
    assert (rates > 0).all() and (rates <= base * (1 + 1e-12)).all()


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("cosin", {}, "did you mean 'cosine'"),
        ("cosine", {"final": 0.1}, "no parameter 'final'.*known: final_fraction"),
        ("cosine", {"final_fraction": 2.0}, "outside"),
        ("step", {"every": -1.0}, "outside"),
    ],
)
def test_what_is_wrong_is_named(kind, params, message):
    with pytest.raises(ValueError, match=message):
        complete(ScheduleSpec(kind=kind, base_lr=0.1, params=params))
