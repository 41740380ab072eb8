"""Diagnosis: curves and norms made to order for every rule, arbitrary ones, real runs, and where
the findings are shown.
"""

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
from gradrace.report import diagnosed, writer
from gradrace.results import frame
from gradrace.spec import Regularization
from gradrace.sweep.store import Store
from gradrace.worker.train import train
from hypothesis import given, settings
from hypothesis import strategies as st
from records import VERSIONS, make_curve, make_result, make_results, make_specs, make_task
from threadpoolctl import threadpool_limits
from tiny import TINY, toml

STEPS, EVERY = 400, 40
AT = np.arange(0, STEPS + 1, EVERY)


def course(training, validation, metric=0.0, noise=0.0, every=EVERY, epoch=40, **changes):
    """A course of which the losses are functions of the step, or arrays; batches are noisy by this
    share of the first loss. The target, 0.8, is missed unless `metric` says otherwise."""
    task = make_task("made").model_copy(update={"steps": STEPS, "eval_every": every, **changes})
    steps, evaluated = np.arange(STEPS), np.arange(0, STEPS + 1, every)
    train_losses, losses = (
        f(at) if callable(f) else np.array(f, float)
        for f, at in ((training, steps), (validation, evaluated))
    )
    if noise:
        train_losses = train_losses + noise * train_losses[0] * np.random.default_rng(0).normal(
            size=len(train_losses)
        )
    return Course(
        task, train_losses, evaluated[: len(losses)], losses, np.full(len(losses), metric), epoch
    )


def decay(to, over, start=2.0):
    """A loss that falls from `start` to `to`, most of the way within `over` steps."""
    return lambda step: to + (start - to) * np.exp(-np.asarray(step) / over)


def bump(low, then, at, start=2.0):
    """Down to `low` at this step, then up to `then` at the last."""
    return lambda step: np.interp(step, [0, at, STEPS], [start, low, then])


def spike(height, after=0.02):
    """A training loss that falls to 0.02 by step 100, jumps up at step 180 for 20 steps, and is
    `after` from then on.
    """

    def loss(step):
        calm = np.where(np.asarray(step) < 200, decay(0.02, 20)(step), after)
        return np.where((np.asarray(step) >= 180) & (np.asarray(step) < 200), height * 2, calm)

    return loss


def wave(size, period, around=1.0):
    return lambda step: around + size * np.cos(2 * np.pi * np.asarray(step) / period)


