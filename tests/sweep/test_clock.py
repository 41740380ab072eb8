"""The timer on fake sessions of declared durations, so that all is exact; cover of intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fake_clock import MS, FakeClock, FakeSession
from gradrace.machine import steal_ticks, usable_cores
from gradrace.record import Blocks
from gradrace.spec import TimingSpec
from gradrace.statistics.intervals import difference_scale, ratio_scale
from gradrace.statistics.step_times import (
    TICK_NS,
    contended,
    over_launches,
    parts_of_launch,
    step_time,
)
from gradrace.worker.clock import CellTimes, SystemClock, first_call, time_cells
from hypothesis import given, settings
from hypothesis import strategies as st


def timed_by(session: FakeSession, **timing: Any) -> CellTimes:
    """One session timed by itself; what broke it is raised."""
    (found,) = time_cells([session], TimingSpec(**timing), [session.looped], session.clock)
    if isinstance(found, Exception):
        raise found
    return found


def lengths(session: FakeSession, part: str = "step") -> list[int]:
    return [len(steps) for _, what, steps in session.log if what == part]


def test_declared_durations_come_back_exactly():
    clock, log = FakeClock(), []
    fast = FakeSession(clock, 100, compile_ns=5_000, sync_ns=7, log=log, name="fast")
    slow = FakeSession(clock, 300, compile_ns=9_000, sync_ns=7, log=log, name="slow")
    timing = TimingSpec(warmup_steps=10, blocks=4, block_steps=5)
    one, two = time_cells([fast, slow], timing, clock=clock)
    assert isinstance(one, CellTimes) and isinstance(two, CellTimes)
    assert one.first_call_s == pytest.approx(5_107e-9)
    assert two.first_call_s == pytest.approx(9_307e-9)
    assert one.first_call_steps == 1 and one.blocks.part.tolist() == ["step"] * 4
    assert one.blocks.wall_ns.tolist() == [507] * 4 and two.blocks.wall_ns.tolist() == [1507] * 4
    assert one.blocks.cpu_ns.tolist() == [250] * 4
    assert one.blocks.involuntary_switches.tolist() == [1] * 4
    assert one.blocks.steal_ticks.tolist() == [3] * 4 and one.blocks.steps.tolist() == [5] * 4
    assert step_time(two.blocks.steps, two.blocks.wall_ns).p25 == pytest.approx(1507e-9 / 5)
    blocks = [name for name, _, steps in log if steps.start >= 11]
    assert blocks == ["fast", "slow", "slow", "fast"] * 2, "the order over cells rotates"


def test_a_loop_compiles_before_it_is_timed():
    """Its first call is a whole block, and every later one has the same length: one program."""
    session = FakeSession(FakeClock(), 1000, compile_ns=10**9, looped=True)
    timed = timed_by(session, warmup_steps=100, blocks=4, block_steps=25)
    assert lengths(session) == [25] * (1 + 4 + 4) and session.compilations() == 1
    assert timed.first_call_steps == 25 and timed.first_call_s == pytest.approx(1.000025)
    assert timed.blocks.wall_ns.tolist() == [25_000] * 4


def test_a_session_that_steps_one_by_one_compiles_in_its_first_step():
    session = FakeSession(FakeClock(), 1000)
    timed_by(session, warmup_steps=100, blocks=4, block_steps=25)
    assert lengths(session) == [1, 1, 25, 25, 25, 24, 25, 25, 25, 25]


@pytest.mark.parametrize(
    ("step_ms", "looped", "expected"),
    [
        (20, False, [1, 1, 25, 25, 9]),
        (50, False, [1, 1, 10, 10, 10, 10, 10, 9]),
        (499, False, [1] * 21),
        (600, False, [1] * 18),
        (50, True, [25, 25, 25, 25, 10, 10]),
        (600, True, [25, 25, 1, 1]),
    ],
)
def test_slow_steps_make_shorter_blocks_and_warm_up_ends_in_time(step_ms, looped, expected):
    """A block lasts at most half a second, at least a step; warm-up ends at ten seconds' chunk."""
    session = FakeSession(FakeClock(), step_ms * MS, compile_ns=10**9, looped=looped)
    timed = timed_by(session, warmup_steps=60, blocks=4, block_steps=25)
    length = max(1, min(25, 500 // step_ms))
    assert lengths(session) == [*expected, *[length] * 4]
    assert timed.blocks.steps.tolist() == [length] * 4
    assert timed.blocks.wall_ns.tolist() == [length * step_ms * MS] * 4, "no compilation in it"


def test_parts_take_their_turns_among_the_steps_of_the_same_block():
    clock, log = FakeClock(), []
    parts = {"forward": 30, "gradient": 80, "update": 15}
    sessions = [
        FakeSession(clock, 100, part_ns=parts, log=log, name="a"),
        FakeSession(clock, 200, log=log, name="b"),
    ]
    timing = TimingSpec(warmup_steps=8, blocks=5, block_steps=4, breakdown=True)
    one, two = time_cells(sessions, timing, clock=clock)
    assert isinstance(one, CellTimes) and isinstance(two, CellTimes)
    begin = log.index(("a", "step", range(9, 13)))
    turns = [("a", "step"), ("a", "forward"), ("a", "gradient"), ("a", "update"), ("b", "step")]
    for block in range(5):
        taken = log[begin + 5 * block : begin + 5 * block + 5]
        assert [(name, what) for name, what, _ in taken] == turns[block:] + turns[:block]
        assert {steps for _, _, steps in taken} == {range(9 + 4 * block, 13 + 4 * block)}
    assert one.blocks.of("forward").wall_ns.tolist() == [120] * 5
    assert len(one.blocks.of("step").steps) == 5
    found = parts_of_launch(one.blocks.steps, one.blocks.wall_ns, one.blocks.part)
    parts = {"forward": 30e-9, "backward": 50e-9, "optimizer": 15e-9, "remainder": 5e-9}
    assert found == pytest.approx({**parts, "covered": 0.95})
    assert two.blocks.part.tolist() == ["step"] * 5
    assert parts_of_launch(two.blocks.steps, two.blocks.wall_ns, two.blocks.part) == {}


def test_parts_are_warmed_before_anything_is_timed():
    session = FakeSession(FakeClock(), part_ns={"forward": 10}, compile_ns=10**9, looped=True)
    timed = timed_by(session, warmup_steps=12, blocks=4, block_steps=4, breakdown=True)
    assert timed.blocks.of("forward").wall_ns.tolist() == [40] * 4
    assert lengths(session, "forward") == [4] * (3 + 4)
    assert lengths(FakeSession(FakeClock(), part_ns={"forward": 10}), "forward") == []


UNTRAINED = "the weights did not change during the timed steps: nothing was trained"


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        ({"frozen": True}, RuntimeError, UNTRAINED),
        ({"compiles_at": 25}, RuntimeError, "a program was compiled during the timed steps"),
        ({"fails_at": 0}, ValueError, "cannot go on"),
        ({"fails_at": 4}, ValueError, "cannot go on"),
        ({"fails_at": 25}, ValueError, "cannot go on"),
        ({"part_ns": {"forward": "no number"}}, TypeError, ""),
    ],
    ids=["frozen", "compiles", "at once", "warming up", "timed", "probing"],
)
def test_a_broken_session_says_why_and_leaves_the_others(broken, error, message):
    clock = FakeClock()
    sessions = [FakeSession(clock, 100), FakeSession(clock, **broken), FakeSession(clock, 300)]
    timing = TimingSpec(warmup_steps=10, blocks=4, block_steps=5, breakdown=True)
    first, second, third = time_cells(sessions, timing, clock=clock)
    assert isinstance(second, error) and message in str(second)
    assert isinstance(first, CellTimes) and first.blocks.wall_ns.tolist() == [500] * 4
    assert isinstance(third, CellTimes) and third.blocks.wall_ns.tolist() == [1500] * 4


