"""Schedules: closed forms, properties, and the libraries' schedules of the same name."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from fake_session import FakeSession
from gradrace.errors import UserError
from gradrace.schedules import SCHEDULES, complete, plateau_factors, reduced, table
from gradrace.spec import ScheduleSpec
from gradrace.suite import expand, make_suite
from hypothesis import given
from hypothesis import strategies as st
from library_schedules import BASE, LOSSES, STEPS
from paths import HELPERS
from tiny import TINY

HALF = math.sqrt(0.5)
HALVED = {"factor": 0.5}
# kind, parameters, steps of the run, and rates by step in units of the base rate.
CASES = [
    ("constant", {}, 10, {0: 1, 9: 1}),
    ("constant", {"warmup": 4}, 10, {0: 0.25, 2: 0.75, 3: 1, 9: 1}),
    ("constant", {"warmup": 0}, 10, {0: 1}),
    ("step", {"every": 3, "factor": 0.5}, 10, {0: 1, 2: 1, 3: 0.5, 5: 0.5, 6: 0.25, 9: 0.125}),
    ("step", {"every": 0.5, "factor": 0.1}, 10, {4: 1, 5: 0.1}),
    ("step", {"every": 3, "factor": 0.5, "warmup": 2}, 10, {0: 0.5, 1: 1, 4: 1, 5: 0.5, 8: 0.25}),
    ("multi_step", {}, 16, {0: 1, 7: 1, 8: 0.1, 11: 0.1, 12: 0.01, 15: 0.01}),
    (
        "multi_step",
        HALVED | {"milestones": (2, 5, 6)},
        8,
        {1: 1, 2: 0.5, 4: 0.5, 5: 0.25, 6: 0.125},
    ),
    ("multi_step", HALVED | {"milestones": (0.9, 3)}, 10, {2: 1, 3: 0.5, 8: 0.5, 9: 0.25}),
    ("exponential", {"every": 10, "factor": 0.5}, 11, {0: 1, 5: HALF, 10: 0.5}),
    ("polynomial", {"power": 2.0}, 10, {0: 1, 5: 0.25, 9: 0.01}),
    ("polynomial", {"power": 2.0, "final_fraction": 0.2}, 10, {0: 1, 5: 0.4}),
    ("polynomial", {}, 10, {0: 1, 5: 0.5**0.9}),
    ("linear", {}, 10, {0: 1, 1: 0.9, 9: 0.1}),
    ("linear", {"final_fraction": 0.5}, 10, {0: 1, 5: 0.75}),
    ("cosine", {}, 10, {0: 1, 5: 0.5, 9: 0.5 * (1 + math.cos(0.9 * math.pi))}),
    ("cosine", {"final_fraction": 0.2}, 10, {0: 1, 5: 0.6}),
    ("cosine_restarts", {"period": 4}, 28, {0: 1, 2: 0.5, 4: 1, 8: 0.5, 12: 1, 20: 0.5}),
    ("cosine_restarts", {"period": 4, "growth": 1.0}, 9, {0: 1, 2: 0.5, 4: 1, 6: 0.5, 8: 1}),
    ("cosine_restarts", {}, 14, {0: 1, 1: 0.5, 2: 1, 4: 0.5, 6: 1, 10: 0.5}),
    ("warmup_cosine", {"warmup": 4}, 12, {0: 0.25, 3: 1, 4: 1, 8: 0.5}),
    ("warmup_cosine", {"warmup": 0.25}, 8, {0: 0.5, 1: 1, 2: 1, 5: 0.5}),
    ("warmup_cosine", {"warmup": 4.4}, 12, {0: 0.25, 3: 1, 4: 1, 8: 0.5}),
    ("one_cycle", {"rise": 5, "final_fraction": 0.0}, 13, {0: 0.04, 2: 0.52, 4: 1, 8: 0.5, 12: 0}),
    ("one_cycle", {"rise": 1}, 3, {0: 1, 2: 4e-6}),
    ("cyclic", {"half_cycle": 2}, 9, {0: 0.25, 1: 0.625, 2: 1, 3: 0.625, 4: 0.25, 6: 1, 8: 0.25}),
    ("cyclic", {"half_cycle": 2, "factor": 0.5}, 9, {2: 1, 4: 0.25, 6: 0.625, 8: 0.25}),
    ("inverse_sqrt", {"warmup": 4}, 16, {0: 0.25, 2: 0.75, 3: 1, 7: HALF, 15: 0.5}),
    ("inverse_sqrt", {"warmup": 0}, 16, {0: 1, 3: 0.5, 15: 0.25}),
    ("wsd", {"warmup": 2, "decay": 4}, 10, {0: 0.5, 1: 1, 5: 1, 6: 1, 7: 0.75, 9: 0.25}),
    ("wsd", {"warmup": 0, "decay": 0.5, "final_fraction": 0.5}, 10, {0: 1, 5: 1, 6: 0.9, 9: 0.6}),
    ("plateau", {}, 10, {0: 1, 9: 1}),
    ("plateau", {"warmup": 2}, 10, {0: 0.5, 1: 1, 9: 1}),
]


def rates_of(kind, params=None, steps=STEPS, base=BASE):
    return table(ScheduleSpec(kind=kind, base_lr=base, params=params or {}), steps)


@pytest.mark.parametrize(("kind", "params", "steps", "points"), CASES)
def test_closed_form(kind, params, steps, points):
    rates = rates_of(kind, params, steps)
    assert rates.dtype == np.float64 and rates.shape == (steps,)
    for step, share in points.items():
        assert rates[step] == pytest.approx(0.1 * share, rel=1e-14), step


def test_every_kind_has_a_closed_form_a_source_and_ranges():
    assert {kind for kind, *_ in CASES} == set(SCHEDULES)
    for schedule in SCHEDULES.values():
        assert schedule.source and schedule.summary
        complete(ScheduleSpec(kind=schedule.name, base_lr=0.1, params=schedule.complete({})))


LENGTHS = st.one_of(st.floats(0.001, 0.999), st.integers(1, 700))


@pytest.mark.parametrize("kind", SCHEDULES)
@given(steps=st.integers(1, 500), base=st.floats(1e-6, 10))
def test_rates_stay_positive_and_below_the_base(kind, steps, base):
    rates = rates_of(kind, {}, steps, base)
    assert (rates > 0).all() and (rates <= base * (1 + 1e-12)).all()


@pytest.mark.parametrize("kind", SCHEDULES)
@given(steps=st.integers(2, 300), warmup=LENGTHS)
def test_any_kind_warms_up_from_above_zero(kind, steps, warmup):
    rates = rates_of(kind, {"warmup": warmup}, steps)
    rise = max(1, round(warmup * steps if warmup < 1 else warmup))
    assert (rates > 0).all() and (rates <= BASE * (1 + 1e-12)).all()
    risen = rates[: min(rise, steps)]
    # Equal steps, the first from 0 to the first rate; then the schedule itself over the rest.
    assert np.allclose(np.diff(risen), risen[0], rtol=1e-9)
    if rise < steps and not SCHEDULES[kind].own_warmup:
        own = SCHEDULES[kind].complete({}) | {"warmup": 0}
        after = rates_of(kind, own, steps - rise)
        assert np.allclose(rates[rise:], after, rtol=1e-14)


FALLING = [
    "constant",
    "step",
    "multi_step",
    "exponential",
    "polynomial",
    "linear",
    "cosine",
    "plateau",
]


@pytest.mark.parametrize("kind", FALLING)
@given(steps=st.integers(1, 300), length=LENGTHS, factor=st.floats(0.01, 1.0))
def test_falling_kinds_never_rise_and_start_at_the_base(kind, steps, length, factor):
    given_ = {"every": length, "milestones": (length,), "factor": factor, "final_fraction": factor}
    rates = rates_of(kind, {k: v for k, v in given_.items() if k in SCHEDULES[kind].params}, steps)
    assert rates[0] == BASE or kind == "multi_step"
    assert (np.diff(rates) <= 1e-12).all()


@given(
    steps=st.integers(2, 300), rise=LENGTHS, start=st.floats(0.01, 1.0), final=st.floats(0.0, 1.0)
)
def test_one_cycle_rises_once_and_falls_once(steps, rise, start, final):
    params = {"rise": rise, "start_fraction": start, "final_fraction": final}
    rates = rates_of("one_cycle", params, steps)
    top = int(np.argmax(rates))
    assert rates[0] == pytest.approx(BASE * start) or top == 0
    assert (np.diff(rates[: top + 1]) >= -1e-12).all() and (np.diff(rates[top:]) <= 1e-12).all()


@given(steps=st.integers(1, 300), half=LENGTHS, low=st.floats(0.01, 1.0))
def test_cyclic_stays_between_its_bounds_and_repeats(steps, half, low):
    rates = rates_of("cyclic", {"half_cycle": half, "low_fraction": low}, steps)
    assert (rates >= BASE * low * (1 - 1e-12)).all() and (rates <= BASE * (1 + 1e-12)).all()
    if half >= 1:
        assert np.allclose(rates[2 * half :], rates[: -2 * half] if 2 * half < steps else [])
    else:
        cycles = [2 * k * half * steps for k in range(1, steps) if half * steps > 1]
        lowest = [math.floor(at + 0.5) for at in cycles]
        assert rates[[at for at in lowest if at < steps]] == pytest.approx(BASE * low)


@given(steps=st.integers(1, 300), period=st.integers(2, 60), growth=st.integers(1, 3))
def test_restarts_return_to_the_base_when_a_cycle_starts_and_only_then(steps, period, growth):
    rates = rates_of("cosine_restarts", {"period": period, "growth": growth}, steps)
    starts, length = [0], period
    while starts[-1] + length < steps:
        starts.append(starts[-1] + length)
        length *= growth
    assert np.flatnonzero(rates == BASE).tolist() == starts
    rises = np.flatnonzero(np.diff(rates) > 0) + 1
    assert set(rises) <= set(starts)


# Edges, at every length


EVERY_LENGTH = [*range(1, 421), *range(421, 2100, 7), 2145, 3510, 9973]


def cycles_of(rates):
    """Where the rate rises: the first steps of cycles, 0 among them."""
    return [0, *(np.flatnonzero(np.diff(rates) > 1e-12) + 1)]


def test_restarts_fill_the_run_at_every_length():
    """The last restart is at three sevenths; the run ends at the lowest rate of its last cycle."""
    for steps in EVERY_LENGTH:
        rates = rates_of("cosine_restarts", {}, steps)
        last = cycles_of(rates)[-1]
        assert rates[-1] == rates[last:].min(), steps
        if steps >= 14:
            restarts = [math.floor(share * steps / 7 + 0.5) for share in (0, 1, 3)]
            assert cycles_of(rates) == restarts, steps
            assert rates[-1] < 0.12 * BASE and (steps < 100 or rates[-1] < 2e-3 * BASE), steps


@given(
    steps=st.integers(2, 2500),
    share=st.floats(0.001, 0.999),
    growth=st.floats(1.0, 4.0),
    warmup=st.sampled_from([0, 0.1, 7]),
)
def test_no_run_ends_soon_after_a_restart(steps, share, growth, warmup):
    """A share: the last cycle has at least half its nominal length, and ends with the run."""
    params = {"period": share, "growth": growth, "warmup": warmup}
    rates = rates_of("cosine_restarts", params, steps)
    rise = round(warmup * steps) if warmup < 1 else warmup
    rates = rates[max(1, rise) if warmup else 0 :]
    if len(rates) < 2:
        return
    last = len(rates) - int(np.flatnonzero(np.isclose(rates, BASE, rtol=1e-12))[-1])
    assert last >= 2
    assert last >= min(0.5 * share * len(rates), len(rates)) - 1
    assert (np.diff(rates[-last:]) < 0).all()
    end = BASE * 0.5 * (1 + math.cos(math.pi * (1 - 1 / last)))
    assert rates[-1] == pytest.approx(end, abs=1e-15)


@pytest.mark.parametrize(
    ("period", "growth", "starts"),
    [
        (0.25, 1.0, [0, 90, 180, 270]),
        (0.1, 1.0, list(range(0, 360, 36))),
        (1 / 3, 2.0, [0, 120]),
        (0.3, 1.0, [0, 108, 216]),
        (0.2, 2.0, [0, 72, 216]),
        (0.142, 2.0, [0, 51, 153]),
        (0.9, 2.0, [0]),
        (51, 2.0, [0, 51, 153, 357]),
    ],
)
def test_a_share_places_its_restarts_and_steps_are_taken_literally(period, growth, starts):
    rates = rates_of("cosine_restarts", {"period": period, "growth": growth}, 360)
    assert cycles_of(rates) == starts


def test_step_reduces_twice_by_default_at_every_length():
    for steps in EVERY_LENGTH:
        rates = rates_of("step", {}, steps)
        assert len(np.unique(rates)) == min(steps, 3), steps
        thirds = rates_of("multi_step", {"milestones": (1 / 3, 2 / 3)}, steps)
        assert np.array_equal(rates, thirds) or steps < 4


@given(steps=st.integers(1, 2500), share=st.floats(0.004, 0.999))
def test_step_reduces_as_often_as_its_share_says(steps, share):
    rates = rates_of("step", {"every": share, "factor": 0.9}, steps)
    reductions = round(math.log(rates[-1] / BASE, 0.9))
    assert reductions == (math.ceil(1 / share - 1e-9) - 1 if share * steps > 1 else steps - 1)
    firsts = np.flatnonzero(np.diff(rates)) + 1
    if share * steps > 2:
        assert np.abs(firsts - share * steps * np.arange(1, len(firsts) + 1)).max(initial=0) <= 1.0


@given(steps=st.integers(2, 2500), share=st.floats(0.0001, 0.9999))
def test_a_milestone_of_a_share_is_within_the_run(steps, share):
    rates = rates_of("multi_step", {"milestones": (share,), "factor": 0.5}, steps)
    assert (rates[0], rates[-1]) == (BASE, BASE / 2)


def test_exponential_takes_its_share_without_rounding():
    for steps in EVERY_LENGTH[3:]:
        last = BASE * 0.3 ** (3 * (steps - 1) / steps)
        assert rates_of("exponential", {}, steps)[-1] == pytest.approx(last), steps


def test_one_cycle_ends_at_its_final_rate_and_peaks_with_its_rise():
    for steps in EVERY_LENGTH:
        rates = rates_of("one_cycle", {}, steps)
        assert rates[-1] == pytest.approx(BASE * 4e-6), steps
        if steps >= 10:
            assert abs(int(rates.argmax()) - (0.3 * steps - 1)) < 1
            assert rates[0] == pytest.approx(0.04 * BASE)
        if steps % 10 == 0:
            assert rates[3 * steps // 10 - 1] == pytest.approx(BASE), steps


def test_cyclic_fills_the_run_with_whole_triangles():
    """Eight halves: peaks at the base rate; the run ends falling, a step above the lowest rate."""
    for steps in EVERY_LENGTH:
        if steps >= 16:
            rates = rates_of("cyclic", {}, steps)
            assert np.isclose(rates, BASE).sum() == 4
            assert np.isclose(rates, BASE / 4).sum() == 4, steps
            assert rates[-2] > rates[-1]
            assert rates[-1] < BASE * (0.25 + 0.75 / (steps // 8) * 1.0001), steps


@pytest.mark.parametrize("kind", ["polynomial", "linear", "cosine", "warmup_cosine", "wsd"])
def test_falling_to_the_end_is_one_update_short_of_it(kind):
    for steps in EVERY_LENGTH[10:]:
        rates = rates_of(kind, {}, steps)
        assert rates[-1] == rates.min() or kind in ("warmup_cosine", "wsd"), steps
        assert rates[-1] == pytest.approx(float(table_end(kind, steps)), rel=1e-9), steps


def table_end(kind, steps):
    """The last rate in closed form: one step before the end, where the rate would be 0."""
    rest = steps - round(0.1 * steps) if kind == "warmup_cosine" else steps
    if kind == "wsd":
        return BASE / round(0.2 * steps)
    if kind in ("cosine", "warmup_cosine"):
        return BASE * (1 + math.cos(math.pi * (rest - 1) / rest)) / 2
    return BASE * (1 / steps) ** (0.9 if kind == "polynomial" else 1.0)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_last_step_of_a_warm_up_and_the_first_after_it_have_the_first_rate(kind):
    for steps in (3, 10, 99, 360, 500):
        for warmup in (1, 0.1, 0.34):
            rise = max(1, round(warmup * steps if warmup < 1 else warmup))
            rates = rates_of(kind, {"warmup": warmup}, steps)
            if kind == "inverse_sqrt":
                assert rates[rise - 1] == BASE > rates[rise]
            else:
                assert rates[rise - 1] == pytest.approx(rates[rise]), (steps, warmup)


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("cosin", {}, "did you mean 'cosine'"),
        ("cosine", {"final": 0.1}, "no parameter 'final'.*known: final_fraction"),
        ("cosine", {"final_fraction": 2.0}, "outside"),
        ("step", {"every": -1.0}, "outside"),
        ("step", {"every": (1.0, 2.0)}, "every takes one number"),
        ("multi_step", {"milestones": 3.0}, "milestones takes a list"),
        ("multi_step", {"milestones": ()}, "milestones takes a list"),
        ("multi_step", {"milestones": (30.0, 20.0)}, "must increase"),
        ("multi_step", {"milestones": (0.5, -0.5)}, "outside"),
        ("plateau", {"patience": 1.5}, "whole"),
        ("plateau", {"patience": 0.0}, "outside"),
        ("constant", {"warmup": -0.1}, "outside"),
        ("cosine_restarts", {"growth": 0.5}, "outside"),
        ("cyclic", {"low_fraction": 0.0}, "outside"),
    ],
)
def test_wrong_parameters_are_named(kind, params, message):
    with pytest.raises(ValueError, match=message):
        complete(ScheduleSpec(kind=kind, base_lr=0.1, params=params))


def test_milestones_travel_as_json_and_are_told_apart():
    a, b = (
        ScheduleSpec(kind="multi_step", base_lr=0.1, params={"milestones": milestones})
        for milestones in ((2, 5), (2, 6))
    )
    assert ScheduleSpec.model_validate(json.loads(json.dumps(a.to_json()))) == a
    assert a.to_json() != b.to_json()


def test_a_suite_lists_milestones_and_runs_are_told_apart_by_them(registry):
    def runs_of(*milestones):
        schedules = [{"kind": "multi_step", "params": {"milestones": m}} for m in milestones]
        alone = {"tasks": ["wine_mlp"], "optimizers": ["sgd"], "seeds": 1, "timing": False}
        return expand(make_suite("s", {**TINY, **alone, "schedules": schedules}), registry)

    runs = runs_of([0.5], [2, 5], [2, 6])
    assert [run.schedule.params["milestones"] for run in runs] == [(0.5,), (2, 5), (2, 6)]
    assert "multi_step(milestones=2+5,factor=0.1)-lr0.1" in runs[1].id
    with pytest.raises(UserError, match="schedules: schedule multi_step: milestones must increase"):
        runs_of([5, 2])


def test_a_warmup_of_zero_is_the_schedule_without():
    with_zero = complete(ScheduleSpec(kind="cosine", base_lr=0.1, params={"warmup": 0.0}))
    assert with_zero == complete(ScheduleSpec(kind="cosine", base_lr=0.1))


# Reduce on plateau


def plateau(**params):
    return ScheduleSpec(kind="plateau", base_lr=0.1, params=params)


HALVES = {"factor": 0.5, "patience": 2}
TENTHS = {"factor": 0.1, "patience": 1}


@pytest.mark.parametrize(
    ("params", "losses", "factors"),
    [
        (HALVES, [1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8], [1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"factor": 0.5, "patience": 1}, [1, 1, 1, 1], [1, 0.5, 0.25, 0.125]),
        (HALVES, [1, 2, 0.9, 2, 0.8, 2], [1] * 6),
        (HALVES | {"min_delta": 0.05}, [1, 0.96, 0.94, 0.94, 0.9], [1, 1, 1, 1, 0.5]),
        (TENTHS | {"floor_fraction": 0.05}, [1, 1, 1, 1], [1, 0.1, 0.05, 0.05]),
        (TENTHS | {"floor_fraction": 1.0}, [1, 1, 1], [1, 1, 1]),
    ],
)
def test_plateau_by_hand(params, losses, factors):
    found = plateau_factors(plateau(**params), np.array(losses, dtype=float))
    assert found == pytest.approx(factors)


@given(
    losses=st.lists(st.floats(0.1, 10), min_size=1, max_size=60),
    patience=st.integers(1, 5),
    factor=st.floats(0.1, 1),
)
def test_plateau_only_falls_and_never_below_its_floor(losses, patience, factor):
    spec = plateau(patience=patience, factor=factor, floor_fraction=0.2)
    factors = plateau_factors(spec, np.array(losses))
    assert factors[0] == 1
    assert (np.diff(factors) <= 0).all()
    assert (factors >= min(0.2, factors[0])).all()


def test_the_past_is_kept_and_the_warmup_goes_on():
    spec = plateau(factor=0.5, patience=1, warmup=4)
    before = table(spec, 8)
    after = reduced(spec, before, np.array([1.0, 1.0]), step=2)
    assert after == pytest.approx([0.025, 0.05, 0.0375, 0.05, 0.05, 0.05, 0.05, 0.05])
    assert np.array_equal(before, table(spec, 8)), "the old table is not changed in place"
    constant = ScheduleSpec(kind="constant", base_lr=0.1)
    assert reduced(constant, before, np.array([1.0, 1.0]), step=2) is before


class Recording(FakeSession):
    """Notes the tables it is handed, and when."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.tables = []

    def set_learning_rates(self, rates):
        self.tables.append((self._taken, rates))


