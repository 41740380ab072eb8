"""Diagnosis: made-up curves and norms for every rule, arbitrary ones, real runs, and the report."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from gradrace import diagnosis
from gradrace.data import chance
from gradrace.data.chance import Chance
from gradrace.diagnosis import Course, diagnose
from gradrace.diagnosis.course import course_of, steps_of_epoch
from gradrace.diagnosis.curves import turning_points
from gradrace.layers import Activation, Dense, Dropout
from gradrace.record import Curve, Norms
from gradrace.report.tables import diagnosed
from gradrace.results import frame
from gradrace.spec import Regularization
from gradrace.sweep.store import Store
from gradrace.worker.train import train
from hypothesis import given, settings
from hypothesis import strategies as st
from records import VERSIONS, make_curve, make_result, make_results, make_specs, make_task, page_of
from threadpoolctl import threadpool_limits
from tiny import TINY, toml

STEPS, EVERY = 400, 40
AT = np.arange(0, STEPS + 1, EVERY)


def course(training, validation, metric=0.0, noise=0.0, every=EVERY, epoch=40, **changes):
    """A course whose losses are functions of the step, or arrays; batches are noisy by this share
    of the first loss. The target, 0.8, is missed unless `metric` says otherwise."""
    task = make_task("made").model_copy(update={"steps": STEPS, "eval_every": every, **changes})
    steps, evaluated = np.arange(STEPS), np.arange(0, STEPS + 1, every)
    train, losses = (
        f(at) if callable(f) else np.array(f, float)
        for f, at in ((training, steps), (validation, evaluated))
    )
    if noise:
        train = train + noise * train[0] * np.random.default_rng(0).normal(size=len(train))
    metrics = np.full(len(losses), metric)
    return Course(task, train, evaluated[: len(losses)], losses, metrics, epoch)


def both(loss, metric=0.0, noise=0.0, **changes):
    """A course whose training and validation losses are this function."""
    return course(loss, loss, metric, noise, **changes)


def drawn(training, validation, metrics, epoch=4, **changes):
    """A course of these values, evaluated every fifth step."""
    return replace(
        course(np.ones(1), np.ones(1), epoch=epoch, **changes),
        train_losses=np.array(training),
        validation_losses=np.array(validation),
        validation_metrics=np.array(metrics),
        eval_steps=np.arange(len(validation), dtype=np.int64) * 5,
    )


def told(findings):
    """Rules and steps of findings, as the tables below write them."""
    return ", ".join(f"{finding.rule} {finding.step}" for finding in findings)


def rules(findings):
    return {finding.rule for finding in findings}


def decay(to, over, start=2.0):
    """A loss that falls from `start` to `to`, most of the way within `over` steps."""
    return lambda step: to + (start - to) * np.exp(-np.asarray(step) / over)


def bump(low, then, at, start=2.0):
    """Down to `low` at this step, then up to `then` at the last."""
    return lambda step: np.interp(step, [0, at, STEPS], [start, low, then])


def spike(height, after=0.02):
    """A training loss: down to 0.02 by step 100, high from step 180 to 200, then `after`."""

    def loss(step):
        calm = np.where(np.asarray(step) < 200, decay(0.02, 20)(step), after)
        return np.where((np.asarray(step) >= 180) & (np.asarray(step) < 200), height * 2, calm)

    return loss


def wave(size, period, around=1.0):
    """Up and down around a level."""
    return lambda step: around + size * np.cos(2 * np.pi * np.asarray(step) / period)


def zigzag(size, around):
    """Validation losses that go up and down at every evaluation."""
    return around + size * (-1.0) ** np.arange(11)


def risen(loss, last):
    """Validation losses of this function, but for the last one."""
    return [*loss(AT[:-1]), last]


def late_spike(step):
    return bump(0.1, 0.1, 200)(step) + 1.5 * (step >= 360)


EARLY_RISE = [2, 5, 1, 0.4, 0.3, 0.2, 0.15, 0.12, 0.1, 0.1, 1.0]
RISE_AS_BEFORE = [2, 0.5, 0.3, 0.45, 0.3, 0.25, 0.2, 0.19, 0.18, 0.15, 0.24]
HEALTHY = {
    "a good run": course(decay(0.01, 40), decay(0.1, 40), 0.9, 0.02),
    "good, and noisy as a single sample": course(decay(0.01, 40), decay(0.1, 40), 0.9, 0.2),
    "good, and noisy as few samples are": course(decay(0.01, 40), decay(0.1, 40), 0.9, 0.5),
    "good, validation stirs": course(decay(0.02, 30), zigzag(0.02, decay(0.15, 30)(AT)), 0.9),
    "worse again by a little": course(bump(0.1, 0.3, 200), decay(0.1, 40), 0.9),
    "falling, and the target reached": both(decay(0.0, 200), 0.9),
    "a floor that is as good as 0": both(decay(0.1, 20), 0.5),
    "turned by a little": course(decay(0.01, 60), bump(0.5, 0.545, 120), 0.9),
    "turned at next to nothing": course(decay(0.01, 60), bump(0.05, 0.08, 120), 0.9),
    "turned, with little learnt then": course(bump(0.5, 0.475, 120), bump(0.6, 0.88, 120), 0.9),
    "turned, of a stuck training loss": course(decay(0.5, 10), bump(0.6, 0.75, 120), 0.9),
    "rose by a hair": course(decay(0.01, 60), bump(0.5, 0.52, 120), 0.9),
    "rose near the precision of floats": course(decay(1e-9, 10), risen(decay(1e-9, 10), 1e-8), 0.9),
    "rose at the end as it did before": course(decay(0.1, 60), RISE_AS_BEFORE, 0.9),
    "negative, from next to nothing": both(decay(-2, 40, 0.01), 0.9, 0.02),
    "smoothed labels": course(decay(0.66, 20), decay(0.67, 20), 0.5, label_smoothing=0.5),
    "a gap that does not keep it from the target": course(decay(0.001, 20), decay(1.5, 20), 0.9),
    "losses of 0": course(np.zeros(STEPS), np.zeros(11)),
}
# Rules -> name of the curve -> the step that they name, and the curve.
FOUND = {
    "diverged": {
        "not a number in the middle": (50, course(np.append(np.ones(50), np.nan), [1, 1])),
        "an infinite validation loss": (80, course(np.ones(80), [1, 1, np.inf])),
        "ended far above the start": (120, both(bump(1.9, 20, 100))),
    },
    "oscillating": {
        "up and down": (40, course(decay(1, 10), wave(0.5, 100))),
        "training loss up and down": (120, course(wave(0.5, 200), decay(0.4, 100), 0.9, 0.02)),
        "learnt and lost again": (240, both(bump(0.1, 1.2, 200))),
        "a spike that did not recover": (160, course(spike(1.5, 0.6), decay(0.1, 40), 0.9)),
        "a spike at the very end": (360, course(late_spike, decay(0.1, 40), 0.9)),
    },
    "too slow": {
        "hardly moved": (0, both(decay(1.99, 200), 0.0, 0.05)),
        "did not move": (0, both(decay(2, 1))),
        "trembled": (0, course(decay(2, 1), zigzag(5e-5, 2))),
        "straight down, from afar": (266, both(lambda s: 10 - s / 400)),
        "straight down": (266, both(lambda s: 2 - s / 400)),
        "still falling when it ended": (266, both(decay(0.0, 200))),
    },
    "under-fitting, plateaued": {
        "shook": (0, course(decay(2, 1), zigzag(8e-4, 2))),
        "stuck, validation moving": (0, course(decay(2, 1), zigzag(0.02, 2), noise=0.02)),
        "a high floor": (80, course(decay(1.2, 20), decay(1.25, 20), 0.5, 0.02)),
    },
    "under-fitting": {
        "all but done falling": (0, both(decay(5, 100, 10.0))),
        "under dropout, validation turned": (0, course(decay(1.0, 100), bump(0.7, 0.9, 120), 0.5)),
    },
    "plateaued": {
        "a low floor": (80, both(decay(0.3, 20), 0.5)),
        "a floor below the validation loss": (80, course(decay(0.6, 20), decay(1.2, 20), 0.5)),
        "lower than in training, by dropout": (80, course(decay(1.0, 20), decay(0.3, 20), 0.5)),
    },
    "over-fitting": {
        "a validation loss that turned": (120, course(decay(0.01, 60), bump(0.5, 1.1, 120), 0.9)),
        "turned by a third": (120, course(decay(0.01, 60), bump(0.5, 0.7, 120), 0.9)),
        "learnt by heart": (400, course(decay(0.001, 20), decay(1.5, 20), 0.5)),
    },
    "validation loss rose": {
        "rose tenfold at the end": (360, course(decay(0.01, 40), risen(decay(0.1, 40), 1.0), 0.9)),
        "rose, from nothing": (360, course(decay(0.001, 40), risen(decay(0.001, 40), 0.012), 0.9)),
        "rose tenfold, and early on by more": (320, course(decay(0.01, 40), EARLY_RISE, 0.9)),
        "rose by half, training stuck": (120, course(decay(0.5, 10), bump(0.6, 0.95, 120), 0.9)),
        "negative, and risen": (360, course(decay(-2, 40), risen(decay(-1, 40), -0.1), 0.9)),
    },
    "recovered spike": {
        "a spike that recovered": (160, course(spike(1.5), decay(0.1, 40), 0.9)),
        "recovered, twice as high as the start": (160, course(spike(4.0), decay(0.1, 40), 0.9)),
    },
    "unjudged": {
        "three evaluations": (80, course(decay(0.1, 9)(np.arange(80)), [2, 1, 0.5])),
        "one evaluation": (0, course([], [2.0])),
        "nothing at all": (0, course([], [])),
    },
}
CURVES = {name: ("healthy 400", made) for name, made in HEALTHY.items()} | {
    name: (", ".join(f"{rule} {step}" for rule in together.split(", ")), made)
    for together, rows in FOUND.items()
    for name, (step, made) in rows.items()
}


@pytest.mark.parametrize(("expected", "made"), CURVES.values(), ids=CURVES)
def test_each_curve_gets_its_findings(expected, made):
    assert told(diagnose(made)) == expected


def test_a_reason_is_a_sentence_with_the_numbers():
    (turned,) = diagnose(CURVES["a validation loss that turned"][1])
    assert turned.severity == "warning"
    assert turned.reason == TURNED
    for _, made in CURVES.values():
        for finding in diagnose(made):
            assert finding.reason[0].isupper()
            assert finding.reason.endswith(".")
            assert any(map(str.isdigit, finding.reason))


TURNED = (
    "The validation loss was lowest, 0.5, after step 120 and rose to 1.01, while the training loss"
    " fell from 0.208 to 0.0136."
)
FALLING, RISING, FLAT = [3, 2, 1], [1, 2, 3], [2, 2, 2]


@pytest.mark.parametrize("values", [FALLING, RISING, FLAT, [3, 2.5, 3, 2.5, 3], [], [1]])
def test_curves_without_swings_have_no_turns(values):
    assert turning_points(np.array(values, float), 1.0) == []


@pytest.mark.parametrize(
    ("values", "turns"),
    [
        ([3, 1, 3], [1]),
        ([1, 3, 1], [1]),
        ([3, 1, 3, 1, 3], [1, 2, 3]),
        ([3, 1, 1.5, 1, 3], [1]),
        ([3, 2, 1, 2, 3, 2, 1], [2, 4]),
        ([1, 0.5, 3, 0], [2]),
    ],
)
def test_turns_are_the_extremes_between_swings(values, turns):
    assert turning_points(np.array(values, float), 1.0) == turns


def test_a_run_that_ended_diverged_says_so_in_the_words_of_its_record():
    said = "the training loss at step 59 is 1e+09"
    (found,) = diagnose(replace(course(np.ones(60), [1, 1]), diverged=True, reason=said))
    assert (found.rule, found.severity, found.step) == ("diverged", "error", 59)
    assert found.reason.startswith("The training loss at step 59 is 1e+09")


def test_functions_of_a_point_have_nothing_to_fit(registry):
    point = registry.tasks["rosenbrock"]
    for name in ("a validation loss that turned", "learnt by heart", "a high floor"):
        made = CURVES[name][1]
        task = point.model_copy(update={"target": made.task.target})
        assert not rules(diagnose(replace(made, task=task))) & {"over-fitting", "under-fitting"}


def test_a_penalty_in_the_training_loss_is_not_a_gap():
    """Only batches' losses hold the penalty: 2 + 3 at the start, against a validation loss of 2."""
    penalised = Regularization(l2=0.1)
    made = course(decay(3.1, 40, 5.0), decay(0.1, 40), 0.9, 0.01, regularization=penalised)
    assert told(diagnose(made)) == "healthy 400"
    assert (made.start, made.train_start) == (2.0, pytest.approx(5.0, rel=0.05))