CURVES = {
    "a good run": (course(decay(0.01, 40), decay(0.1, 40), 0.9, 0.02), [("healthy", 400)]),
    "good, and noisy as a single sample": (
        course(decay(0.01, 40), decay(0.1, 40), 0.9, 0.2),
        [("healthy", 400)],
    ),
    "good, and noisy as few samples are": (
        course(decay(0.01, 40), decay(0.1, 40), 0.9, 0.5),
        [("healthy", 400)],
    ),
    "good, with a validation loss that stirs": (
        course(decay(0.02, 30), decay(0.15, 30)(AT) + 0.02 * (-1.0) ** np.arange(11), 0.9),
        [("healthy", 400)],
    ),
    "not a number in the middle": (
        course(np.append(np.ones(50), np.nan), [1, 1]),
        [("diverged", 50)],
    ),
    "an infinite validation loss": (course(np.ones(80), [1, 1, np.inf]), [("diverged", 80)]),
    "ended far above the start": (
        course(bump(1.9, 20, 100), bump(1.9, 20, 100)),
        [("diverged", 120)],
    ),
    "up and down": (course(decay(1, 10), wave(0.5, 100)), [("oscillating", 40)]),
    "up and down in the training loss": (
        course(wave(0.5, 200), decay(0.4, 100), 0.9, 0.02),
        [("oscillating", 120)],
    ),
    "learnt and lost again": (
        course(bump(0.1, 1.2, 200), bump(0.1, 1.2, 200)),
        [("oscillating", 240)],
    ),
    "worse again by a little": (
        course(bump(0.1, 0.3, 200), decay(0.1, 40), 0.9),
        [("healthy", 400)],
    ),
    "hardly moved": (course(decay(1.99, 200), decay(1.99, 200), 0.0, 0.05), [("too slow", 0)]),
    "did not move": (course(decay(2, 1), decay(2, 1)), [("too slow", 0)]),
    "trembled": (course(decay(2, 1), 2 + 5e-5 * (-1.0) ** np.arange(11)), [("too slow", 0)]),
    "shook": (
        course(decay(2, 1), 2 + 8e-4 * (-1.0) ** np.arange(11)),
        [("under-fitting", 0), ("plateaued", 0)],
    ),
    "straight down, from afar": (
        course(lambda s: 10 - s / 400, lambda s: 10 - s / 400),
        [("too slow", 266)],
    ),
    "all but done falling": (
        course(decay(5, 100, 10.0), decay(5, 100, 10.0)),
        [("under-fitting", 0)],
    ),
    "straight down": (course(lambda s: 2 - s / 400, lambda s: 2 - s / 400), [("too slow", 266)]),
    "still falling when it ended": (course(decay(0.0, 200), decay(0.0, 200)), [("too slow", 266)]),
    "falling, and the target reached": (
        course(decay(0.0, 200), decay(0.0, 200), 0.9),
        [("healthy", 400)],
    ),
    "stuck beside a moving validation loss": (
        course(decay(2, 1), 2 + 0.02 * (-1.0) ** np.arange(11), noise=0.02),
        [("under-fitting", 0), ("plateaued", 0)],
    ),
    "a high floor": (
        course(decay(1.2, 20), decay(1.25, 20), 0.5, 0.02),
        [("under-fitting", 80), ("plateaued", 80)],
    ),
    "a low floor": (course(decay(0.3, 20), decay(0.3, 20), 0.5), [("plateaued", 80)]),
    "a floor that is as good as 0": (
        course(decay(0.1, 20), decay(0.1, 20), 0.5),
        [("healthy", 400)],
    ),
    "a floor that is lower than the validation loss": (
        course(decay(0.6, 20), decay(1.2, 20), 0.5),
        [("plateaued", 80)],
    ),
    "a validation loss that turned": (
        course(decay(0.01, 60), bump(0.5, 1.1, 120), 0.9),
        [("over-fitting", 120)],
    ),
    "one that turned by a third": (
        course(decay(0.01, 60), bump(0.5, 0.7, 120), 0.9),
        [("over-fitting", 120)],
    ),
    "one that turned by a little": (
        course(decay(0.01, 60), bump(0.5, 0.545, 120), 0.9),
        [("healthy", 400)],
    ),
    "one that turned at next to nothing": (
        course(decay(0.01, 60), bump(0.05, 0.08, 120), 0.9),
        [("healthy", 400)],
    ),
    "one that turned, with little learnt then": (
        course(bump(0.5, 0.475, 120), bump(0.6, 0.88, 120), 0.9),
        [("healthy", 400)],
    ),
    "one that turned, of a stuck training loss": (
        course(decay(0.5, 10), bump(0.6, 0.75, 120), 0.9),
        [("healthy", 400)],
    ),
    "one that rose by a hair": (
        course(decay(0.01, 60), bump(0.5, 0.52, 120), 0.9),
        [("healthy", 400)],
    ),
    "one that rose tenfold in the last tenth": (
        course(decay(0.01, 40), [*decay(0.1, 40)(AT[:-1]), 1.0], 0.9),
        [("validation loss rose", 360)],
    ),
    "one that rose tenfold at the end, of next to nothing": (
        course(decay(0.001, 40), [*decay(0.001, 40)(AT[:-1]), 0.012], 0.9),
        [("validation loss rose", 360)],
    ),
    "one that rose tenfold at the end, and early on by more": (
        course(decay(0.01, 40), [2, 5, 1, 0.4, 0.3, 0.2, 0.15, 0.12, 0.1, 0.1, 1.0], 0.9),
        [("validation loss rose", 320)],
    ),
    "lower than the training loss under dropout": (
        course(decay(1.0, 20), decay(0.3, 20), 0.5),
        [("plateaued", 80)],
    ),
    "one that rose threefold near the precision of floats": (
        course(decay(1e-9, 10), [*decay(1e-9, 10)(AT[:-1]), 1e-8], 0.9),
        [("healthy", 400)],
    ),
    "one that rose half above its lowest, of a stuck training loss": (
        course(decay(0.5, 10), bump(0.6, 0.95, 120), 0.9),
        [("validation loss rose", 120)],
    ),
    "one that rose at the end as it did before": (
        course(decay(0.1, 60), [2, 0.5, 0.3, 0.45, 0.3, 0.25, 0.2, 0.19, 0.18, 0.15, 0.24], 0.9),
        [("healthy", 400)],
    ),
    "negative, and risen at the end": (
        course(decay(-2, 40), [*decay(-1, 40)(AT[:-1]), -0.1], 0.9),
        [("validation loss rose", 360)],
    ),
    "negative, from next to nothing": (
        course(decay(-2, 40, 0.01), decay(-2, 40, 0.01), 0.9, 0.02),
        [("healthy", 400)],
    ),
    "a spike that recovered": (course(spike(1.5), decay(0.1, 40), 0.9), [("recovered spike", 160)]),
    "a spike that recovered, as high as the start twice over": (
        course(spike(4.0), decay(0.1, 40), 0.9),
        [("recovered spike", 160)],
    ),
    "a spike that did not recover": (
        course(spike(1.5, 0.6), decay(0.1, 40), 0.9),
        [("oscillating", 160)],
    ),
    "a spike at the very end": (
        course(
            bump(0.1, 0.1, 200)(np.arange(STEPS)) + 1.5 * (np.arange(STEPS) >= 360),
            decay(0.1, 40),
            0.9,
        ),
        [("oscillating", 360)],
    ),
    "under dropout, with a validation loss that turned": (
        course(decay(1.0, 100), bump(0.7, 0.9, 120), 0.5),
        [("under-fitting", 0)],
    ),
    "fitted as far as smoothed labels let it": (
        course(decay(0.66, 20), decay(0.67, 20), 0.5, label_smoothing=0.5),
        [("healthy", 400)],
    ),
    "learnt by heart": (course(decay(0.001, 20), decay(1.5, 20), 0.5), [("over-fitting", 400)]),
    "a gap that does not keep it from the target": (
        course(decay(0.001, 20), decay(1.5, 20), 0.9),
        [("healthy", 400)],
    ),
    "three evaluations": (course(decay(0.1, 9)(np.arange(80)), [2, 1, 0.5]), [("unjudged", 80)]),
    "one evaluation": (course([], [2.0]), [("unjudged", 0)]),
    "nothing at all": (course([], []), [("unjudged", 0)]),
    "losses of 0": (course(np.zeros(STEPS), np.zeros(11)), [("healthy", 400)]),
}


