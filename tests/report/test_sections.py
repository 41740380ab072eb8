"""Sections of sweeps: figures against numbers worked out by hand, and pages of made-up sweeps."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sweeps
from gradrace.record import Curve
from gradrace.report import tables
from gradrace.report.builder import Builder
from gradrace.report.content import Figure, Section, Table, TableCell
from gradrace.report.sections import SECTIONS, regularization
from gradrace.report.tables import (
    arrivals,
    basins,
    batch_sizes,
    contenders,
    native,
    profiles,
    random_search,
    schedules,
    variations,
)
from gradrace.results import frame
from gradrace.spec import RunSpec
from records import MACHINE, MEAN_OF_P25, Verdict, fine, make_results, make_specs, page_of
from sweeps import BEST_RATE, spec, task


def section(frames: frame.Frames, suite: str, name: str) -> tuple[Section, Builder]:
    """The section of this name, and the writer that holds its data."""
    writer = Builder(frames, suite, None)
    module = {"target": "targets"}.get(name, name.replace("-", "_"))
    makers = [make for make in SECTIONS if make.__module__.endswith(f".{module}")]
    assert len(makers) == 1, name
    return makers[0](writer), writer


def cells(table: Table, **where: str) -> dict[str, TableCell]:
    """heading -> cell, of the one row whose cells read so."""
    labels = [column.label for column in table.columns]
    found = [dict(zip(labels, row, strict=True)) for row in table.rows]
    found = [row for row in found if all(row[label].text == text for label, text in where.items())]
    assert len(found) == 1, where
    return found[0]


def words(of: Section) -> str:
    """All text of a section but its tables."""
    said = [part.caption if isinstance(part, Figure | Table) else part for part in of.parts]
    return " ".join([*of.warnings, *said])


def the(of: Section, kind: type, ending: str) -> Any:
    found = [part for part in of.parts if isinstance(part, kind) and part.name.endswith(ending)]
    assert len(found) == 1, ending
    return found[0]


def many(of, seeds=3, key="", values=(None,), **fields: Any) -> list[RunSpec]:
    """Adam's runs of each value of one variation, seed by seed; no variation without a key."""
    varied = [{"variations": {key: value}} if key else {} for value in values]
    return [spec(of, "adam", None, s, **one, **fields) for one in varied for s in range(seeds)]


def losing(lost: Callable[[RunSpec], bool]) -> Callable[[RunSpec], Verdict]:
    """Judges runs diverged if this is true of them."""
    return lambda run: ("diverged", "inf") if lost(run) else ("ok", "")


def test_every_section_has_a_place_of_its_own() -> None:
    places = [sys.modules[make.__module__].PLACE for make in SECTIONS]
    assert places == sorted(set(places)) and len(places) == 23


# Learning rates


RATES = np.array([0.001, 0.01, 0.1, 1.0])
# A loss that doubles in a decade on each side: 10% more is log10(1.1) / log10(2) of a decade away.
DOUBLES, TO_5 = np.log10(1.1) / np.log10(2), np.log10(1.1) / np.log10(5)
FROM_5_PERCENT = np.log10(1.1 / 1.05) / np.log10(2)


@pytest.mark.parametrize(
    ("losses", "low", "high", "open_ends"),
    [
        ([2.0, 1.0, 2.0, 4.0], 0.01 / 10**DOUBLES, 0.01 * 10**DOUBLES, (False, False)),
        ([1.0, 1.05, 2.1, 2.1], 0.001, 0.01 * 10**FROM_5_PERCENT, (True, False)),
        # A rate that is lost ends the basin at its neighbour, and a second valley is no part of it.
        ([1.0, np.nan, 1.0, 1.0], 0.001, 0.001, (True, False)),
        ([1.0, 5.0, 1.0, np.nan], 0.001, 0.001 * 10**TO_5, (True, False)),
    ],
)
def test_basin_is_the_connected_range_of_good_rates(losses, low, high, open_ends):
    found = basins.basin(RATES, np.array(losses))
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-4), pytest.approx(high, rel=1e-4))
    assert (found.open_low, found.open_high) == open_ends
    assert found.width == pytest.approx(np.log10(high / low), abs=1e-4)
    assert found.share == pytest.approx(found.width / 3, abs=1e-4)


def test_no_rate_that_ended_well_has_no_basin():
    assert basins.basin(RATES, np.full(4, np.nan)) is None