def test_epochs_are_counted_in_batches_of_the_share_trained_on(registry):
    task = registry.tasks["digits_mlp"]
    samples = diagnosis.course.data.training_samples("digits")
    quarter = task.model_copy(update={"train_fraction": 0.25})
    assert steps_of_epoch(task) == samples // 32
    assert steps_of_epoch(quarter) == int(samples * 0.25) // 32
    assert steps_of_epoch(task.model_copy(update={"train_fraction": 0.001})) == 1
    assert steps_of_epoch(task.model_copy(update={"data": "elsewhere"})) == task.eval_every


STRANGE = [np.nan, np.inf, -np.inf, 0.0, 1e300, -1e300]
LOSS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from(STRANGE))


CHANCE = Chance(0.1, 2.3, 1000, "made up")
L1, L2 = Regularization(l1=1.0), Regularization(l2=1.0)
NO_FIT = ["under-fitting", "plateaued"]
AT_CHANCE = {
    "a collapse under a penalty": (
        ["at chance"],
        course(decay(2.31, 40, 249.0), decay(2.3, 40, 3.1), 0.1, regularization=L2),
    ),
    "a collapse without one": (["at chance"], both(decay(2.3, 20, 3.1), 0.1)),
    "an accuracy that chance may have": (["at chance"], both(decay(2.3, 20, 3.1), 0.118)),
    "an accuracy that chance has not": (NO_FIT, both(decay(2.3, 20, 3.1), 0.2)),
    "a loss below that of chance": (NO_FIT, both(decay(2.0, 20, 3.1), 0.1)),
    "stands still": (["too slow"], both(decay(2.3, 200, 2.31), 0.1)),
    "little learnt from a start far above chance": (NO_FIT, both(decay(1.5, 20, 100.0), 0.5)),
    "the same under a penalty": (
        NO_FIT,
        course(decay(30, 20, 300.0), decay(1.5, 20, 100.0), 0.5, regularization=L1),
    ),
    "a regression that predicts the mean": (["at chance"], both(decay(2.3, 20, 9.0))),
    "learnt": (["healthy"], course(decay(0.05, 20, 3.1), decay(0.1, 20, 3.1), 0.9)),
}


