"""Profiles made by hand: which operations are matched, what is a cause, and in which order."""

from __future__ import annotations

import pytest
from gradrace.paired import PairVerdict
from gradrace.why import CellChange, CountPair, Op, Profile, text
from gradrace.why.align import OUTSIDE, aligned, counts
from gradrace.why.causes import causes, size_text
from hypothesis import given
from hypothesis import strategies as st


def op(name, seconds, part="forward", calls=1.0, **more):
    return Op(name=name, part=part, calls=calls, host_s=seconds, **more)


def profile(*ops, wall_s=0.0, **known):
    return Profile(steps=20, ops=ops, wall_s=wall_s, counts=known)


def explain(a, b, total=None):
    """The changes and causes of one launch of each side."""
    changes = aligned([a], [b], grouped=False)
    whole = sum(change.change_s for change in changes) if total is None else total
    return changes, causes(changes, counts([a], [b]), whole)


def test_an_operation_is_matched_by_part_and_name():
    a = [profile(op("mm", 1e-3), op("mm", 2e-3, "backward"), op("relu", 1e-4))] * 3
    b = [profile(op("mm", 1e-3), op("mm", 5e-3, "backward"), op("relu", 2e-4))] * 3
    changes = aligned(a, b)
    told = [(c.part, c.a, c.b, round(c.change_s, 9), c.clear) for c in changes]
    assert told[0] == ("backward", ("mm",), ("mm",), 3e-3, True)
    assert told[1][:2] == ("forward", ("relu",)) and len(told) == 3
    assert changes[0].share == pytest.approx(3.0 / 3.1) and changes[2].share is None


def test_renamed_operations_of_a_part_are_one_change_and_new_ones_stand_alone():
    a = profile(op("fused", 1e-3, "optimizer"), op("mm", 1e-3))
    ops = [op("mul", 3e-3, "optimizer"), op("add", 2e-3, "optimizer"), op("norm", 1e-3, "backward")]
    changes = aligned([a], [profile(op("mm", 1e-3), *ops)])
    assert (changes[0].a, changes[0].b) == (("fused",), ("mul", "add"))
    assert changes[0].change_s == pytest.approx(4e-3) and changes[0].b_calls == 2.0
    assert (changes[1].a, changes[1].b, changes[1].low_s) == ((), ("norm",), None)


def test_changes_that_may_be_noise_come_last():
    a = [profile(op("steady", 1e-3), op("shaky", 1e-3))] * 4
    b = [profile(op("steady", 2e-3), op("shaky", s)) for s in (1e-3, 9e-3, 8e-3, 1e-4)]
    changes = aligned(a, b)
    assert [(c.a[0], c.clear) for c in changes] == [("steady", True), ("shaky", False)]
    assert changes[0].change_s < changes[1].change_s


def test_one_disturbed_launch_does_not_hide_what_all_launches_show():
    a = [profile(op("add", 1e-5), op("copy", 1e-5))] * 4
    b = [profile(op("add", s), op("copy", 2e-5)) for s in (1e-3, 1.1e-3, 1e-3, 9e-3)]
    (largest, _) = aligned(a, b)
    assert largest.a == ("add",) and largest.clear
    assert (largest.low_s, largest.high_s) == pytest.approx((9.9e-4, 8.99e-3))


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (1e-3, "mostly add of the forward: +1000.0 µs a step"),
        # Less than four times what the copies explain.
        (1e-4, "B copies 2 arrays a step, instead of 1"),
    ],
)
def test_the_headline_names_one_operation_if_it_is_nearly_all(added, said):
    a = profile(op("add", 1e-5), op("aten::copy_", 1e-5), copies=1.0)
    b = profile(op("add", 1e-5 + added), op("aten::copy_", 6e-5, calls=2.0), copies=2.0)
    changes, found = explain(a, b)
    verdict = PairVerdict(cell="c", a="a", b="b", decision="ok", a_value=1e-4, b_value=2e-4)
    cell = CellChange(verdict=verdict, changes=changes, causes=found)
    assert text.headline(cell).endswith(said)


def test_the_rest_of_a_step_is_an_operation_and_device_time_counts_if_it_changed_more():
    a = profile(op("mm", 1e-3, device_s=1e-3), wall_s=5e-3)
    b = profile(op("mm", 1.1e-3, device_s=4e-3), wall_s=9e-3)
    changes = {c.a[0]: c for c in aligned([a], [b])}
    assert changes["mm"].on == "device" and changes["mm"].change_s == pytest.approx(3e-3)
    assert changes[OUTSIDE].change_s == pytest.approx(3.9e-3)
    assert aligned([], []) == () == aligned([profile()], [profile()])


names = st.sampled_from(["mm", "add", "mul", "copy"])
ops = st.lists(st.builds(op, names, st.floats(0, 1), st.sampled_from(["forward", ""])), max_size=6)


@given(ops, ops)
def test_no_time_is_lost_and_sides_that_swap_mirror_the_changes(a, b):
    changes = aligned([profile(*a)], [profile(*b)])
    mirrored = aligned([profile(*b)], [profile(*a)])
    whole = sum(each.host_s for each in b) - sum(each.host_s for each in a)
    assert sum(c.change_s for c in changes) == pytest.approx(whole, abs=1e-9)
    assert sorted(c.change_s for c in changes) == pytest.approx(
        sorted(-c.change_s for c in mirrored)
    )