def test_compiling_in_the_warm_up_is_fine():
    session = FakeSession(FakeClock(), compiles_at=5)
    assert timed_by(session, warmup_steps=10, blocks=4, block_steps=5)


@settings(max_examples=150, deadline=None)
@given(
    warmup=st.integers(0, 40),
    blocks=st.integers(1, 8),
    block=st.integers(1, 12),
    looped=st.booleans(),
    step_ms=st.sampled_from([0, 1, 40, 130, 600]),
    breakdown=st.booleans(),
)
def test_a_plan_has_steps_enough_and_nothing_compiles_among_the_timed(
    warmup, blocks, block, looped, step_ms, breakdown
):
    session = FakeSession(
        FakeClock(), step_ms * MS, looped=looped, part_ns={"forward": MS}, compile_ns=10**9
    )
    timing = {"warmup_steps": warmup, "blocks": blocks, "block_steps": block}
    timing["breakdown"] = breakdown
    found = timed_by(session, **timing)
    assert max(steps.stop for _, _, steps in session.log) <= TimingSpec(**timing).total_steps
    steps = found.blocks.of("step")
    assert len(steps.steps) == blocks and len(set(steps.steps.tolist())) == 1
    assert steps.steps[0] <= block
    assert set(found.blocks.part) == ({"step", "forward"} if breakdown else {"step"})
    assert steps.wall_ns.tolist() == [steps.steps[0] * step_ms * MS] * blocks