@pytest.mark.parametrize(("expected", "made"), AT_CHANCE.values(), ids=AT_CHANCE)
def test_findings_are_measured_against_chance(expected, made):
    assert [finding.rule for finding in diagnose(replace(made, chance=CHANCE))] == expected


def test_the_majority_of_an_unbalanced_binary_task_is_chance():
    """99% of one class: a loss of 0.056 is 8% of the first, and all that a constant has."""
    made = both(decay(0.056, 20, 0.69), 0.99, target=0.999)
    chance = Chance(0.99, 0.056, 1000, "made up")
    assert [finding.rule for finding in diagnose(replace(made, chance=chance))] == ["at chance"]
    assert [finding.rule for finding in diagnose(replace(made, chance=None))] == ["healthy"]


@settings(deadline=None, max_examples=100)
@given(
    training=st.lists(st.floats(0.0, 1e3), min_size=20, max_size=60),
    validation=st.lists(st.floats(0.0, 1e3), min_size=4, max_size=12),
    l2=st.sampled_from([0.0, 0.1]),
    metric=st.floats(0, 1),
    chance=st.none() | st.floats(0, 5),
)
def test_no_run_fits_too_well_and_not_well_enough(training, validation, l2, metric, chance):
    penalty = Regularization(l2=l2)
    made = drawn(training, validation, np.full(len(validation), metric), regularization=penalty)
    made = replace(made, chance=None if chance is None else Chance(0.1, chance, 100, "made up"))
    found = rules(diagnose(made))
    assert not {"over-fitting", "under-fitting"} <= found
    assert not ({"healthy"} & found and len(found) > 1)
    low, last = min(validation), validation[-1]
    lows = np.minimum.accumulate(validation)
    pairs = zip(validation[:-1], lows, strict=False)
    unlike_before = all(value * low < last * least for value, least in pairs)
    tenfold = last > 10 * low and last - low > 0.2 * made.scale and unlike_before
    assert not (tenfold and "healthy" in found), "it ended tenfold above its lowest"