def test_the_loop_drives_the_rates_by_the_validation_loss(make_run):
    from gradrace.adapter import Metrics
    from gradrace.worker.train import train

    task = make_run().task.model_copy(update={"steps": 60, "eval_every": 10})
    session = Recording(np.ones(60))
    session.validation = lambda step: Metrics({0: 1.0, 10: 0.5}.get(step, 0.6), 0.1)
    pieces = []
    schedule = plateau(factor=0.5, patience=2)
    result = train(session, task, lambda step, piece: pieces.append(piece), schedule)
    assert [step for step, _ in session.tables] == [30, 50]
    applied = [0.1] * 30 + [0.05] * 20 + [0.025] * 10
    assert result.curve.learning_rates == pytest.approx(applied)
    assert session.tables[-1][1] == pytest.approx(applied)
    assert np.concatenate([piece.learning_rates for piece in pieces]) == pytest.approx(applied)


def test_the_loop_leaves_every_other_schedule_to_the_plan(make_run):
    from gradrace.worker.train import train

    task = make_run().task.model_copy(update={"steps": 40, "eval_every": 10})
    session = Recording(np.ones(40))
    curve = train(session, task, schedule=ScheduleSpec(kind="cosine", base_lr=0.1)).curve
    assert session.tables == [] and curve.learning_rates.size == 0