BASE = {"synchronisations": 0.0, "compilations": 0.0, "copies": 2.0, "copied_bytes": 100.0}
MM = op("mm", 1e-3)
LOOP = [op(name, 1e-4, "optimizer", 4.0) for name in ("mul", "add", "div")]


@pytest.mark.parametrize(
    "a, b, kind, says",
    [
        (
            profile(MM, **BASE),
            profile(
                *(MM, op("aten::item", 1e-6, source="mine.py:12"), op("isfinite", 9e-4)),
                **BASE | {"synchronisations": 1.0, "copies": 3.0},
            ),
            "synchronisation",
            "B waits for a value of the device 1 times a step (at mine.py:12), instead of 0",
        ),
        (
            profile(MM, **BASE),
            profile(MM, **BASE | {"compilations": 0.1}, wall_s=9e-3),
            "compilation",
            "B compiles a program every 10 steps while it trains, the other never does",
        ),
        (
            profile(MM, op("fused", 1e-4, "optimizer"), **BASE),
            profile(MM, *LOOP, **BASE | {"synchronisations": 4.0}),
            "unfused update",
            "B updates the weights by 12 operations a step, instead of 1 (fused): it is not fused",
        ),
        (
            profile(MM, op("Mul", 1e-4, "optimizer", 9.0), programs=1.0, **BASE),
            profile(MM, op("dispatch Mul", 1e-3, "optimizer", 9.0), programs=10.0, **BASE),
            "unfused update",
            "B updates the weights by 10 calls from Python a step, instead of 1: it is not fused",
        ),
        (
            profile(MM, op("mm", 1e-4, "optimizer"), allocations=1.0, **BASE),
            profile(
                *(MM, op("mm", 1e-4, "optimizer"), op("aten::copy_", 1e-5), op("empty", 2e-5)),
                **BASE | {"copies": 3.0, "copied_bytes": 8292.0, "allocations": 2.0},
            ),
            "copy",
            "B copies 3 arrays a step (8.19 kB more), instead of 2",
        ),
        (
            profile(MM, graph_breaks=0.0),
            profile(MM, graph_breaks=2.0),
            "graph break",
            "B's compiled program has 2 graph breaks, instead of 0",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) and " " not in given[:6] else "",
)
def test_a_cause_is_named_first_on_either_side(a, b, kind, says):
    _, found = explain(a, b)
    assert (found[0].kind, found[0].side, found[0].says) == (kind, "B", says)
    _, mirrored = explain(b, a, -1e-3)
    assert (mirrored[0].kind, mirrored[0].side) == (kind, "A")
    assert mirrored[0].says == "A" + says[1:]


@pytest.mark.parametrize(
    "a, b",
    [
        (profile(MM, **BASE), profile(MM, **BASE)),
        # Once in the whole profile, by chance.
        (profile(MM, **BASE), profile(MM, **BASE | {"compilations": 0.01})),
        # Work that was added to the update is no loss of fusion.
        (
            profile(MM, op("fused", 1e-4, "optimizer", 10.0)),
            profile(MM, op("fused", 1e-4, "optimizer", 10.0), op("norm", 1.0, "optimizer", 20.0)),
        ),
    ],
)
def test_no_cause_without_a_change(a, b):
    assert explain(a, b)[1] == ()


def test_causes_of_the_slower_side_come_first():
    a = profile(MM, op("aten::item", 1e-3), **BASE | {"synchronisations": 1.0})
    b = profile(MM, op("aten::copy_", 1e-5), **BASE | {"copies": 4.0})
    assert [c.kind for c in explain(a, b, 1e-4)[1]] == ["copy", "synchronisation"]
    assert [c.kind for c in explain(a, b, -1e-4)[1]] == ["synchronisation", "copy"]


def verdict(**figures):
    return PairVerdict(cell="mlp", a="a", b="b", decision="regression", **figures)


def test_the_paired_blocks_say_how_much_it_changed_if_they_could():
    blocks = {"a_step_s": 1.0, "b_step_s": 3.0}
    assert CellChange(verdict=verdict(a_value=1.0, b_value=1.5), **blocks).total_s == 0.5
    assert CellChange(verdict=verdict(), **blocks).total_s == 2.0
    assert CellChange(verdict=verdict()).total_s == 0.0
    said = text.change_text(CellChange(verdict=verdict(ratio=1.125, low=1.1, high=1.15)))
    assert said == "a step takes 12.5% longer in B (between +10.0% and +15.0%)"
    bare = CellChange(verdict=verdict(), launches=2, a_step_s=2.0, b_step_s=1.0)
    assert text.change_text(bare) == (
        "a step takes 50.0% less time in B, in 2 launches without an interval"
    )
    broken = CellChange(verdict=verdict(reason="B: the process died"), notes=("it died",))
    assert text.change_text(broken) == "B: the process died" and text.cautions(broken)


def test_figures_for_people():
    assert [size_text(n) for n in (12, 8192, 2.5e6, 3e9)] == [
        "12 bytes",
        "8.19 kB",
        "2.5 MB",
        "3 GB",
    ]
    row = text.count_row(CountPair(name="copied_bytes", a=None, b=8192.0))
    assert row == {"count": "copied bytes a step", "a": "not known", "b": "8.19 kB"}