@settings(deadline=None, max_examples=150)
@given(training=st.lists(LOSS, max_size=60), validation=st.lists(LOSS, max_size=12), data=st.data())
def test_no_curve_is_too_strange(training, validation, data):
    metrics = data.draw(st.lists(LOSS, min_size=len(validation), max_size=len(validation)))
    made = drawn(training, validation, metrics, epoch=data.draw(st.integers(1, 100)))
    found = diagnose(made)
    assert found and all(finding.reason and finding.rule in diagnosis.RULES for finding in found)


@settings(deadline=None, max_examples=100)
@given(
    training=st.lists(st.floats(0.001, 1e3), min_size=20, max_size=60),
    validation=st.lists(st.floats(0.001, 1e3), min_size=4, max_size=12),
    power=st.integers(-20, 20),
)
def test_the_unit_of_the_loss_does_not_matter(training, validation, power):
    def found(scale):
        made = drawn(
            scale * np.array(training), scale * np.array(validation), np.zeros(len(validation))
        )
        return [(finding.rule, finding.severity, finding.step) for finding in diagnose(made)]

    assert found(1.0) == found(2.0**power)


# Norms

RELU = Activation(function="relu")
DEEP_MODEL = (Dense(units=8), RELU, Dense(units=8), RELU, Dense(units=2))
DEEP = make_task("deep").model_copy(update={"model": DEEP_MODEL})
KERNELS, BIASES = ([f"{i}_dense.{part}" for i in (0, 2, 4)] for part in ("kernel", "bias"))
W0, W2, W4 = KERNELS
B0, B2, B4 = BIASES