# The libraries' own

SAME_NAME = {
    "step": ("step", {"every": 10, "factor": 0.5}),
    "multi_step": ("multi_step", {"milestones": (10, 25), "factor": 0.1}),
    "exponential": ("exponential", {"every": 10, "factor": 0.5}),
    "polynomial": ("polynomial", {"power": 2.0}),
    "linear": ("linear", {"final_fraction": 0.1}),
    "cosine": ("cosine", {}),
    "cosine_restarts": ("cosine_restarts", {"period": 5, "growth": 2.0}),
    # torch's LinearLR reaches the base after `total_iters`, ours with the warm-up's last update.
    "warmup": ("constant", {"warmup": 8}),
    "warmup_cosine": ("warmup_cosine", {"warmup": 8}),
    "one_cycle": ("one_cycle", {}),
    "cyclic": ("cyclic", {"half_cycle": 5}),
    "cyclic2": ("cyclic", {"half_cycle": 5, "factor": 0.5}),
}
# Keras computes in float32 even under floatx("float64"), and cosines cancel near their end.
TOLERANCE = {"torch": 3e-15, "jax": 3e-15, "tensorflow": 2e-5}
LATE = {"tensorflow": {"multi_step", "warmup_cosine"}, "jax": {"warmup_cosine", "one_cycle"}}
NEEDS = {"torch": "torch", "tensorflow": "keras", "jax": "optax"}