def test_a_step_that_takes_no_time_makes_whole_blocks():
    timed = timed_by(FakeSession(FakeClock(), 0), warmup_steps=4, blocks=4, block_steps=5)
    assert timed.blocks.steps.tolist() == [5] * 4


def test_the_first_call_counts_its_steps():
    clock = FakeClock()
    assert first_call(FakeSession(clock, 10, compile_ns=90), clock) == pytest.approx(100e-9)
    assert first_call(FakeSession(clock, 10, compile_ns=90), clock, 4) == pytest.approx(130e-9)


def test_the_systems_clock_goes_forward():
    clock = SystemClock()
    before, stolen = clock.read(), clock.steal()
    sum(range(200_000))
    after = clock.read()
    assert after[0] > before[0] and after[1] > before[1] and after[2] >= before[2]
    assert clock.steal() >= stolen and steal_ticks(()) == 0
    assert steal_ticks(usable_cores()) >= steal_ticks(usable_cores()[:1]) >= 0


TWO_CORES = "cpu0 1 2 3 4 5 6 7 30 9 0\ncpu1 1 2 3 4 5 6 7 400 9 0\n"


@pytest.mark.parametrize(
    ("stat", "cores", "expected"),
    [
        (f"cpu  1 2 3 4 5 6 7 800 9 0\n{TWO_CORES}intr 1\n", (0,), 30),
        (f"{TWO_CORES}cpu10 1 2 3 4 5 6 7 9 9 0\n", (0, 1), 430),
        ("cpu0 1 2 3 4\n", (0,), 0),
        (None, (0,), 0),
    ],
    ids=["one core", "two cores", "an old kernel", "no /proc"],
)
def test_stolen_ticks_are_those_of_the_pinned_cores(tmp_path, monkeypatch, stat, cores, expected):
    file = tmp_path / "stat"
    if stat is not None:
        file.write_text(stat)
    monkeypatch.setattr("gradrace.machine.Path", lambda name: file)
    assert steal_ticks(cores) == expected


# Figures


def test_step_time_by_hand():
    time = step_time(np.array([2, 2, 2, 2, 2]), np.array([20, 40, 60, 80, 1000]))
    assert (time.p25, time.median) == (pytest.approx(20e-9), pytest.approx(30e-9))
    assert time.p99 == pytest.approx(1e-9 * (40 + 0.96 * (500 - 40)))


CONTENDED = {
    "busy": ([100] * 4, [3] * 4, [0] * 4, False),
    "waiting by itself": ([80] * 4, [0] * 4, [0] * 4, False),
    "pushed off": ([80] * 4, [1] * 4, [0] * 4, True),
    "half of the blocks": ([80, 80, 99, 99], [1] * 4, [0] * 4, False),
    "starved by the hypervisor": ([80] * 4, [0] * 4, [1, 1, 1, 0], True),
    "a tick": ([100] * 4, [0] * 4, [0, 1, 0, 0], False),
    "much stolen": ([100] * 4, [0] * 4, [1, 1, 1, 0], True),
}