def norms_of(gradients, zeros=None, steps=(0, 10, 20, 30)):
    """Norms of DEEP: parameter -> its gradient's norm, or norms, over the steps; 1 and no zeros if
    nothing is given."""
    names, ones = [W0, B0, W2, B2, W4, B4], np.ones(len(steps))
    parameter = np.repeat(names, len(steps))
    gradient = np.concatenate([ones * gradients.get(name, 1.0) for name in names])
    share = np.concatenate([ones * (zeros or {}).get(name, 0.0) for name in names])
    one = np.ones_like(gradient)
    return Norms(np.tile(steps, len(names)), parameter, one, gradient, one, share)


NORMS = {
    "even": (norms_of({}), []),
    "one layer far behind": (norms_of({W0: 1e-5}), [("vanishing gradients", 0, W0)]),
    "one that falls behind": (
        norms_of({W2: [1, 1e-5, 1e-6, 1e-6]}),
        [("vanishing gradients", 10, W2)],
    ),
    "behind at one step only": (norms_of({W0: [1, 1, 1, 1e-9]}), []),
    "small everywhere": (norms_of(dict.fromkeys(KERNELS + BIASES, 1e-9)), []),
    "no gradient at all": (
        norms_of({W0: 0.0, B0: 0.0}, {W0: 1.0, B0: 1.0}),
        [("vanishing gradients", 0, W0)],
    ),
    "grown a thousandfold": (norms_of({W2: [1, 1, 3000, 5000]}), [("exploding gradients", 20, W2)]),
    "not a number": (norms_of({W4: [1, np.nan, 1, 1]}), [("exploding gradients", 10, W4)]),
    "units that died": (norms_of({}, {B2: [0, 0.25, 0.75, 0.75]}), [("dead units", 20, "2_dense")]),
    "units that rest": (norms_of({}, {B2: [0.75, 0.75, 0.25, 0.75]}), []),
    "outputs that rest": (norms_of({}, {B4: 1.0}), []),
    "inputs that are always 0": (norms_of({W0: 0.05}, {W0: 0.75}), []),
    "nothing left to learn": (
        norms_of(*(dict.fromkeys(KERNELS + BIASES, by) for by in ([1, 0, 0, 0], [0, 1, 1, 1]))),
        [],
    ),
    "a single step": (norms_of({W0: 1e-5}, steps=(0,)), [("vanishing gradients", 0, W0)]),
    "no step": (norms_of({}, steps=()), []),
}