def test_a_rate_that_lost_one_seed_is_bad_however_good_the_others(tmp_path):
    rates = [BEST_RATE["adam"] * factor for factor in (0.1, 1, 30, 100)]
    runs = [spec(task(), "adam", rate, seed) for rate in rates for seed in range(5)]

    def flat(run: RunSpec) -> Curve:
        floor = np.full(2, sweeps.loss_floor(run))
        return Curve(np.ones(100), np.array([0, 100]), floor, np.full(2, 0.5))

    found, writer = section(sweeps.load(tmp_path, {"lr": runs}, curve=flat), "lr", "learning-rates")
    row = cells(the(found, Table, "basins"), Optimizer="adam")
    assert (row["Best rate"].text, row["Rates"].text, row["Bad rates"].text) == ("0.001", "4", "2")
    # The loss is 10^(0.4 d²) of the best, a straight line joins d = -1 and 0; d = 1.48 is bad.
    assert row["From"].sort == pytest.approx(0.001 * 10 ** -(np.log10(1.1) / 0.4), rel=1e-6)
    assert row["To"].text == "0.00100"
    assert not row["Basin, decades"].text.startswith("≥")
    points = writer.data["lr/mlp-learning-rates.csv"].set_index("learning_rate")
    assert points.loc[0.03, "ok"] == 4
    assert points.loc[0.03, "diverged"] == 1
    assert points.loc[0.1, "ok"] == 0
    assert "cross at the top" in words(found) and "5 runs a rate" in words(found)


# Time to target


ARRIVES = {0: 20, 1: 40, 2: 40, 3: None, 4: None, 5: 60}


def arriving(run: RunSpec) -> Curve:
    """Evaluated every 20 of 100 steps; the target of .9 is reached at ARRIVES[seed]."""
    evaluated = np.arange(0, 101, 20)
    at = ARRIVES[run.seed]
    metric = np.where(evaluated >= at, 0.95, 0.5) if at else np.full(6, 0.5)
    return Curve(np.linspace(2, 1, 100), evaluated, 1 - metric + 0.01, metric)


def test_runs_that_missed_the_target_are_censored_in_every_figure(tmp_path):
    runs = many(task(), 6)
    frames = sweeps.load(tmp_path, {"km": runs}, curve=arriving)
    attempts = tables.attempts(frames, "km")
    row = arrivals.table(attempts).iloc[0]
    # Three of six remain between the arrivals at 40 and 60.
    assert (row["reached"], row["runs"], row["steps"], row["horizon"]) == (4, 6, 50, 100)
    assert tables.summary(frames, "km")["steps_to_target"].tolist() == [50], "one median on a page"
    assert row["restricted_mean"] == pytest.approx((20 + 40 + 40 + 60 + 100 + 100) / 6)
    assert row["expected_running_time"] == pytest.approx(360 / 4)
    # 1152 samples make 72 whole batches of 16.
    assert row["epochs"] == pytest.approx(50 / 72)
    curve = arrivals.curves(attempts)
    assert list(curve["steps"]) == [0, 20, 40, 60, 100]
    assert list(curve["remaining"]) == pytest.approx([1, 5 / 6, 3 / 6, 2 / 6, 2 / 6])
    found, _ = section(frames, "km", "target")
    shown = cells(the(found, Table, "arrivals"), Optimizer="adam")
    texts = [shown[label].text for label in ("Reached", "Median steps", "Median seconds")]
    assert texts == ["4 of 6", "50", "–"]
    assert "2 runs that missed the target" in words(found) and not found.warnings


def test_a_diverged_run_is_censored_at_the_whole_budget_and_a_failed_one_never_tried(tmp_path):
    ends = {0: ("diverged", "inf"), 1: ("failed", "out of memory")}

    def judge(run: RunSpec) -> Any:
        return ends.get(run.seed, ("ok", ""))

    frames = sweeps.load(tmp_path, {"km": many(task(), 6)}, judge=judge, curve=arriving)
    row = arrivals.table(tables.attempts(frames, "km")).iloc[0]
    assert (row["runs"], row["reached"], row["diverged"]) == (5, 2, 1)
    assert row["restricted_mean"] == pytest.approx((40 + 60 + 300) / 5)
    assert row["steps"] == np.inf
    found, _ = section(frames, "km", "target")
    assert cells(the(found, Table, "arrivals"))["Median steps"].text == "not reached"


