"""Stored results side by side: made-up frames, each with one difference, and the exit code."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gradrace.errors import ExitCode, UserError
from gradrace.machine.identity import Identity
from gradrace.results.columns import CELL
from gradrace.results.compare import Comparison, compare
from hypothesis import given
from hypothesis import strategies as st

NAN, INF = math.nan, math.inf
LOSS, STEPS, TIME = "final_validation_loss", "steps_to_target", "step_p25_s"


def on(processor: str, host: str = "", **more: Any) -> Identity:
    usual = {"logical_cores": 2, "memory_gib": 8, "system": "Linux 6.1", "gpu": ""}
    return Identity(host, processor, **(usual | more))


def frames(*runs: dict[str, Any]) -> Any:
    """One row a run; fields not given are those of a run that ended well."""
    base: dict[str, Any] = dict.fromkeys(CELL, "x") | {"variation": "", "schedule_params": ""}
    base |= {"learning_rate": 0.1, "measure": "convergence", "launch": 0, "seed": 0, "steps": 360}
    base |= {
        "where": on("X"),
        "contended": 0,
        "status": "ok",
        TIME: NAN,
        "peak_bytes": NAN,
        LOSS: 1.0,
        STEPS: 100.0,
    }
    return SimpleNamespace(runs=pd.DataFrame([base | run for run in runs]))


def seeds(*losses: float, first: int = 0, **more: Any) -> Any:
    return frames(*({"seed": first + i, LOSS: loss, **more} for i, loss in enumerate(losses)))


def launches(*times: float, **more: Any) -> Any:
    made = ({"measure": "timing", "launch": i, TIME: time} for i, time in enumerate(times))
    return frames(*(run | more for run in made))


def verdicts(found: Comparison) -> dict[str, str]:
    return dict(zip(found.rows["figure"], found.rows["verdict"], strict=True))


def lost(seed: int, status: str = "diverged") -> dict[str, Any]:
    return {"seed": seed, "status": status, LOSS: NAN, STEPS: NAN}


A_SEED = {"seed": 0}
ONE, MISSED = seeds(1), seeds(1, steps_to_target=NAN)
BOTH_OK, ONE_LOST = frames(A_SEED, {"seed": 1}), frames(A_SEED, lost(1))
TENFOLD, OTHER_LOST = frames({LOSS: 10.0}, lost(1)), frames(lost(0), {"seed": 1})
DIVERGED, FAILED = frames(lost(0)), frames(lost(0, "failed"))
MS, NO_LAUNCH = launches(1e-3), launches(NAN, status="failed")
TEN, SLOWER = launches(*[1e-3, 1.001e-3] * 5), launches(*[1.24e-3, 1.241e-3] * 5)
SURE = "10 and 10 launches; b / a between 1.239 and 1.24"
ON_X, ON_Y = launches(1e-3), launches(2e-3, where=on("Y"))
ON_A1, ON_B2 = launches(1e-3, where=on("X", "a1")), launches(2e-3, where=on("X", "b2"))
NEW_KERNEL = launches(2e-3, where=on("X", "a1", system="Linux 6.2"))
FOUR_CORES = launches(2e-3, where=on("X", "a1", logical_cores=4))
CARDS = [launches(1e-3, where=on("X", "a1", gpu=f"H, index {n}")) for n in (0, 1)]
OTHER_CARD = launches(1e-3, where=on("X", "a1", gpu="L, index 0"))
# A was timed on a1 and b2, B on a1 alone: b2's times are no part of the figure.
A_AND_B = [{TIME: 1e-3, "where": on("X", "a1")}, {TIME: 9e-3, "where": on("X", "b2")}]
ON_BOTH = frames(*({"measure": "timing"} | run for run in A_AND_B))
# Twice on b2: of the two machines of B it is the one that is compared.
TWICE = [{TIME: 9e-3, "where": on("X", "c3")}, *[{TIME: 2e-3, "where": on("X", "b2")}] * 2]
B_OF_TWO = frames(*({"measure": "timing", "launch": i} | run for i, run in enumerate(TWICE)))
WITH_RAM = frames({"measure": "memory", "peak_bytes": 1e6})
MORE_RAM = frames({"measure": "memory", "peak_bytes": 9e6, "where": on("Y")})
HALF_MISSED = frames(A_SEED, {"seed": 1, STEPS: NAN})
TWICE_MISSED = seeds(1, 1, steps_to_target=NAN)
WITHIN, NOT, LARGER = "within the threshold", "not comparable", "larger magnitude"
TABLE = [
    # name, A, B, figure, verdict, words of the note
    ("equal", seeds(1, 2, 3), seeds(1, 2, 3), LOSS, "same", "3 seeds"),
    ("within", seeds(1, 2), seeds(1.1, 2.2), LOSS, WITHIN, "2 seeds"),
    ("worse", ONE, seeds(1.3), LOSS, "worse", "1 seed"),
    ("better", seeds(1.3), ONE, LOSS, "better", "1 seed"),
    ("disjoint seeds", ONE, seeds(10, first=1), LOSS, NOT, "no seed is on both sides"),
    ("disjoint seeds", ONE, seeds(10, first=1), STEPS, NOT, "A has seed 0, B seed 1"),
    ("one of five seeds", seeds(1, 1, 1, 1, 1), ONE, LOSS, "same", "1 of 5 seeds"),
    ("one lost in both", ONE_LOST, TENFOLD, LOSS, "worse", "1 diverged on both sides left out"),
    ("one lost in B", BOTH_OK, TENFOLD, "status", "worse", "1 ended ok in A alone"),
    ("one lost in B", BOTH_OK, TENFOLD, LOSS, "worse", "ok in A and diverged in B left out"),
    ("one lost in A", ONE_LOST, BOTH_OK, "status", "better", ""),
    ("one lost in each", ONE_LOST, OTHER_LOST, "status", NOT, ""),
    ("one lost in each", ONE_LOST, OTHER_LOST, LOSS, NOT, "no seed ended ok"),
    ("all diverged", DIVERGED, DIVERGED, LOSS, NOT, "1 diverged on both sides"),
    ("all diverged", DIVERGED, DIVERGED, STEPS, "same", "missed by both"),
    ("all failed", FAILED, FAILED, STEPS, NOT, "no seed tried"),
    ("from 0", seeds(0.0), ONE, LOSS, "worse", LARGER),
    ("to 0", ONE, seeds(0.0), LOSS, "better", LARGER),
    ("0 in both", seeds(0.0), seeds(0.0), LOSS, "same", ""),
    ("negative", seeds(-1.0), seeds(-0.1), LOSS, "worse", LARGER),
    ("negative, a little", seeds(-1.0), seeds(-0.9), LOSS, WITHIN, LARGER),
    ("across 0", seeds(-0.1), seeds(0.1), LOSS, "worse", LARGER),
    ("no loss in both", seeds(NAN), seeds(NAN), LOSS, NOT, "no seed has a loss on both sides"),
    ("no loss in one", seeds(NAN, 1), seeds(1, 1), LOSS, "same", "1 without a loss"),
    ("infinite in both", seeds(INF), seeds(INF), LOSS, NOT, "no finite figure"),
    ("infinite in B", ONE, seeds(INF), LOSS, "worse", ""),
    ("missed by B", ONE, MISSED, STEPS, "worse", "reached by 1 in A and 0 in B"),
    ("missed by A", MISSED, ONE, STEPS, "better", "reached by 0 in A and 1 in B"),
    ("missed by both", TWICE_MISSED, TWICE_MISSED, STEPS, "same", "the target is missed by both"),
    ("missed by half, all", HALF_MISSED, TWICE_MISSED, STEPS, NOT, "reached by 1 in A and 0 in B"),
    ("faster", launches(2e-3), MS, TIME, "better", "1 and 1 launches"),
    ("contended in A", launches(2e-3, contended=1), MS, TIME, "contended", "1 of 1 launch of A"),
    ("contended in B", MS, launches(2e-3, contended=1), TIME, "contended", "1 of 1 launch of B"),
    ("contended, hardly changed", MS, launches(1.01e-3, contended=1), TIME, "contended", ""),
    ("24% slower beyond doubt", TEN, SLOWER, TIME, WITHIN, SURE),
    ("on two processors", ON_X, ON_Y, TIME, NOT, "A on X, 2 cores, B on Y, 2 cores"),
    ("on two hosts of one type", ON_A1, ON_B2, TIME, "worse", "A on a1: X, 2 cores, B on b2: X"),
    ("the host is not known in A", ON_X, ON_B2, TIME, "worse", "two machines of one type"),
    ("one host, another kernel", ON_A1, NEW_KERNEL, TIME, "worse", "8 GiB, Linux 6.1, B on a1"),
    ("one host, more cores", ON_A1, FOUR_CORES, TIME, NOT, "different types of machine"),
    ("two cards of a model", *CARDS, TIME, "same", "two machines of one type"),
    ("two models of cards", CARDS[0], OTHER_CARD, TIME, NOT, "different types of machine"),
    ("one machine of two in A", ON_BOTH, ON_A1, TIME, "same", "1 and 1 launches on a1: X, 2 cores"),
    ("two of a type in B", ON_A1, B_OF_TWO, TIME, "worse", "1 and 2 launches; on two machines"),
    ("memory on two processors", WITH_RAM, MORE_RAM, "peak_bytes", NOT, "A on X, 2 cores, B on Y"),
    ("no launch", MS, NO_LAUNCH, TIME, NOT, "no launch of B"),
    ("no launch", MS, NO_LAUNCH, "status", "worse", ""),
]


@pytest.mark.parametrize(
    ("a", "b", "figure", "verdict", "words"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_verdicts(a, b, figure, verdict, words):
    found = compare(a, b, 0.25)
    assert verdicts(found)[figure] == verdict
    (note,) = found.rows.loc[found.rows["figure"] == figure, "note"]
    assert words in note


HOSTS = st.sampled_from(["a1", "b2", "c3"])
ON_HOSTS = st.lists(st.tuples(st.floats(1e-4, 1e-2), HOSTS), min_size=1, max_size=6)


def timed(runs: list[tuple[float, str]]) -> Any:
    return frames(
        *(
            {"measure": "timing", "launch": i, TIME: time, "where": on("X", host)}
            for i, (time, host) in enumerate(runs)
        )
    )


@given(a=ON_HOSTS, b=ON_HOSTS)
def test_launches_of_machines_are_compared_as_if_each_were_alone(a, b):
    rows = compare(timed(a), timed(b), 0.25).rows
    shared = {host for _, host in a} & {host for _, host in b}
    assert len(rows) == max(1, len(shared))
    for row in rows.to_dict("records") if shared else ():
        (host,) = (host for host in shared if f"on {host}:" in row["note"] or len(shared) == 1)
        alone = ([run for run in side if run[1] == host] for side in (a, b))
        (other,) = compare(*map(timed, alone), 0.25).rows.to_dict("records")
        assert (row["a"], row["b"], row["verdict"]) == (other["a"], other["b"], other["verdict"])


@given(a=ON_HOSTS, b=ON_HOSTS)
def test_swapped_machines_are_the_mirror_image(a, b):
    ahead, back = (compare(timed(x), timed(y), 0.25).rows for x, y in ((a, b), (b, a)))
    mirrored = {(row.a, row.b, row.verdict) for row in ahead.itertuples()}
    assert mirrored == {
        (row.b, row.a, MIRROR.get(row.verdict, row.verdict)) for row in back.itertuples()
    }


MIRROR = {"better": "worse", "worse": "better"}
STATES = st.sampled_from(["ok", "ok", "ok", "diverged", "failed"])
LOSSES = st.one_of(st.floats(-5, 5), st.sampled_from([0.0, NAN, INF]))
SIDE = st.lists(
    st.tuples(st.integers(0, 4), STATES, LOSSES, st.sampled_from([20.0, 40.0, 100.0, NAN])),
    min_size=1,
    max_size=5,
)


def side(runs: list[tuple[int, str, float, float]]) -> Any:
    unique = {run[0]: run for run in runs}.values()
    fields = ("seed", "status", LOSS, STEPS)
    return frames(*(dict(zip(fields, run, strict=True)) for run in unique))


@given(a=SIDE, b=SIDE, threshold=st.sampled_from([0.01, 0.25, 1.0]))
def test_swapped_sides_are_the_mirror_image(a, b, threshold):
    ahead, back = (
        verdicts(compare(x, y, threshold)) for x, y in ((side(a), side(b)), (side(b), side(a)))
    )
    assert back == {figure: MIRROR.get(verdict, verdict) for figure, verdict in ahead.items()}


@given(
    a=st.lists(st.floats(1e-4, 1e-2), min_size=1, max_size=6),
    b=st.lists(st.floats(1e-4, 1e-2), min_size=1, max_size=6),
)
def test_swapped_launches_are_the_mirror_image(a, b):
    ahead, back = (verdicts(compare(launches(*x), launches(*y), 0.25)) for x, y in ((a, b), (b, a)))
    assert back == {figure: MIRROR.get(verdict, verdict) for figure, verdict in ahead.items()}


@given(a=SIDE, b=SIDE)
def test_the_same_is_said_of_equal_figures_only(a, b):
    rows = compare(side(a), side(b), 0.25).rows
    for row in rows[rows["verdict"] == "same"].to_dict("records"):
        assert row["a"] == row["b"]
        assert np.isfinite(row["a"]) or "missed by both" in row["note"]


NOTHING = ExitCode.NOTHING_MEASURED


@pytest.mark.parametrize(
    ("a", "b", "plain", "strict"),
    [
        (seeds(1), seeds(1), ExitCode.OK, ExitCode.OK),
        (seeds(1), seeds(2), ExitCode.REGRESSION, ExitCode.REGRESSION),
        (seeds(1), seeds(1, first=1), NOTHING, NOTHING),
        (launches(1.0), launches(2.0, contended=1), NOTHING, NOTHING),
        (seeds(NAN), seeds(NAN), ExitCode.OK, ExitCode.INCONCLUSIVE),
    ],
)
def test_exit_codes(a, b, plain, strict):
    found = compare(a, b, 0.25)
    assert (found.exit_code(strict=False), found.exit_code(strict=True)) == (plain, strict)


def test_no_cell_in_both_is_nothing_matched():
    with pytest.raises(UserError, match="nothing is comparable") as error:
        compare(seeds(1), frames({"optimizer": "other"}), 0.25)
    assert error.value.exit_code == ExitCode.NOTHING_MATCHED


def test_cells_of_one_name_are_told_apart():
    hypers = ("epsilon=0.1", "epsilon=1e-08", "")
    both = frames(*({"hyper": hyper} for hyper in hypers))
    names = compare(both, both, 0.25).rows["cell"].unique()
    said = [name.split("lr=0.1 ")[1] for name in names]
    assert said == [f"hyper={hyper or 'default'}" for hyper in hypers]