@pytest.mark.parametrize(("norms", "expected"), NORMS.values(), ids=NORMS)
def test_each_layer_gets_its_findings(norms, expected):
    good = replace(HEALTHY["a good run"], task=DEEP)
    found = [finding for finding in diagnose(good, norms) if finding.rule != "healthy"]
    assert [(finding.rule, finding.step) for finding in found] == [rest[:2] for rest in expected]
    for finding, (_, _, name) in zip(found, expected, strict=True):
        assert name in finding.reason


# Real runs


def dense(units, activation, depth):
    hidden = (Dense(units=units, initializer="zeros"), Activation(function=activation))
    return {"model": (*hidden * depth, Dense(units=10, initializer="zeros"))}


@pytest.fixture
def findings(make_run, open_numpy):
    """Trains a task in the NumPy reference and diagnoses it; `norms`: with its gradients' norms."""

    def of(task, optimizer="adam", rate=None, norms=False):
        run = make_run(name=optimizer).model_copy(update={"task": task, "diagnose": norms})
        schedule = run.schedule.model_copy(update={"base_lr": rate or run.schedule.base_lr})
        run = run.model_copy(update={"schedule": schedule})
        # The nets are so small that threads of NumPy's BLAS only wait for each other.
        with np.errstate(all="ignore"), threadpool_limits(1):
            training = train(open_numpy(run), task, diagnose=norms)
        return diagnose(course_from(training, task), training.norms)

    return of


def course_from(training, task):
    curve, diverged = training.curve, training.status == "diverged"
    return Course(
        task,
        *(curve.train_losses, curve.eval_steps, curve.validation_losses, curve.validation_metrics),
        *(steps_of_epoch(task), diverged, training.reason, chance.of(task)),
    )


LEARNS_NOTHING = {"too slow", "vanishing gradients"}
RUNS = {
    "the default": ("sgd", None, {}, {"healthy"}),
    "a rate of 10": ("sgd", 10.0, {}, {"diverged"}),
    "a rate of 1": ("sgd", 1.0, {}, {"oscillating", "dead units"}),
    "Adam's rate of 0.03": ("adam", 0.03, {}, {"oscillating", "dead units"}),
    "a rate of 1e-6": ("sgd", 1e-6, {}, {"too slow"}),
    "Adam's rate of 1e-6": ("adam", 1e-6, {}, {"too slow"}),
    "sigmoids in a row": ("adam", None, dense(64, "sigmoid", 6), LEARNS_NOTHING),
    "nothing but zeros": ("sgd", None, dense(32, "relu", 2), LEARNS_NOTHING),
}


@pytest.mark.parametrize(("name", "rate", "changes", "expected"), RUNS.values(), ids=RUNS)
def test_real_runs_on_digits(findings, registry, name, rate, changes, expected):
    task = registry.tasks["digits_mlp"].model_copy(update=changes)
    assert rules(findings(task, name, rate, norms=True)) == expected


def test_a_wide_net_over_fits_diabetes(findings, registry):
    wide = (Dense(units=256, initializer="he_normal"), RELU, Dense(units=1))
    task = registry.tasks["diabetes_mlp"].model_copy(update={"model": wide})
    (found,) = [finding for finding in findings(task) if finding.rule == "over-fitting"]
    assert 0 < found.step < task.steps


DROPOUT = Dropout(rate=0.9)


def penalty(**amounts):
    return lambda model: {"regularization": Regularization(**amounts)}


def dropout(model):
    """Dropout of 0.9 after every activation."""
    after = [(layer, DROPOUT) if isinstance(layer, Activation) else (layer,) for layer in model]
    return {"model": tuple(layer for layers in after for layer in layers)}


PENALISED = {
    "L2 of 1": ("digits_mlp", penalty(l2=1.0), "at chance"),
    "L1 of 0.1": ("digits_mlp", penalty(l1=0.1), "at chance"),
    "L2 of 0.01": ("digits_mlp", penalty(l2=0.01), "healthy"),
    "dropout of 0.9": ("digits_mlp", dropout, "at chance"),
    "L2 of 10 on a regression": ("diabetes_mlp", penalty(l2=10.0), "at chance"),
    "smoothed labels": ("digits_mlp", lambda model: {"label_smoothing": 0.3}, "healthy"),
}