@pytest.mark.parametrize(("made", "expected"), CURVES.values(), ids=CURVES)
def test_each_curve_gets_its_findings(made, expected):
    assert [(finding.rule, finding.step) for finding in diagnose(made)] == expected


def test_a_reason_is_a_sentence_with_the_numbers():
    (turned,) = diagnose(CURVES["a validation loss that turned"][0])
    assert turned.severity == "warning"
    assert (
        turned.reason
        == "The validation loss was lowest, 0.5, after step 120 and rose to 1.01, while the"
        " training loss fell from 0.208 to 0.0136."
    )
    for made, _ in CURVES.values():
        for finding in diagnose(made):
            assert (
                finding.reason[0].isupper()
                and finding.reason.endswith(".")
                and any(map(str.isdigit, finding.reason))
            )


@pytest.mark.parametrize(
    ("values", "turns"),
    [
        ([3, 2, 1], []),
        ([1, 2, 3], []),
        ([3, 1, 3], [1]),
        ([1, 3, 1], [1]),
        ([3, 1, 3, 1, 3], [1, 2, 3]),
        ([3, 1, 1.5, 1, 3], [1]),
        ([3, 2.5, 3, 2.5, 3], []),
        ([2, 2, 2], []),
        ([], []),
        ([1], []),
        ([3, 2, 1, 2, 3, 2, 1], [2, 4]),
        ([1, 0.5, 3, 0], [2]),
    ],
)
def test_turns_are_the_extremes_between_swings(values, turns):
    assert turning_points(np.array(values, float), 1.0) == turns


def test_a_run_that_ended_diverged_says_so_in_the_words_of_its_record():
    made = replace(
        course(np.ones(60), [1, 1]), diverged=True, reason="the training loss at step 59 is 1e+09"
    )
    (found,) = diagnose(made)
    assert (found.rule, found.severity, found.step) == ("diverged", "error", 59)
    assert found.reason.startswith("The training loss at step 59 is 1e+09")


def test_functions_of_a_point_have_nothing_to_fit(registry):
    point = registry.tasks["rosenbrock"]
    for name in ("a validation loss that turned", "learnt by heart", "a high floor"):
        made = CURVES[name][0]
        task = point.model_copy(update={"target": made.task.target})
        rules = {finding.rule for finding in diagnose(replace(made, task=task))}
        assert not rules & {"over-fitting", "under-fitting"}, name


