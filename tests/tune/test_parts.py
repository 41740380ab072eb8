"""The parts of a search, each by itself: spaces, samplers, folds, trials, the inclusion check."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradrace import data
from gradrace.data import bundled
from gradrace.errors import UserError
from gradrace.optimizer import Hyper, Optimizer, Range, SearchSpace
from gradrace.plugins.space import limits_of
from gradrace.record import Machine, RunRecord, Summary
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec
from gradrace.tune import space as spaces
from gradrace.tune import text as tune_text
from gradrace.tune.inclusion import inclusions
from gradrace.tune.results import expected, fold_interval, found, rows
from gradrace.tune.samplers import SAMPLERS, Search, Told, suggest
from gradrace.tune.study import Journal, SpaceFile, StudyFile, Suggestion
from gradrace.tune.trials import Trial, best_of, judged, told

RATES, MOMENTA = Range(1e-3, 10.0, True), Range(1e-3, 1.0, True, True)
MOMENTUM = SearchSpace({"learning_rate": RATES, "momentum": MOMENTA}, "test")
MACHINE = Machine(system="-", processor="-", logical_cores=1, memory_bytes=1, python="-")


def optimizer_of(**hyper):
    """An optimizer with these hyperparameters and no space of its own."""
    said = {"name": "mine", "title": "-", "paper": "-", "bindings": {}}
    return Optimizer(**said, learning_rate=0.1, hyper=hyper)


# Spaces


def test_every_optimizers_space_is_valid_has_a_source_and_holds_its_defaults(registry):
    for name, optimizer in registry.optimizers.items():
        assert optimizer.space is not None and len(optimizer.space.source) > 10, name
        spaces.check(optimizer.space, optimizer)
        defaults = {"learning_rate": optimizer.learning_rate, **optimizer.hypers({})}
        for hyper, given in optimizer.space.ranges.items():
            low, high = limits_of(given)
            assert low - 1e-12 <= defaults[hyper] <= high + 1e-12, (name, hyper)
            assert given.low < given.high, (name, hyper)


def test_momentums_space_contains_sgds_and_adams_reaches_a_large_epsilon(registry):
    momentum, sgd, adam = (registry.optimizers[name].space for name in ("momentum", "sgd", "adam"))
    assert spaces.contains(momentum, sgd, {"momentum": 0.0})
    assert not spaces.contains(registry.optimizers["nesterov"].space, sgd, {"momentum": 0.0})
    chosen = spaces.settings(momentum, {"learning_rate": 0.1, "momentum": 1.0})
    assert chosen == {"learning_rate": 0.1, "momentum": 0.0}
    assert adam.ranges["epsilon"].high >= 0.1 and limits_of(adam.ranges["beta1"])[0] == 0.0


def test_an_optimizer_without_a_space_is_searched_around_its_default_rate():
    published = spaces.published(optimizer_of())
    assert published.ranges == {"learning_rate": Range(0.001, 10.0, log=True)}
    assert "none is published" in published.source


def test_changes_of_a_space_replace_add_and_fix_for_all_or_for_one(registry):
    chosen = [registry.optimizers[name] for name in ("sgd", "adam")]
    changes = ["learning_rate=1e-2..1,log; beta1=0.9", "adam.epsilon=1e-8..1e-4,log"]
    changed = spaces.spaces_of(chosen, changes)
    assert changed["sgd"].ranges == {"learning_rate": Range(0.01, 1.0, log=True)}
    assert changed["adam"].ranges["beta1"] == Range(0.9, 0.9)
    assert "beta1" not in spaces.free(changed["adam"])
    assert changed["adam"].ranges["epsilon"] == Range(1e-8, 1e-4, log=True)
    assert "(changed: " in changed["adam"].source


def test_an_empty_space_says_so(registry):
    with pytest.raises(UserError, match="it is empty"):
        spaces.check(SearchSpace({}, "-"), registry.optimizers["sgd"])


@pytest.mark.parametrize(
    ("budget", "counts"),
    [(1, [1, 1]), (2, [2, 1]), (5, [2, 2]), (6, [3, 2]), (9, [3, 3]), (11, [3, 3])],
)
def test_a_grid_is_even_and_within_its_budget(budget, counts):
    points = spaces.grid(MOMENTUM, budget)
    assert [len({point[name] for point in points}) for name in MOMENTUM.ranges] == counts
    assert len(points) == math.prod(counts) <= budget
    if budget >= 9:
        rates = sorted({point["learning_rate"] for point in points})
        assert rates == pytest.approx([1e-3, 0.1, 10.0]), "both ends and the logarithm's middle"


# Samplers


def history(count):
    """Trials of the past, best near a learning rate of 0.1."""
    search = make_search("random")
    found_settings = [suggest(search, number, []) for number in range(count)]
    return [Told(s, -abs(math.log10(s["learning_rate"]) + 1.0)) for s in found_settings]


def make_search(sampler, stream="momentum", seed=0):
    return Search(sampler, MOMENTUM, 20, seed, stream, higher_is_better=True)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_suggestion_is_a_pure_function_of_number_and_history(sampler):
    before = history(12)

    def twelfth(number=12, **search):
        return suggest(make_search(sampler, **search), number, before)

    assert twelfth() == twelfth() != twelfth(13)
    if sampler != "grid":
        assert twelfth(seed=1) != twelfth() and twelfth(stream="other") != twelfth()


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_samplers_that_learn_look_near_good_trials_and_take_failures_and_ties(sampler):
    before = history(16)

    def rates(name):
        made = [suggest(make_search(name), number, before) for number in range(16, 20)]
        return np.array([settings["learning_rate"] for settings in made])

    learnt, drawn = (np.abs(np.log10(rates(name)) + 1.0).mean() for name in (sampler, "random"))
    assert learnt < 0.7 * drawn
    hard = [Told(each.settings, None if i < 3 else 0.5) for i, each in enumerate(before)]
    assert suggest(make_search(sampler), 16, [*hard, Told(before[0].settings, None, running=True)])


def test_low_discrepancy_points_fill_the_space_more_evenly_than_random_ones():
    def emptiest(sampler):
        rates = [suggest(make_search(sampler), n, [])["learning_rate"] for n in range(16)]
        return np.diff([-3, *sorted(map(math.log10, rates)), 1]).max()

    assert emptiest("qmc") < 0.5 < emptiest("random")


# Folds


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "diabetes"])
def test_outer_folds_cover_everything_once_and_inner_folds_never_see_them(name):
    """Rows are told by their raw values, which standardisation maps one to one within each set."""
    strata = strata_of(name)
    held_out = []
    for fold in range(5):
        outer = data.Folds(5, fold).rows(strata)
        assert np.array_equal(outer["validation"], outer["test"])
        assert not set(outer["train"]) & set(outer["test"])
        assert len(outer["train"]) + len(outer["test"]) == len(strata)
        held_out.append(outer["test"])
        parts = [data.Folds(5, fold, 3, part).rows(strata) for part in range(3)]
        for part in parts:
            assert not set(part["train"]) & set(part["validation"])
            assert not set().union(*part.values()) & set(outer["test"])
        inner = np.concatenate([part["validation"] for part in parts])
        assert np.array_equal(np.sort(inner), np.sort(outer["train"]))
        shares = [np.bincount(strata[rows]) / len(rows) for rows in (outer["train"], outer["test"])]
        assert np.abs(shares[0] - shares[1]).max() < 0.06, "stratified"
    assert np.array_equal(np.sort(np.concatenate(held_out)), np.arange(len(strata)))


def strata_of(name):
    """The classes or bins that split the data set evenly, taken from its own loader."""
    seen = []
    resplit = bundled.SETS[name].resplit
    resplit(lambda strata: (seen.append(strata), data.Folds(2, 0).rows(strata))[1])
    return seen[0]


@pytest.mark.parametrize("name", ["wine.cv5-2", "wine.cv5-2.3-1", "diabetes.cv3-0.2-1"])
def test_a_fold_is_standardised_by_its_own_training_rows(name):
    loaded = data.load(name)
    assert loaded.name == name and len(loaded.train.y) == data.training_samples(name)
    assert np.allclose(loaded.train.x.mean(axis=0), 0, atol=1e-12)
    assert np.allclose(loaded.train.x.std(axis=0), 1)
    assert not np.allclose(loaded.splits["validation"].x.mean(axis=0), 0, atol=1e-3)
    assert not np.allclose(loaded.splits["validation"].x.std(axis=0), 1, atol=1e-3)
    if name.startswith("diabetes"):
        assert np.allclose([loaded.train.y.mean(), loaded.train.y.std()], [0, 1])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wine.cv1-0", "at least 2"),
        ("wine.cv5-5", "counted from 0"),
        ("wine.cv5-0.3-3", "counted from 0"),
        ("wien.cv5-0", "wine"),
        ("wine.cv49-0", "one has 48"),
        ("adding.cv5-0", "no folds can be made"),
    ],
)
def test_folds_that_cannot_be_are_refused(name, said):
    with pytest.raises(ValueError, match=said):
        data.load(name)


def test_the_interval_over_folds_is_wider_than_that_of_independent_scores():
    values = [0.9, 0.92, 0.94, 0.91, 0.93]
    interval = fold_interval(values)
    assert interval.estimate == pytest.approx(0.92)
    width = 2.7764 * np.std(values, ddof=1) * math.sqrt(1 / 5 + 1 / 4)
    assert interval.high - interval.estimate == pytest.approx(width, rel=1e-3)


# Trials


@pytest.fixture
def record(registry):
    """A stored run of the NumPy reference with these outcomes."""

    def make(
        optimizer="sgd", task="digits_mlp", status="ok", metric=0.9, seed=0, reason="", **variations
    ):
        hyper = registry.optimizers[optimizer].hypers({})
        spec = RunSpec(
            task=registry.tasks[task],
            optimizer=OptimizerSpec(name=optimizer, hyper=hyper),
            schedule=ScheduleSpec(kind="constant", base_lr=0.1),
            framework="numpy",
            mode="reference",
            seed=seed,
            variations=variations,
        )
        scores = {"final_validation_metric": metric, "test_metric": metric}
        summary = Summary(steps_done=1, final_validation_loss=0.3, **scores)
        ended = {"status": status, "reason": reason, "summary": summary}
        made = {"digest": "0" * 24, "started_at": "2026-01-01", "machine": MACHINE}
        return RunRecord(spec=spec, **ended, **made)

    return make


def test_a_trial_is_as_good_as_the_mean_of_its_runs_and_as_bad_as_the_worst_end(record):
    fine = [record(metric=0.8), record(metric=0.9, seed=1)]
    assert judged(0, {}, fine).score == pytest.approx(0.85)
    diverged = judged(0, {}, [*fine, record(status="diverged", reason="NaN")])
    assert diverged.state == "diverged"
    slow = judged(0, {}, [*fine, record(status="timeout", reason="slow")])
    assert slow == Trial(0, {}, "failed", reason="slow", digests=("0" * 24,) * 3)
    assert judged(0, {}, [record(metric=None)]).state == "diverged", "a score of NaN is no score"


def trials_of(*ends):
    """Trials numbered from 0: the score and loss of an ok one, or how it ended."""
    return [
        Trial(number, {}, end) if isinstance(end, str) else Trial(number, {}, "ok", *end)
        for number, end in enumerate(ends)
    ]


def scores(trials, **options):
    return [each.score for each in told(trials, **options)]


def test_the_winner_has_the_best_score_then_the_lowest_loss_then_the_first_number():
    trials = trials_of((0.9, 0.4), (0.9, 0.3), (0.9, 0.3), "failed")
    assert best_of(trials, higher=True) is trials[1]
    assert best_of(trials[:1], higher=False) is trials[0]
    assert best_of(trials[3:], higher=True) is None
    assert best_of(trials_of((0.2,), (0.1,)), higher=False).number == 1


def test_a_sampler_is_told_the_worst_score_of_diverged_trials_and_none_of_failed_ones():
    trials = trials_of((0.9,), (0.4,), "diverged", "failed")
    assert scores(trials, higher=True) == [0.9, 0.4, 0.4, None]
    assert scores(trials, higher=False) == [0.9, 0.4, 0.9, None]
    assert scores(trials[2:], higher=True) == [None, None]


def test_a_sampler_is_told_chance_of_diverged_trials_unless_one_ended_worse():
    trials = trials_of((0.9,), "diverged", "failed", (0.05,))
    assert scores(trials[:3], higher=True, level=0.1) == [0.9, 0.1, None]
    assert scores(trials, higher=True, level=0.1) == [0.9, 0.05, None, 0.05]
    assert scores(trials[:3], higher=False, level=2.3) == [0.9, 2.3, None]
    assert scores(trials[1:3], higher=True, level=0.1) == [0.1, None]


def test_15_of_16_diverged_trials_do_not_promise_the_winners_score():
    trials = trials_of(*["diverged"] * 15, (0.97,))
    curve = expected(trials, True, 0.1)
    assert curve.expected[0] == pytest.approx((15 * 0.1 + 0.97) / 16) and curve.expected[-1] == 0.97
    assert expected(trials[:15], True, 0.1) is None


@pytest.fixture
def study_of(registry, record):
    """The only row of a study of SGD: metrics of tuned runs, and how its default runs ended."""

    def of(task, tuned, default=None, status="diverged"):
        study = make_study(registry, ("sgd",))
        records = [record(task=task, metric=tuned[0], trial=0)]
        for seed, metric in enumerate(tuned):
            defaults = {"status": status, "metric": default, "settings": "default"}
            records += [record(task=task, metric=metric, seed=seed, settings="tuned")]
            records += [record(task=task, seed=seed, **defaults)]
        (row,) = rows(found(study, records))
        return row

    return of


@pytest.mark.parametrize(
    ("task", "commonest"),
    [("digits_mlp", 33 / 325), ("breast_cancer_logreg", 68 / 109), ("diabetes_mlp", 0.0)],
)
def test_defaults_that_all_diverged_score_chance(study_of, task, commonest):
    """Not the worst of the tuned runs, 0.968."""
    row = study_of(task, [0.97, 0.972, 0.968, 0.971, 0.969])
    assert row.default.values == pytest.approx([commonest] * 5) and row.default.lost == 5
    assert row.tuned.interval.estimate == pytest.approx(0.97)


def test_a_diverged_run_never_scores_above_one_that_ended(study_of):
    assert study_of("diabetes_mlp", [0.4, -3.0]).default.values == (-3.0, -3.0)


def test_seeds_that_agree_leave_the_uncertainty_of_the_test_samples(study_of):
    """108 of 109 right, thrice: the seeds' interval has no width, Wilson's of 109 samples has (R's
    prop.test without continuity correction: 0.9499, 0.9984)."""
    row = study_of("breast_cancer_logreg", [108 / 109] * 3, 0.5, "ok")
    assert row.tuned.interval[:3] == pytest.approx((108 / 109,) * 3) and row.tuned.samples == 109
    assert row.tuned.sampled[:3] == pytest.approx((108 / 109, 0.9499, 0.9984), abs=1e-4)
    shown = "99.08% [99.08%, 99.08%]; 109 samples: [94.99%, 99.84%]"
    assert tune_text.scored(row.tuned, "accuracy") == shown
    assert "over other test samples" in tune_text.intervals_note([row])
    assert study_of("diabetes_mlp", [0.4] * 3).tuned.sampled is None


# Inclusion


def make_study(registry, optimizers, **changes):
    kept = {name: SpaceFile.of(registry.optimizers[name].space) for name in optimizers}
    fields = {"tasks": ("digits_mlp",), "frameworks": ("numpy",), "sampler": "random", "budget": 1}
    return StudyFile.model_validate({**fields, "optimizers": optimizers, "spaces": kept, **changes})


@pytest.mark.parametrize(
    ("momentum", "verdict"),
    [
        ((0.90, 0.91, 0.92, 0.90, 0.91), "not shown to be worse"),
        ((0.80, 0.81, 0.82, 0.80, 0.81), "under-tuned"),
        ((0.8,), "cannot be told"),
    ],
)
def test_a_general_optimizer_worse_than_its_special_case(registry, record, momentum, verdict):
    sgd = (0.90, 0.90, 0.92, 0.91, 0.90)[: len(momentum)]
    records = []
    for name, tuned in (("sgd", sgd), ("momentum", momentum)):
        records.append(record(name, trial=0))
        for seed, score in enumerate(tuned):
            records.append(record(name, metric=score, seed=seed, settings="tuned"))
    study = make_study(registry, ("sgd", "momentum"))
    (check,) = inclusions(study, rows(found(study, records)))
    assert (check.general, check.special) == ("momentum", "sgd")
    assert (check.claim, check.verdict) == ("contained", verdict)


def test_a_space_that_no_longer_holds_the_other_says_so(registry, record):
    study = make_study(registry, ("sgd", "momentum"))
    narrow = SpaceFile(ranges={"learning_rate": {"low": 0.1, "high": 1.0}}, source="-")
    study = study.model_copy(update={"spaces": {**study.spaces, "momentum": narrow}})
    records = [record(name, trial=0) for name in ("sgd", "momentum")]
    (check,) = inclusions(study, rows(found(study, records)))
    assert check.claim == "not contained" and check.verdict == "cannot be told"


# The journal


def test_a_line_cut_short_is_forgotten_and_a_broken_one_is_said(tmp_path):
    told = {"task": "t", "optimizer": "o", "framework": "f", "trial": 0, "way": "w"}
    line = Suggestion(**told, settings={"learning_rate": 0.1}, digests=("d" * 24,))
    Journal(tmp_path).write(line)
    with (tmp_path / "trials.jsonl").open("a") as opened:
        opened.write('{"task": "t", "opt')
    journal = Journal(tmp_path)
    journal.write(line)
    assert Journal(tmp_path).asked == (line, line)
    with (tmp_path / "trials.jsonl").open("a") as opened:
        opened.write("nonsense\n")
    with pytest.raises(UserError, match=r"trials.jsonl, line 3"):
        Journal(tmp_path)


def test_the_way_of_a_study_changes_with_its_suggestions_alone(registry):
    study = make_study(registry, ("sgd",))
    same = {"budget": 9, "seeds": 3, "fresh_seeds": 2, "steps": 10, "batch": 4}
    way = study.way("sgd")
    for key, value in same.items():
        assert study.model_copy(update={key: value}).way("sgd") == way
    grid, tpe = {"sampler": "grid"}, {"sampler": "tpe"}
    other = [{"seed": 1}, tpe, {**tpe, "batch": 2}, grid, {**grid, "budget": 2}]
    assert len({way, *(study.model_copy(update=change).way("sgd") for change in other)}) == 6


def test_hypers_that_are_no_range_of_the_optimizer_are_refused():
    mine = optimizer_of(a=Hyper(0.5, "-", 0.1, 0.9))
    for given in (Range(0.0, 0.5), Range(0.5, 0.95), Range(0.05, 0.5, below_one=True)):
        with pytest.raises(UserError, match="leaves what it takes"):
            spaces.check(SearchSpace({"a": given}, "-"), mine)
    spaces.check(SearchSpace({"a": Range(0.1, 0.9, log=True, below_one=True)}, "-"), mine)