@pytest.mark.parametrize(
    ("cpu", "switches", "ticks", "expected"), CONTENDED.values(), ids=list(CONTENDED)
)
def test_contention_is_told_from_waiting(cpu, switches, ticks, expected):
    """Four blocks of 10 ticks each: one stolen tick is 2.5% of all, three are 7.5%."""
    unit = TICK_NS // 10
    wall = np.full(4, 100) * unit
    assert contended(wall, np.array(cpu) * unit, np.array(switches), np.array(ticks)) is expected


def test_a_geometric_mean_with_a_t_interval_by_hand():
    found = ratio_scale(np.array([1.0, 2.0, 4.0]))
    margin = 4.302652729911275 * math.log(2) / math.sqrt(3)
    low, high = math.exp(math.log(2) - margin), math.exp(math.log(2) + margin)
    assert found[:3] == pytest.approx((2.0, low, high))
    mean = difference_scale(np.array([-1.0, 0.0, 4.0]))
    expected = 1 - 4.302652729911275 * math.sqrt(7 / 3)
    assert mean.estimate == 1.0 and mean.low == pytest.approx(expected)


@pytest.mark.parametrize("launches", [[], [3.0], [3.0, 12.0]])
def test_too_few_launches_have_no_interval(launches):
    found = ratio_scale(np.array(launches))
    assert math.isnan(found.low) and math.isnan(found.high)
    assert found.estimate == pytest.approx([math.nan, 3.0, 6.0][len(launches)], nan_ok=True)


def test_a_difference_that_is_negative_has_a_mean_on_its_own_scale():
    launches = np.array([-1.0, 1.0, 3.0])
    assert over_launches("remainder", launches) == difference_scale(launches)
    ratios = np.array([1.0, 2.0, 4.0])
    assert over_launches("step_p25", ratios) == ratio_scale(ratios)


@pytest.mark.parametrize("missing", ["gradient", "update", "forward"])
def test_what_lacks_one_of_its_figures_is_left_out(missing):
    names = [name for name in ("step", "forward", "gradient", "update") if name != missing]
    found = parts_of_launch(np.ones(len(names)), np.full(len(names), 7), np.array(names))
    kept = {
        "gradient": {"forward", "optimizer"},
        "update": {"forward", "backward"},
        "forward": {"optimizer", "remainder"},
    }
    assert set(found) - {"covered"} == kept[missing]
    assert ("covered" in found) is (missing == "forward")


@pytest.mark.parametrize("launches", [5, 10])
def test_the_interval_over_launches_covers_what_it_says(launches):
    """2000 cells of log-normal launches and blocks: 93 to 97% of intervals hold the truth."""
    rng = np.random.default_rng(7)
    held, true = 0, 250e-6
    for spread in rng.uniform(0.005, 0.3, 2000):
        found = ratio_scale(true * rng.lognormal(0.0, spread, launches))
        held += found.low <= true <= found.high
    assert 0.93 <= held / 2000 <= 0.97


def test_many_blocks_do_not_make_up_for_few_launches():
    """Blocks taken for samples would give an interval that holds the truth only now and then."""
    rng = np.random.default_rng(8)
    held = np.zeros(2)
    for _ in range(300):
        blocks = rng.lognormal(0.0, 0.05, (5, 1)) * rng.lognormal(0.0, 0.02, (5, 30))
        for i, sample in enumerate((blocks.mean(axis=1), blocks.ravel())):
            found = ratio_scale(sample)
            held[i] += found.low <= 1.0 <= found.high
    assert held[0] / 300 > 0.9 > 0.6 > held[1] / 300


def test_blocks_of_one_part():
    parts = np.array(["step", "forward", "step"])
    blocks = Blocks(*(np.arange(3) + i for i in range(5)), part=parts)
    assert blocks.of("forward").wall_ns.tolist() == [2] and blocks.of().steps.tolist() == [0, 2]