def test_a_penalty_in_the_training_loss_is_not_a_gap():
    """The penalty stands in the losses of batches alone: 2 + 3 at the start, against a validation
    loss of 2.
    """
    penalised = Regularization(l2=0.1)
    made = course(decay(3.1, 40, 5.0), decay(0.1, 40), 0.9, 0.01, regularization=penalised)
    assert [finding.rule for finding in diagnose(made)] == ["healthy"]
    assert (made.start, made.train_start) == (2.0, pytest.approx(5.0, rel=0.05))


def test_epochs_are_counted_in_batches_of_the_share_trained_on(registry):
    task = registry.tasks["digits_mlp"]
    samples = diagnosis.course.data.training_samples("digits")
    assert steps_of_epoch(task) == samples // 32
    assert (
        steps_of_epoch(task.model_copy(update={"train_fraction": 0.25}))
        == int(samples * 0.25) // 32
    )
    assert steps_of_epoch(task.model_copy(update={"train_fraction": 0.001})) == 1
    assert steps_of_epoch(task.model_copy(update={"data": "elsewhere"})) == task.eval_every


LOSS = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e300, -1e300])
)


CHANCE = Chance(0.1, 2.3, 1000, "made up")
AT_CHANCE = {
    "a collapse under a penalty": (
        course(
            decay(2.31, 40, 249.0), decay(2.3, 40, 3.1), 0.1, regularization=Regularization(l2=1.0)
        ),
        [("at chance", 80)],
    ),
    "a collapse without one": (
        course(decay(2.3, 20, 3.1), decay(2.3, 20, 3.1), 0.1),
        [("at chance", 40)],
    ),
    "an accuracy that chance may have": (
        course(decay(2.3, 20, 3.1), decay(2.3, 20, 3.1), 0.118),
        [("at chance", 40)],
    ),
    "an accuracy that chance has not": (
        course(decay(2.3, 20, 3.1), decay(2.3, 20, 3.1), 0.2),
        [("under-fitting", 80), ("plateaued", 80)],
    ),
    "a loss below that of chance": (
        course(decay(2.0, 20, 3.1), decay(2.0, 20, 3.1), 0.1),
        [("under-fitting", 80), ("plateaued", 80)],
    ),
    "stands still": (course(decay(2.3, 200, 2.31), decay(2.3, 200, 2.31), 0.1), [("too slow", 0)]),
    "a start far above chance, and little learnt": (
        course(decay(1.5, 20, 100.0), decay(1.5, 20, 100.0), 0.5),
        [("under-fitting", 160), ("plateaued", 160)],
    ),
    "the same under a penalty": (
        course(
            decay(30, 20, 300.0), decay(1.5, 20, 100.0), 0.5, regularization=Regularization(l1=1.0)
        ),
        [("under-fitting", 80), ("plateaued", 80)],
    ),
    "a regression that predicts the mean": (
        course(decay(2.3, 20, 9.0), decay(2.3, 20, 9.0)),
        [("at chance", 80)],
    ),
    "learnt": (course(decay(0.05, 20, 3.1), decay(0.1, 20, 3.1), 0.9), [("healthy", 400)]),
}


@pytest.mark.parametrize(("made", "expected"), AT_CHANCE.values(), ids=AT_CHANCE)
def test_what_was_learnt_is_measured_against_chance(made, expected):
    found = diagnose(replace(made, chance=CHANCE))
    assert [finding.rule for finding in found] == [rule for rule, _ in expected]


def test_the_majority_of_an_unbalanced_binary_task_is_chance():
    """99% of one class: a loss of 0.056 is 8% of the first, and all of what a constant has."""
    chance = Chance(0.99, 0.056, 1000, "made up")
    made = course(decay(0.056, 20, 0.69), decay(0.056, 20, 0.69), 0.99, target=0.999)
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
    made = replace(
        course(np.ones(1), np.ones(1), epoch=4, regularization=Regularization(l2=l2)),
        train_losses=np.array(training),
        validation_losses=np.array(validation),
        validation_metrics=np.full(len(validation), metric),
        eval_steps=np.arange(len(validation), dtype=np.int64) * 5,
        chance=None if chance is None else Chance(0.1, chance, 100, "made up"),
    )
    rules = {finding.rule for finding in diagnose(made)}
    assert not {"over-fitting", "under-fitting"} <= rules
    assert not ({"healthy"} & rules and len(rules) > 1)
    low, last = min(validation), validation[-1]
    lows = np.minimum.accumulate(validation)
    unlike_before = all(
        value * low < last * least for value, least in zip(validation[:-1], lows, strict=False)
    )
    tenfold = last > 10 * low and last - low > 0.2 * made.scale and unlike_before
    assert not (tenfold and "healthy" in rules), (
        "a validation loss that ended tenfold above its lowest"
    )