def test_seconds_come_from_timing_runs_of_the_same_machine_only(tmp_path, monkeypatch):
    runs = many(task(), 5)
    alike = {"optimizer": runs[0].optimizer}
    timed = make_specs([task()], ["jax"], ["adam"], [], launches=3)
    timed = [one.model_copy(update=alike) for one in timed]
    here = sweeps.load(tmp_path / "here", {"t": [*runs, *timed]}, curve=arriving)
    seconds = tables.attempts(here, "t")
    assert list(seconds["seconds"]) == pytest.approx(list(seconds["steps"] * MEAN_OF_P25 * 100e-6))
    assert not seconds["other_machine"].any()
    other = {"machine": MACHINE.model_copy(update={"processor": "Another"})}
    elsewhere = {"timing": other, "convergence": {}}
    make_results(
        tmp_path / "there",
        "t",
        [*runs, *timed],
        curve=arriving,
        fields=lambda spec: elsewhere[spec.measure],
    )
    there = frame.load(tmp_path / "there")
    assert tables.attempts(there, "t")["seconds"].isna().all()
    found, _ = section(there, "t", "target")
    assert any("another machine" in warning for warning in found.warnings)


# Scores over tasks


def scored(run: RunSpec) -> Curve:
    """The final accuracy is .5 for sgd, .9 for adam and .7 for lion, plus .001 a seed."""
    end = {"sgd": 0.5, "adam": 0.9, "lion": 0.7}[run.optimizer.name] + 0.001 * run.seed
    losses, metrics = np.array([2.3, 1.0, 0.5]), np.array([0.1, end / 2, end])
    return Curve(np.linspace(2, 1, 100), np.array([0, 50, 100]), losses, metrics)


def pool(output: Path, judge: Any = sweeps.verdict, seeds: int = 5, tasks: int = 2) -> frame.Frames:
    named = [task(f"task{number}") for number in range(tasks)]
    runs = sweeps.optimizers(named, ("sgd", "adam", "lion"), seeds, (1.0,))
    return sweeps.load(output, {"pool": runs}, judge=judge, curve=scored)


def scaled(metric: float) -> float:
    """An accuracy on the scale from chance on digits, 0, to the target of 0.9, 1."""
    return (metric - 33 / 320) / (0.9 - 33 / 320)


def test_scores_are_between_chance_and_target_and_a_diverged_run_has_the_worst(tmp_path):
    lost = {("adam", 0, "task0")}
    judge = losing(lambda run: (run.optimizer.name, run.seed, run.task.name) in lost)
    scores = contenders.scores(pool(tmp_path, judge), "pool")
    rows = scores.set_index(["task", "series", "seed"])["score"]
    # The commonest digit is 33 of the 320 samples of the validation split, the target 0.9.
    assert rows["task1", "sgd", 0] == pytest.approx(scaled(0.5))
    assert rows["task1", "adam", 2] == pytest.approx(scaled(0.902))
    assert rows["task0", "adam", 0] == 0.0


def test_the_aggregates_say_who_is_behind_and_name_no_winner_over_tasks(tmp_path):
    found, writer = section(pool(tmp_path), "pool", "aggregates")
    row = cells(the(found, Table, "scores-over-tasks"), Optimizer="sgd")
    assert row["Interquartile mean"].sort == pytest.approx(scaled(0.502))
    assert row["Diverged"].text == "0.0%"
    assert "not shown to be worse than any other: adam" in words(found)
    assert "winner" not in words(found)
    assert not found.warnings
    improvement = writer.data["pool/improvement.csv"].set_index(["ours", "theirs"])
    assert improvement.loc[("adam", "sgd"), "probability"] == 1.0
    assert bool(improvement.loc[("adam", "sgd"), "shown"])
    wins = writer.data["pool/wins.csv"].set_index(["ours", "theirs"])
    assert wins.loc[("adam", "lion"), "win"] == 1.0 and wins.loc[("sgd", "adam"), "loss"] == 1.0
    assert "With 2 tasks Wilcoxon's p cannot fall below 0.5" in words(found)


def test_two_seeds_are_warned_of_and_show_no_winner(tmp_path):
    found, _ = section(pool(tmp_path, seeds=2, tasks=1), "pool", "aggregates")
    assert "no clear winner" in words(found)
    assert any("Only 2 seeds" in warning for warning in found.warnings)


def test_a_contender_without_a_task_is_left_out_and_named(tmp_path):
    def judge(run: RunSpec) -> Verdict:
        lost = run.optimizer.name == "lion" and run.task.name == "task1"
        return ("skipped", "no such thing") if lost else ("ok", "")

    found, _ = section(pool(tmp_path, judge), "pool", "aggregates")
    assert any("lion was not tried on task1" in warning for warning in found.warnings)
    assert len(the(found, Table, "scores-over-tasks").rows) == 2