@pytest.mark.parametrize(("task", "change", "expected"), PENALISED.values(), ids=PENALISED)
def test_penalties_or_dropout_drive_real_runs_to_chance(findings, registry, task, change, expected):
    spec = registry.tasks[task]
    changed = spec.model_copy(update=change(spec.model))
    assert rules(findings(changed, "sgd" if task == "diabetes_mlp" else "adam")) == {expected}


# Findings are stored and shown


def store(output, specs, norms):
    """Results of these specs with the same norms for all."""
    plan = make_results(output, specs=specs)
    with Store(output, "demo") as kept:
        for spec, digest in zip(specs, plan.digests, strict=True):
            kept.write(replace(make_result(spec, digest, "ok", "", make_curve(spec)), norms=norms))
    return plan


def test_norms_are_kept_beside_the_curve_and_come_back(tmp_path):
    norms = norms_of({W0: [np.nan, 1, 2, 3]})
    plan = store(tmp_path, make_specs([DEEP], ["torch"], ["sgd"], [0], launches=0), norms)
    kept = frame.load(tmp_path).norms
    assert set(kept["digest"]) == set(plan.digests) and list(kept) == ["digest", *Norms.DTYPES]
    assert kept["parameter"].tolist() == norms.parameter.tolist()
    assert np.array_equal(kept["gradient"], norms.gradient, equal_nan=True)
    assert kept["step"].tolist() == norms.step.tolist()
    again = Norms.from_lists(json.loads(json.dumps(norms.to_lists())))
    assert np.array_equal(again.gradient, norms.gradient, equal_nan=True)
    assert again.parameter.tolist() == norms.parameter.tolist()


ENDS = [("ok", ""), ("diverged", "the loss became inf"), ("failed", "out of memory")]


def test_every_judged_run_has_findings_in_the_plans_order(tmp_path):
    specs = make_specs(["mlp"], ["torch", "jax"], ["sgd"], range(3))
    plan = make_results(tmp_path, specs=specs, judge=lambda spec: ENDS[spec.seed])
    frames = frame.load(tmp_path)
    found = diagnosis.of(frames, "demo")
    assert list(found) == ["digest", "rule", "severity", "step", "reason"]
    ran = {digest: record.spec for digest, record in frames.records.items()}
    trained = [digest for digest in plan.digests if ran[digest].measure == "convergence"]
    judged = [digest for digest in trained if ran[digest].seed < 2]
    assert list(dict.fromkeys(found["digest"])) == judged
    assert set(found.loc[found["digest"].isin(judged[1::2]), "rule"]) == {"diverged"}
    first = judged[0]
    curve = frames.curves[frames.curves["digest"] == first]
    columns = {name: rows.to_numpy() for name, rows in curve.items()}
    alone = [finding.rule for finding in diagnose(course_of(frames.records[first], columns))]
    assert alone == found.loc[found["digest"] == first, "rule"].tolist()


def test_a_suite_without_trained_runs_has_no_findings(tmp_path):
    make_results(tmp_path, specs=make_specs(["mlp"], ["torch"], ["sgd"], seeds=()))
    frames = frame.load(tmp_path)
    assert diagnosis.of(frames, "demo").empty and diagnosed.findings(frames, "demo").empty
    assert "demo-diagnosis" not in page_of(frames, tmp_path)


def test_the_report_counts_findings_and_names_their_runs(tmp_path):
    norms = norms_of({W0: 1e-5, W2: 1e-5})
    grid = make_specs([DEEP], ["torch", "jax"], ["sgd", "adam"], rates=(0.1, 0.01), launches=0)
    store(tmp_path, grid, norms)
    frames = frame.load(tmp_path)
    table = diagnosed.findings(frames, "demo")
    vanishing = table[table["rule"] == "vanishing gradients"]
    assert len(vanishing) == 2 * 2 * 2, "one row a framework, optimizer and rate"
    assert (vanishing["runs"] == 3).all()
    assert (vanishing["judged"] == 3).all(), "two layers of a run are one run"
    assert (vanishing["digests"].str.split().str.len() == 3).all()
    assert vanishing["reason"].str.contains("0_dense.kernel").all()
    ranks = table["severity"].map(diagnosis.SEVERITIES.index)
    assert ranks.is_monotonic_increasing
    drawn = diagnosed.gradient_norms(frames, "demo")
    assert set(drawn["layer"]) == {"0_dense", "2_dense", "4_dense"} and (drawn["runs"] == 3).all()
    first = drawn.loc[drawn["layer"] == "0_dense", "mean"].to_numpy()
    assert first == pytest.approx(np.hypot(1e-5, 1))
    page = page_of(frames, tmp_path)
    assert 'id="demo-diagnosis"' in page
    assert 'id="demo-fig-deep-sgd-norms"' in page
    assert 'id="demo-fig-deep-adam-norms"' in page
    assert (tmp_path / "html" / "data" / "demo" / "findings.csv").exists()