@settings(deadline=None, max_examples=150)
@given(training=st.lists(LOSS, max_size=60), validation=st.lists(LOSS, max_size=12), data=st.data())
def test_no_curve_is_too_strange(training, validation, data):
    metrics = data.draw(st.lists(LOSS, min_size=len(validation), max_size=len(validation)))
    made = replace(
        course(np.ones(1), np.ones(1), epoch=data.draw(st.integers(1, 100))),
        train_losses=np.array(training),
        validation_losses=np.array(validation),
        validation_metrics=np.array(metrics),
        eval_steps=np.arange(len(validation), dtype=np.int64) * 5,
    )
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
        made = replace(
            course(np.ones(1), np.ones(1), epoch=4),
            train_losses=scale * np.array(training),
            validation_losses=scale * np.array(validation),
            validation_metrics=np.zeros(len(validation)),
            eval_steps=np.arange(len(validation), dtype=np.int64) * 5,
        )
        return [(finding.rule, finding.severity, finding.step) for finding in diagnose(made)]

    assert found(1.0) == found(2.0**power)


# Norms

DEEP = make_task("deep").model_copy(
    update={
        "model": (
            Dense(units=8),
            Activation(function="relu"),
            Dense(units=8),
            Activation(function="relu"),
            Dense(units=2),
        )
    }
)


def norms_of(gradients, zeros=None, steps=(0, 10, 20, 30)):
    """Norms of DEEP: parameter -> its gradient's norm, or norms, over the steps; 1 and no zeros
    where nothing is given.
    """
    names = [
        f"{layer}.{part}"
        for layer in ("0_dense", "2_dense", "4_dense")
        for part in ("kernel", "bias")
    ]
    n, ones = len(steps), np.ones(len(steps))
    columns = [
        (np.full(n, name), ones * gradients.get(name, 1.0), ones * (zeros or {}).get(name, 0.0))
        for name in names
    ]
    parameter, gradient, share = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Norms(
        np.tile(steps, len(names)),
        parameter,
        np.ones_like(gradient),
        gradient,
        np.ones_like(gradient),
        share,
    )


NORMS = {
    "even": (norms_of({}), []),
    "one layer far behind": (
        norms_of({"0_dense.kernel": 1e-5}),
        [("vanishing gradients", 0, "0_dense.kernel")],
    ),
    "one that falls behind": (
        norms_of({"2_dense.kernel": np.array([1, 1e-5, 1e-6, 1e-6])}),
        [("vanishing gradients", 10, "2_dense.kernel")],
    ),
    "behind at one step only": (norms_of({"0_dense.kernel": np.array([1, 1, 1, 1e-9])}), []),
    "small everywhere": (
        norms_of({f"{i}_dense.{p}": 1e-9 for i in (0, 2, 4) for p in ("kernel", "bias")}),
        [],
    ),
    "no gradient at all": (
        norms_of(
            {"0_dense.kernel": 0.0, "0_dense.bias": 0.0},
            {"0_dense.kernel": 1.0, "0_dense.bias": 1.0},
        ),
        [("vanishing gradients", 0, "0_dense.kernel")],
    ),
    "grown a thousandfold": (
        norms_of({"2_dense.kernel": np.array([1, 1, 3000, 5000])}),
        [("exploding gradients", 20, "2_dense.kernel")],
    ),
    "not a number": (
        norms_of({"4_dense.kernel": np.array([1, np.nan, 1, 1])}),
        [("exploding gradients", 10, "4_dense.kernel")],
    ),
    "units that died": (
        norms_of({}, {"2_dense.bias": np.array([0, 0.25, 0.75, 0.75])}),
        [("dead units", 20, "2_dense")],
    ),
    "units that rest": (norms_of({}, {"2_dense.bias": np.array([0.75, 0.75, 0.25, 0.75])}), []),
    "outputs that rest": (norms_of({}, {"4_dense.bias": 1.0}), []),
    "inputs that are always 0": (norms_of({"0_dense.kernel": 0.05}, {"0_dense.kernel": 0.75}), []),
    "nothing left to learn": (
        norms_of(
            {
                f"{i}_dense.{p}": np.array([1.0, 0, 0, 0])
                for i in (0, 2, 4)
                for p in ("kernel", "bias")
            },
            {
                f"{i}_dense.{p}": np.array([0, 1.0, 1, 1])
                for i in (0, 2, 4)
                for p in ("kernel", "bias")
            },
        ),
        [],
    ),
    "a single step": (
        norms_of({"0_dense.kernel": 1e-5}, steps=(0,)),
        [("vanishing gradients", 0, "0_dense.kernel")],
    ),
    "no step": (norms_of({}, steps=()), []),
}