# Who is fast how often


def reaching(every: int, at: float, before: float) -> Curve:
    """Accuracy 0.95 from a step on, evaluated as often; before that a lower one."""
    evaluated = np.arange(0, 101, every)
    metric = np.where(evaluated >= at, 0.95, before)
    return Curve(np.linspace(2, 1, 100), evaluated, 1 - metric, metric)


def paced(run: RunSpec) -> Curve:
    """Reaches its target at a step of its own: adam at 20 and 80, sgd at 40 and 40, lion never."""
    at = {"adam": {"task0": 20, "task1": 80}, "sgd": {"task0": 40, "task1": 40}}
    return reaching(20, at.get(run.optimizer.name, {}).get(run.task.name, np.inf), 0.55)


def test_profile_score_and_runtime_distribution_by_hand(tmp_path):
    named = [task("task0"), task("task1")]
    runs = sweeps.optimizers(named, ("sgd", "adam", "lion"), 5, (1.0,))
    found, writer = section(sweeps.load(tmp_path, {"p": runs}, curve=paced), "p", "profiles")
    raw = the(found, Table, "profile-raw")
    # Ratios: adam 1 and 2, sgd 2 and 1, lion never: (3 + 2) / 2 / 3 and 0.
    names = ("adam", "sgd", "lion")
    scores = [cells(raw, Optimizer=name)["AlgoPerf score"].sort for name in names]
    assert scores == pytest.approx([5 / 6, 5 / 6, 0])
    assert cells(raw, Optimizer="lion")["task1"].text == "not reached"
    assert cells(raw, Optimizer="adam")["task1"].note == "× 2.00"
    assert "The pool here is jax (scan): sgd, adam, lion." in words(found)
    stairs = writer.data["p/profile.csv"]
    assert list(stairs.loc[stairs["series"] == "adam", "rho"]) == [0.5, 1.0, 1.0]
    # Every run starts above the first of the targets 0.5, 0.7, 0.82, 0.9, and has all at its last.
    runtimes = writer.data["p/runtimes.csv"]
    adam = runtimes[runtimes["series"] == "adam"].set_index("steps")["share"]
    assert adam.loc[20] == pytest.approx(0.25 + 0.75 / 2) and adam.loc[80] == 1.0
    assert runtimes.loc[runtimes["series"] == "lion", "share"].max() == pytest.approx(0.25)
    assert profiles.LEVELS[-1] == 1.0


# Sweeps of tasks