@cache
def library(name: str, x64: str = "1") -> dict[str, np.ndarray]:
    """The library's tables, computed in a process of its own; skips if it is not installed."""
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    env = os.environ | {"JAX_ENABLE_X64": x64, "JAX_PLATFORMS": "cpu"}
    env |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(HELPERS / "library_schedules.py"), name]
    said = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    assert said.returncode == 0, said.stderr
    tables = json.loads(said.stdout.splitlines()[-1])
    return {key: np.array(values) for key, values in tables.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_ours_equal_the_librarys_of_the_same_name(name):
    compared = set()
    for key, theirs in library(name).items():
        if key in SAME_NAME and key not in LATE.get(name, ()):
            ours = rates_of(*SAME_NAME[key])
            assert theirs == pytest.approx(ours, rel=TOLERANCE[name]), f"{name} {key}"
            compared.add(key)
    assert len(compared) >= {"torch": 11, "tensorflow": 6, "jax": 7}[name]


@pytest.mark.slow
def test_one_cycle_is_torchs_at_every_length():
    for key, theirs in library("torch").items():
        if key.startswith("one_cycle_"):
            share = float(key.removeprefix("one_cycle_").split("_")[0])
            ours = rates_of("one_cycle", {"rise": share}, len(theirs))
            assert ours == pytest.approx(theirs, rel=1e-12), key


@pytest.mark.slow
def test_quirk_optax_peaks_one_update_later_and_does_not_reach_its_final_rate():
    theirs, ours = library("jax")["one_cycle"], rates_of("one_cycle")
    assert (int(theirs.argmax()), int(ours.argmax())) == (12, 11)
    assert theirs[-1] > 100 * ours[-1] and ours[-1] == pytest.approx(BASE * 4e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_plateau_reduces_when_the_libraries_do(name):
    ours = BASE * plateau_factors(plateau(factor=0.5, patience=2), np.array(LOSSES))
    assert len(set(ours)) > 2
    tolerance = 1e-6 if name == "tensorflow" else 1e-15
    assert library(name)["plateau"] == pytest.approx(ours, rel=tolerance)


@pytest.mark.slow
def test_quirk_keras_keeps_the_old_rate_at_the_boundary():
    theirs, ours = library("tensorflow")["multi_step"], rates_of(*SAME_NAME["multi_step"])
    assert np.flatnonzero(~np.isclose(theirs, ours, rtol=1e-5)).tolist() == [10, 25]
    assert theirs[1:] == pytest.approx(ours[:-1], rel=1e-6), "the same, one update late"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensorflow", "jax"])
def test_quirk_warm_ups_of_keras_and_optax_start_at_zero(name):
    theirs, ours = library(name)["warmup_cosine"], rates_of(*SAME_NAME["warmup_cosine"])
    assert theirs[0] == 0 and ours[0] == BASE / 8
    assert theirs[1:9] == pytest.approx(ours[:8], rel=1e-6), "the same rise, one update late"
    assert theirs[8:] == pytest.approx(ours[8:], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "x64", "low", "high"),
    [("tensorflow", "1", 1e-3, 1e-2), ("jax", "0", 1e-3, 1e-2), ("jax", "1", 0, 1e-12)],
)
def test_quirk_a_cosine_in_float32_is_off_by_parts_in_a_thousand(name, x64, low, high):
    ours = rates_of("cosine", {}, 1000)
    off = np.abs(library(name, x64)["cosine_1000"] - ours) / ours
    assert low <= off.max() <= high