@pytest.mark.parametrize(("norms", "expected"), NORMS.values(), ids=NORMS)
def test_each_layer_gets_its_findings(norms, expected):
    good = replace(CURVES["a good run"][0], task=DEEP)
    found = [finding for finding in diagnose(good, norms) if finding.rule != "healthy"]
    assert [(finding.rule, finding.step) for finding in found] == [
        (rule, step) for rule, step, _ in expected
    ]
    assert all(
        name in finding.reason for finding, (_, _, name) in zip(found, expected, strict=True)
    )


# Real runs


def dense(units, activation, initializer, depth):
    hidden = (Dense(units=units, initializer=initializer), Activation(function=activation))
    return (*hidden * depth, Dense(units=10, initializer=initializer))


RUNS = {
    "the default": ("sgd", None, {}, {"healthy"}),
    "a rate of 10": ("sgd", 10.0, {}, {"diverged"}),
    "a rate of 1": ("sgd", 1.0, {}, {"oscillating", "dead units"}),
    "Adam's rate of 0.03": ("adam", 0.03, {}, {"oscillating", "dead units"}),
    "a rate of 1e-6": ("sgd", 1e-6, {}, {"too slow"}),
    "Adam's rate of 1e-6": ("adam", 1e-6, {}, {"too slow"}),
    "sigmoids in a row": (
        "adam",
        None,
        {"model": dense(64, "sigmoid", "zeros", 6)},
        {"too slow", "vanishing gradients"},
    ),
    "nothing but zeros": (
        "sgd",
        None,
        {"model": dense(32, "relu", "zeros", 2)},
        {"too slow", "vanishing gradients"},
    ),
}


@pytest.mark.parametrize(("name", "rate", "changes", "expected"), RUNS.values(), ids=RUNS)
def test_real_runs_on_digits(make_run, open_numpy, registry, name, rate, changes, expected):
    task = registry.tasks["digits_mlp"].model_copy(update=changes)
    run = make_run(name=name).model_copy(update={"task": task, "diagnose": True})
    run = run.model_copy(
        update={
            "schedule": run.schedule.model_copy(update={"base_lr": rate or run.schedule.base_lr})
        }
    )
    # The nets are so small that threads of NumPy's BLAS only wait for each other.
    with np.errstate(all="ignore"), threadpool_limits(1):
        training = train(open_numpy(run), task, diagnose=True)
    assert {
        finding.rule for finding in diagnose(course_from(training, task), training.norms)
    } == expected


def course_from(training, task):
    curve = training.curve
    return Course(
        task,
        curve.train_losses,
        curve.eval_steps,
        curve.validation_losses,
        curve.validation_metrics,
        steps_of_epoch(task),
        training.status == "diverged",
        training.reason,
        chance.of(task),
    )


def test_a_wide_net_over_fits_diabetes(make_run, open_numpy, registry):
    task = registry.tasks["diabetes_mlp"]
    wide = (Dense(units=256, initializer="he_normal"), Activation(function="relu"), Dense(units=1))
    task = task.model_copy(update={"model": wide})
    run = make_run("diabetes_mlp").model_copy(update={"task": task})
    (found,) = [
        f
        for f in diagnose(course_from(train(open_numpy(run), task), task))
        if f.rule == "over-fitting"
    ]
    assert 0 < found.step < task.steps


PENALISED = {
    "L2 of 1": ("digits_mlp", {"regularization": Regularization(l2=1.0)}, {"at chance"}),
    "L1 of 0.1": ("digits_mlp", {"regularization": Regularization(l1=0.1)}, {"at chance"}),
    "L2 of 0.01": ("digits_mlp", {"regularization": Regularization(l2=0.01)}, {"healthy"}),
    "dropout of 0.9": ("digits_mlp", "dropout", {"at chance"}),
    "L2 of 10 on a regression": (
        "diabetes_mlp",
        {"regularization": Regularization(l2=10.0)},
        {"at chance"},
    ),
    "smoothed labels": ("digits_mlp", {"label_smoothing": 0.3}, {"healthy"}),
}


