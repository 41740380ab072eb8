"""Frameworks that agree are one panel; those that do not stay apart."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gradrace.record import Curve
from gradrace.report import tables
from gradrace.results import frame
from gradrace.spec import RunSpec
from records import Verdict, fine, make_results, make_specs

# Of jax, tensorflow and torch, the factor of the losses from a step on.
Off = Callable[[RunSpec, np.ndarray], np.ndarray | float]
ALL = "jax, tensorflow, torch"


def results(
    folder: Path,
    off: Off,
    judge: Callable[[RunSpec], Verdict] = fine,
    optimizers: tuple[str, ...] = ("sgd",),
) -> frame.Frames:
    """Runs of one task in three frameworks, equal but for the factor `off` of their losses."""

    def curve(spec: RunSpec) -> Curve:
        noise = np.random.default_rng([spec.seed, zlib.crc32(spec.optimizer.name.encode())])
        steps, at = np.arange(60), np.arange(0, 61, 6)
        level = 1 + 0.1 * noise.random()
        losses = [level * 0.97**x * off(spec, x) for x in (steps, at)]
        return Curve(losses[0], at, losses[1], np.clip(1 - losses[1] / 2, 0, 1))

    specs = [
        spec
        for spec in make_specs(["mlp"], optimizers=optimizers, seeds=range(2))
        if spec.measure == "convergence"
    ]
    make_results(folder, "demo", specs, judge=judge, curve=curve)
    return frame.load(folder)


def is_torch(spec: RunSpec) -> bool:
    return spec.framework == "torch"


DIFFER: dict[str, tuple[Off, bool, float, float]] = {
    "equal": (lambda spec, at: 1.0, True, 0.0, 0.0),
    "rounding": (lambda spec, at: 1 + 1e-5 * is_torch(spec), True, 1e-5, 1e-5),
    "another first step": (lambda spec, at: 1 + 1e-3 * is_torch(spec), False, 1e-3, 1e-3),
    "late, within the seeds": (
        lambda spec, at: 1 + 0.01 * is_torch(spec) * (at > 30),
        *(True, 0.0, 0.01 / 1.01),
    ),
    "late, beyond all": (lambda spec, at: 1 + is_torch(spec) * (at > 30), False, 0.0, 0.5),
}


@pytest.mark.parametrize(("off", "agree", "first", "worst"), DIFFER.values(), ids=DIFFER)
def test_agreement_by_hand(tmp_path, off, agree, first, worst):
    frames = results(tmp_path, off)
    (row,) = tables.agreement(frames, "demo").to_dict("records")
    assert row["setups"] == ("torch (eager)", "tensorflow (graph)", "jax (scan)")
    assert (row["task"], row["series"], row["seeds"], row["first_steps"]) == ("mlp", "sgd", 2, 10)
    assert row["first"] == pytest.approx(first, rel=1e-2, abs=1e-12)
    assert row["worst"] == pytest.approx(worst, rel=1e-2, abs=1e-12)
    assert row["agree"] == agree
    panels = set(tables.merged(frames, "demo")["panel"])
    assert panels == {ALL if agree else "jax, tensorflow"}, "the odd one out stays apart"


def test_a_seed_that_diverged_in_one_framework_parts_it(tmp_path):
    def judge(spec: RunSpec) -> Verdict:
        return ("diverged", "inf") if is_torch(spec) and spec.seed == 1 else fine(spec)

    frames = results(tmp_path, lambda spec, at: 1.0, judge)
    assert not tables.agreement(frames, "demo")["agree"].any()
    assert set(tables.merged(frames, "demo")["panel"]) == {"jax, tensorflow"}


def test_one_framework_has_nothing_to_agree_with(tmp_path):
    make_results(tmp_path, "demo", make_specs(["mlp"], ["jax"], seeds=[0]))
    frames = frame.load(tmp_path)
    assert tables.agreement(frames, "demo").empty and tables.merged(frames, "demo").empty


def test_a_series_that_one_framework_lacks_keeps_none_apart(tmp_path):
    def judge(spec: RunSpec) -> Verdict:
        lacks = is_torch(spec) and spec.optimizer.name == "adam"
        return ("skipped", "no such class") if lacks else fine(spec)

    frames = results(tmp_path, lambda spec, at: 1.0, judge, ("sgd", "adam"))
    found = tables.merged(frames, "demo")
    assert set(found["panel"]) == {ALL}
    sizes = found["pool"].str.split().str.len()
    assert sorted(set(sizes)) == [2, 3]


def test_a_pool_is_one_run_with_the_mean_of_its_curves(tmp_path):
    frames = results(tmp_path, lambda spec, at: 1 + 3e-5 * is_torch(spec))
    points = tables.curves(frames, tables.chosen(frames, "demo"))
    found = tables.pooled(points, tables.merged(frames, "demo"), ["value"], ["metric", "step"])
    assert set(found["setup"]) == {ALL} and found["digest"].nunique() == 2
    assert len(found) * 3 == len(points)
    bands = tables.bands(found)
    start = bands[(bands["metric"] == "validation_loss") & (bands["step"] == 0)].iloc[0]
    every = points[(points["metric"] == "validation_loss") & (points["step"] == 0)]["value"]
    assert start["runs"] == 2, "seeds, not runs"
    assert start["mean"] == pytest.approx(every.mean(), rel=1e-12)
    assert start["max"] < every.max()


def test_rows_of_runs_that_are_not_merged_stay(tmp_path):
    frames = results(tmp_path, lambda spec, at: 1 + is_torch(spec))
    rows = tables.chosen(frames, "demo")
    found = tables.pooled(rows, tables.merged(frames, "demo"), ["final_validation_loss"])
    apart = rows[rows["framework"] == "torch"]
    assert sorted(set(found["setup"])) == ["jax, tensorflow", "torch (eager)"]
    kept = found[found["setup"] == "torch (eager)"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, apart.reset_index(drop=True), check_dtype=False)


def test_equal_curves_of_a_seed_that_ended_otherwise_do_not_agree(tmp_path):
    frames = results(tmp_path, lambda spec, at: 1.0)
    frames.runs.loc[frames.runs["framework"] == "torch", "status"] = "diverged"
    assert not tables.agreement(frames, "demo")["agree"].any()
    assert set(tables.merged(frames, "demo")["panel"]) == {"jax, tensorflow"}