def scaling_curve(run: RunSpec) -> Curve:
    """At rate 0.01, reaches the target at 640 / batch steps up to batch 32, then at 20."""
    size = run.task.batch_size
    reaches = run.schedule.base_lr == 0.01 and size < 128
    return reaching(10, max(640 // size, 20) if reaches else np.inf, 0.5)


def test_batch_sizes_are_retuned_and_set_against_perfect_scaling(tmp_path):
    runs = [
        spec(task(batch_size=size), "sgd", rate, seed, variations={"batch_size": size})
        for size in (8, 16, 32, 64, 128)
        for rate in (0.001, 0.01, 0.1)
        for seed in range(2)
    ]
    frames = sweeps.load(tmp_path, {"b": runs}, curve=scaling_curve, judge=fine)
    table = batch_sizes.scaling(frames, "b").set_index("batch_size")
    assert list(table["learning_rate"])[:4] == [0.01] * 4 and not table.loc[16, "edge"]
    assert list(table["steps"]) == [80, 40, 20, 20, np.inf]
    assert list(table["samples"])[:4] == [640, 640, 640, 1280]
    assert list(table["efficiency"])[:4] == [1, 1, 1, 0.5]
    found, _ = section(frames, "b", "batch-sizes")
    shown = cells(the(found, Table, "scaling"), Batch="128")
    texts = [shown[of].text for of in ("Steps to target", "Reached", "Of perfect scaling")]
    assert texts == ["> 100", "0 of 2", "–"]
    assert "with hindsight" in words(found)


def test_initialisers_by_activations_count_the_runs_that_are_missing(tmp_path):
    runs = [
        spec(task(), "adam", None, seed, variations={"activation": act, "initializer": init})
        for act in ("relu", "tanh")
        for init in ("zeros", "he_normal")
        for seed in range(3)
    ]

    lost = {("tanh", "zeros", seed) for seed in range(3)} | {("relu", "zeros", 0)}
    judge = losing(lambda run: (*run.variations.values(), run.seed) in lost)
    found, writer = section(sweeps.load(tmp_path, {"i": runs}, judge=judge), "i", "initializers")
    table = writer.data["i/mlp-initializers.csv"].set_index(["activation", "initializer"])
    assert list(table.loc[("relu", "zeros"), ["runs", "ok", "diverged"]]) == [3, 2, 1]
    assert np.isnan(table.loc[("tanh", "zeros"), "metric_mean"])
    assert table.loc[("tanh", "he_normal"), "ok"] == 3
    figure = the(found, Figure, "initializers")
    assert "2 of 3" in str(figure.svg)
    assert "0 of 3" in str(figure.svg)
    assert "hatch" not in str(figure.svg).lower().split("pattern")[0]


def test_regularisation_compares_the_late_training_loss_with_validation(tmp_path):
    def curve(run: RunSpec) -> Curve:
        train = np.full(100, 9.0)
        train[90:] = [0.1, 0.3] * 5
        end = {"none": 0.5, "l2=0.01": 0.3}[str(run.variations["regularization"])]
        losses = np.full(11, end + 0.01 * run.seed)
        return Curve(train, np.arange(0, 101, 10), losses, 1 - losses)

    runs = many(task(), 3, "regularization", ("none", "l2=0.01"))
    frames = sweeps.load(tmp_path, {"r": runs}, curve=curve)
    settings = variations.settings(frames, "r", "regularization")
    table = variations.summary(settings, ["regularization"]).set_index("regularization")
    assert table.loc["none", "train_loss_mean"] == pytest.approx(0.2)
    assert table.loc["none", "gap_mean"] == pytest.approx(0.31)
    assert table.loc["l2=0.01", "gap_mean"] == pytest.approx(0.11)
    assert set(table["series"]) == {"adam"}
    found, _ = section(frames, "r", "regularization")
    assert regularization.MEANING in found.parts
    assert any("Only 3 seeds" in warning for warning in found.warnings)


def test_hidden_sizes_are_set_against_the_number_of_weights(tmp_path):
    small, deep = task(units=(8,)), task(units=(4, 4))
    runs = many(small, 2, "hidden", [8]) + many(deep, 2, "hidden", ["4-4"])
    found, _ = section(sweeps.load(tmp_path, {"a": runs}), "a", "architecture")
    table = the(found, Table, "hidden-sizes")
    assert cells(table, Hidden="8")["Weights"].sort == 64 * 8 + 8 + 8 * 10 + 10
    assert cells(table, Hidden="4-4")["Weights"].sort == 64 * 4 + 4 + 4 * 4 + 4 + 4 * 10 + 10


# Native against canonical


RULES = ("native", "canonical")


def ruled(run: RunSpec) -> Curve:
    """Native losses are twice the canonical ones in jax, half in torch; seeds differ by a tenth."""
    factor = {"jax": 2.0, "torch": 0.5}[run.framework] if run.optimizer.rule == "native" else 1.0
    losses = factor * (1 + 0.1 * run.seed) * np.array([2.0, 1.0, 0.5])
    return Curve(np.linspace(2, 1, 100), np.array([0, 50, 100]), losses, np.array([0.1, 0.5, 0.8]))


@pytest.mark.parametrize("apart", [False, True])
def test_native_runs_are_paired_with_canonical_ones_even_of_another_suite(tmp_path, apart):
    kinds = [{"rule": rule, "framework": name} for rule in RULES for name in ("jax", "torch")]
    runs = [run for kind in kinds for run in many(task(), **kind)]
    suites = {"native": runs[:6], "plain": runs[6:]} if apart else {"native": runs}
    found, _ = section(sweeps.load(tmp_path, suites, curve=ruled), "native", "native")
    ratio = the(found, Table, "native-ratios")
    assert cells(ratio, Framework="jax")["Native / canonical"].text == "2.00"
    assert cells(ratio, Framework="torch")["Native / canonical"].text == "0.500"
    assert cells(ratio, Framework="jax")["Curve difference"].text == "100.0%"
    spread = the(found, Table, "spread")
    assert cells(spread, Rule="canonical")["Spread of final loss"].text == "0%"
    assert cells(spread, Rule="native")["Spread of final loss"].text == "300%"


def test_a_pair_with_a_diverged_run_has_no_ratio_and_is_counted(tmp_path):
    runs = [run for rule in RULES for run in many(task(), rule=rule)]
    judge = losing(lambda run: run.optimizer.rule == "native" and run.seed == 1)
    frames = sweeps.load(tmp_path, {"n": runs}, judge=judge, curve=ruled)
    row = native.ratios(native.paired(frames, tables.runs(frames, "n", "convergence"))).iloc[0]
    assert (row["pairs"], row["lost"], row["ratio"]) == (3, 1, pytest.approx(2.0))


# Schedules and random search


def test_schedules_show_the_rate_of_every_step_and_the_loss_below(tmp_path):
    kinds = ("constant", "linear")
    runs = [spec(task(), "adam", 0.01, seed, kind=kind) for kind in kinds for seed in range(2)]
    frames = sweeps.load(tmp_path, {"s": runs})
    points = schedules.curves(frames, schedules.picked(frames, "s"))
    rates = points[points["quantity"] == "learning rate"].set_index(["name", "step"])["mean"]
    linear = next(name for name, _ in rates.index if name.startswith("linear"))
    assert set(rates["constant"]) == {0.01}
    assert [rates[linear, step] for step in (0, 50)] == pytest.approx([0.01, 0.005])
    losses = points[points["quantity"] == "validation loss"]
    assert len(losses) == 2 * 11 and (losses["min"] <= losses["max"]).all()
    parts = section(frames, "s", "schedules")[0].parts
    assert [type(part) for part in parts].count(Figure) == 1


def test_draws_of_a_search_count_with_the_worst_score_if_they_diverged(tmp_path):
    def run(draw: int, rate: float) -> RunSpec:
        size = 16 * (1 + draw % 2)
        varied = {"draw": draw, "batch_size": size}
        return spec(task(batch_size=size), "adam", rate, 0, variations=varied)

    runs = [run(draw, rate) for draw, rate in enumerate((0.0001, 0.001, 0.003, 0.01, 1.0))]
    frames = sweeps.load(tmp_path, {"d": runs})
    draws = random_search.scores(frames, "d").set_index("draw")
    assert list(draws["ok"]) == [1, 1, 1, 1, 0] and draws.loc[4, "score"] == draws["score"].min()
    assert set(draws["series"]) == {"adam"}
    found, writer = section(frames, "d", "random-search")
    curve = writer.data["d/mlp-best-of-draws.csv"].set_index("draws")["expected"]
    assert curve[1] == pytest.approx(draws["score"].mean())
    assert curve[5] == pytest.approx(draws["score"].max())
    # Its draws are no grid of learning rates, and no pool of optimizers.
    for name in ("learning-rates", "batch-sizes", "aggregates"):
        assert not section(frames, "d", name)[0].parts
    assert len(the(found, Table, "draws").rows) == 1


# The whole page


def everything() -> dict[str, list[RunSpec]]:
    """A small suite of every kind."""
    tasks = [task("mlp"), task("cnn", steps=200, target=0.92)]
    sizes = [(b, o, s) for o in ("sgd", "adam") for b in (8, 16) for s in (0, 1)]
    return {
        "optimizers": sweeps.optimizers(tasks, seeds=2, factors=(0.1, 1.0, 30.0)),
        "batch": [
            spec(task(batch_size=b), o, None, s, variations={"batch_size": b}) for b, o, s in sizes
        ],
        "reg": many(task(), 2, "regularization", ("none", "dropout=0.5")),
    }


def test_the_page_of_every_kind_of_sweep_is_whole(tmp_path):
    frames = sweeps.load(tmp_path, everything())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        html = page_of(frames, tmp_path)
    swept = ("target", "aggregates", "profiles", "learning-rates")
    places = [f"optimizers-{name}" for name in swept]
    for place in (*places, "batch-batch-sizes", "reg-regularization"):
        assert f'<section id="{place}">' in html, place
    assert '<section id="reg-aggregates">' not in html
    assert '<section id="batch-regularization">' not in html
    for page in html.split("<!doctype html>")[1:]:
        ids = re.findall(r'\bid="([^"]+)"', page)
        assert not [name for name in set(ids) if ids.count(name) > 1]
    linked = re.findall(r'href="(data/[^"]+\.csv)"', html)
    assert len(linked) > 15
    for path in set(linked):
        assert len(pd.read_csv(tmp_path / "html" / path)) > 0, path
    told = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert "nan" not in re.sub(r"<[^>]*>", " ", told).lower().split()