@pytest.mark.parametrize(("task", "changes", "expected"), PENALISED.values(), ids=PENALISED)
def test_real_runs_that_penalties_or_dropout_drive_to_chance(
    make_run, open_numpy, registry, task, changes, expected
):
    spec = registry.tasks[task]
    if changes == "dropout":
        after = [
            (layer, Dropout(rate=0.9)) if isinstance(layer, Activation) else (layer,)
            for layer in spec.model
        ]
        changes = {"model": tuple(layer for layers in after for layer in layers)}
    run = make_run(task, "sgd" if task == "diabetes_mlp" else "adam")
    run = run.model_copy(update={"task": spec.model_copy(update=changes)})
    with np.errstate(all="ignore"), threadpool_limits(1):
        found = diagnose(course_from(train(open_numpy(run), run.task), run.task))
    assert {finding.rule for finding in found} == expected


# Where findings go


def store(output, specs, norms):
    """Results of these specs with the same norms for all."""
    plan = make_results(output, specs=specs)
    with Store(output, "demo") as kept:
        for spec, digest in zip(specs, plan.digests, strict=True):
            kept.write(replace(make_result(spec, digest, "ok", "", make_curve(spec)), norms=norms))
    return plan


def test_norms_are_kept_beside_the_curve_and_come_back(tmp_path):
    norms = norms_of({"0_dense.kernel": np.array([np.nan, 1, 2, 3])})
    plan = store(tmp_path, make_specs([DEEP], ["torch"], ["sgd"], [0], launches=0), norms)
    kept = frame.load(tmp_path).norms
    assert set(kept["digest"]) == set(plan.digests) and list(kept) == ["digest", *Norms.DTYPES]
    assert kept["parameter"].tolist() == norms.parameter.tolist()
    assert (
        np.array_equal(kept["gradient"], norms.gradient, equal_nan=True)
        and kept["step"].tolist() == norms.step.tolist()
    )
    again = Norms.from_lists(json.loads(json.dumps(norms.to_lists())))
    assert (
        np.array_equal(again.gradient, norms.gradient, equal_nan=True)
        and again.parameter.tolist() == norms.parameter.tolist()
    )


def test_every_judged_run_has_findings_in_the_plans_order(tmp_path):
    def judge(spec):
        return {
            0: ("ok", ""),
            1: ("diverged", "the loss became inf"),
            2: ("failed", "out of memory"),
        }[spec.seed]

    plan = make_results(
        tmp_path, specs=make_specs(["mlp"], ["torch", "jax"], ["sgd"], range(3)), judge=judge
    )
    frames = frame.load(tmp_path)
    found = diagnosis.of(frames, "demo")
    assert list(found) == ["digest", "rule", "severity", "step", "reason"]
    judged = [
        d
        for d in plan.digests
        if frames.records[d].spec.measure == "convergence" and frames.records[d].spec.seed < 2
    ]
    assert list(dict.fromkeys(found["digest"])) == judged
    assert set(found.loc[found["digest"].isin(judged[1::2]), "rule"]) == {"diverged"}
    digest = judged[0]
    columns = {
        name: rows.to_numpy()
        for name, rows in frames.curves[frames.curves["digest"] == digest].items()
    }
    alone = diagnose(course_of(frames.records[digest], columns))
    assert [finding.rule for finding in alone] == found.loc[
        found["digest"] == digest, "rule"
    ].tolist()


def test_a_suite_without_trained_runs_has_no_findings(tmp_path):
    make_results(tmp_path, specs=make_specs(["mlp"], ["torch"], ["sgd"], seeds=()))
    frames = frame.load(tmp_path)
    assert diagnosis.of(frames, "demo").empty and diagnosed.findings(frames, "demo").empty
    assert "demo-diagnosis" not in writer.write(frames, tmp_path / "html").read_text(
        encoding="utf-8"
    )


def test_the_report_counts_findings_and_names_their_runs(tmp_path):
    norms = norms_of({"0_dense.kernel": 1e-5, "2_dense.kernel": 1e-5})
    store(
        tmp_path,
        make_specs(
            [DEEP], ["torch", "jax"], ["sgd", "adam"], range(3), rates=(0.1, 0.01), launches=0
        ),
        norms,
    )
    frames = frame.load(tmp_path)
    table = diagnosed.findings(frames, "demo")
    vanishing = table[table["rule"] == "vanishing gradients"]
    assert len(vanishing) == 2 * 2 * 2, "one row a framework, optimizer and rate"
    assert (vanishing["runs"] == 3).all() and (vanishing["judged"] == 3).all(), (
        "two layers of a run are one run"
    )
    assert (vanishing["digests"].str.split().str.len() == 3).all() and vanishing[
        "reason"
    ].str.contains("0_dense.kernel").all()
    ranks = table["severity"].map(diagnosis.SEVERITIES.index)
    assert ranks.is_monotonic_increasing
    drawn = diagnosed.gradient_norms(frames, "demo")
    assert set(drawn["layer"]) == {"0_dense", "2_dense", "4_dense"} and (drawn["runs"] == 3).all()
    assert drawn.loc[drawn["layer"] == "0_dense", "mean"].to_numpy() == pytest.approx(
        np.hypot(1e-5, 1)
    )
    page = writer.write(frames, tmp_path / "html").read_text(encoding="utf-8")
    assert (
        'id="demo-diagnosis"' in page
        and 'id="demo-fig-deep-sgd-norms"' in page
        and 'id="demo-fig-deep-adam-norms"' in page
    )
    assert (tmp_path / "html" / "data" / "demo" / "findings.csv").exists()