def shares(fractions, tasks=("mlp",)):
    """Trained runs of each share of the training split, named as a suite names them."""
    made = make_specs(tasks, ["torch", "jax"], ["sgd", "adam"], launches=0)
    for fraction in fractions:
        varied = {"train_fraction": fraction, "width": 8}
        for spec in made:
            task = spec.task.model_copy(update={"train_fraction": fraction})
            yield spec.model_copy(update={"task": task, "variations": varied})


def test_learning_curves_against_the_share_of_the_training_split(tmp_path):
    make_results(tmp_path, specs=list(shares([0.1, 0.5, 1.0])))
    frames = frame.load(tmp_path)
    table = diagnosed.by_fraction(frames, "demo")
    named = set(table["series"])
    assert named == {"sgd", "adam"} or all("train_fraction" not in name for name in named)
    assert len(table) == 2 * 2 * 3 * 3 and (table["runs"] == 3).all()
    runs = frames.runs.query("framework == 'jax' and optimizer == 'sgd'")
    picked = [frames.records[d].spec.task.train_fraction == 0.5 for d in runs["digest"]]
    row = table.query("setup == 'jax (scan)' and series.str.startswith('sgd') and fraction == 0.5")
    row, runs = row.set_index("metric"), runs.loc[picked]
    for metric, kind, by_hand in (
        ("validation_loss", "mean", runs["final_validation_loss"].mean()),
        ("validation_metric", "max", runs["final_validation_metric"].max()),
    ):
        assert row.loc[metric, kind] == pytest.approx(by_hand)
    page = page_of(frames, tmp_path)
    assert 'id="demo-fig-mlp-fractions"' in page
    assert (tmp_path / "html" / "data" / "demo" / "mlp-fractions.csv").exists()


def test_one_share_draws_no_learning_curve(tmp_path):
    make_results(tmp_path, specs=list(shares([0.5])))
    assert diagnosed.by_fraction(frame.load(tmp_path), "demo").empty


def test_show_tells_the_findings(gradrace, tmp_path):
    def curve(spec):
        made = CURVES["a validation loss that turned"][1]
        return Curve(
            made.train_losses, made.eval_steps, made.validation_losses, made.validation_metrics
        )

    task = make_task("mlp", steps=STEPS)
    specs = make_specs([task], ["torch"], ["sgd"], [0], launches=0)
    plan = make_results(tmp_path / "results", specs=specs, curve=curve)
    shown = gradrace("show", plan.digests[0]).stdout
    assert f"diagnosis        over-fitting since step 120: {TURNED[:60]}" in shown
    assert VERSIONS["torch"]["torch"] in shown


def test_diagnosed_runs_record_norms_with_the_same_losses(gradrace, tmp_path):
    (tmp_path / "tiny.toml").write_text(toml(TINY | {"seeds": 1, "timing": False}))
    for name, options in (("plain", ()), ("norms", ("--diagnose",))):
        done = gradrace("run", "tiny.toml", "-o", name, "--no-report", "-q", *options)
        assert done.returncode == 0, done.stderr
    plain, diagnosed_ = (frame.load(tmp_path / name) for name in ("plain", "norms"))
    assert np.array_equal(plain.curves["value"], diagnosed_.curves["value"])
    assert plain.norms.empty and set(diagnosed_.norms["digest"]) == set(diagnosed_.runs["digest"])
    assert (diagnosed_.norms.groupby("digest")["step"].unique().map(list) == [[0, 10]] * 2).all()