def shares(fractions, tasks=("mlp",)):
    """Trained runs of each share of the training split, named as a suite names them."""
    return [
        spec.model_copy(
            update={
                "task": spec.task.model_copy(update={"train_fraction": fraction}),
                "variations": {"train_fraction": fraction, "width": 8},
            }
        )
        for fraction in fractions
        for spec in make_specs(tasks, ["torch", "jax"], ["sgd", "adam"], range(3), launches=0)
    ]


def test_learning_curves_against_the_share_of_the_training_split(tmp_path):
    make_results(tmp_path, specs=shares([0.1, 0.5, 1.0]))
    frames = frame.load(tmp_path)
    table = diagnosed.by_fraction(frames, "demo")
    assert set(table["series"]) == {"sgd", "adam"} or all(
        "train_fraction" not in name for name in table["series"]
    )
    assert len(table) == 2 * 2 * 3 * 3 and (table["runs"] == 3).all()
    runs = frames.runs[(frames.runs["framework"] == "jax") & (frames.runs["optimizer"] == "sgd")]
    picked = [frames.records[d].spec.task.train_fraction == 0.5 for d in runs["digest"]]
    row = table[
        (table["setup"] == "jax (scan)")
        & table["series"].str.startswith("sgd")
        & (table["fraction"] == 0.5)
    ]
    row = row.set_index("metric")
    assert row.loc["validation_loss", "mean"] == pytest.approx(
        runs.loc[picked, "final_validation_loss"].mean()
    )
    assert row.loc["validation_metric", "max"] == pytest.approx(
        runs.loc[picked, "final_validation_metric"].max()
    )
    page = writer.write(frames, tmp_path / "html").read_text(encoding="utf-8")
    assert 'id="demo-fig-mlp-fractions"' in page
    assert (tmp_path / "html" / "data" / "demo" / "mlp-fractions.csv").exists()


def test_one_share_draws_no_learning_curve(tmp_path):
    make_results(tmp_path, specs=shares([0.5]))
    assert diagnosed.by_fraction(frame.load(tmp_path), "demo").empty


def test_show_tells_the_findings(gradrace, tmp_path):
    def curve(spec):
        made = CURVES["a validation loss that turned"][0]
        return Curve(
            made.train_losses, made.eval_steps, made.validation_losses, made.validation_metrics
        )

    task = make_task("mlp", steps=STEPS)
    specs = make_specs([task], ["torch"], ["sgd"], [0], launches=0)
    plan = make_results(tmp_path / "results", specs=specs, curve=curve)
    shown = gradrace("show", plan.digests[0]).stdout
    assert (
        "diagnosis        over-fitting since step 120: The validation loss was lowest, 0.5, after"
        " step 120" in shown
    )
    assert VERSIONS["torch"]["torch"] in shown


def test_diagnosed_runs_record_norms_with_the_same_losses(gradrace, tmp_path):
    (tmp_path / "tiny.toml").write_text(
        toml(TINY | {"seeds": 1, "timing": False}), encoding="utf-8"
    )
    for name, options in (("plain", ()), ("norms", ("--diagnose",))):
        done = gradrace("run", "tiny.toml", "-o", name, "--no-report", "-q", *options)
        assert done.returncode == 0, done.stderr
    plain, diagnosed_ = (frame.load(tmp_path / name) for name in ("plain", "norms"))
    assert np.array_equal(plain.curves["value"], diagnosed_.curves["value"])
    assert plain.norms.empty and set(diagnosed_.norms["digest"]) == set(diagnosed_.runs["digest"])
    assert (diagnosed_.norms.groupby("digest")["step"].unique().map(list) == [[0, 10]] * 2).all()
