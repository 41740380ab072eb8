"""The level of chance of every task: from counts, and from the best constant found by search."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradrace import data
from gradrace.data import Data, Loader, Split, chance
from gradrace.spec import TaskSpec
from hypothesis import given, settings
from hypothesis import strategies as st
from records import make_task


def of_data(monkeypatch, y, loss, metric, units, smoothing=0.0):
    """The chance level of a task on made-up y, of a model with so many outputs."""
    split = Split(np.zeros((len(y), 4)), np.asarray(y))
    made = Data("made", {"train": split, "validation": split, "test": split}, 0, "made up")
    monkeypatch.setitem(data.SETS, "made", Loader(len(y), lambda: made))
    data.load.cache_clear()
    chance._constant.cache_clear()
    task = make_task("made").model_dump() | {
        "data": "made",
        "loss": loss,
        "metric": metric,
        "label_smoothing": smoothing,
        "model": [{"kind": "dense", "units": units}],
    }
    return chance.of(TaskSpec.model_validate(task))


@pytest.fixture(autouse=True)
def no_memory():
    """What is remembered of made-up data is forgotten."""
    yield
    data.load.cache_clear()
    chance._constant.cache_clear()


@pytest.mark.parametrize(
    ("y", "loss", "units", "smoothing", "share", "expected"),
    [
        (
            [0, 0, 0, 1],
            "softmax_cross_entropy",
            2,
            0.0,
            0.75,
            -0.75 * math.log(0.75) - 0.25 * math.log(0.25),
        ),
        (
            [0, 0, 0, 1],
            "binary_cross_entropy",
            1,
            0.0,
            0.75,
            -0.75 * math.log(0.75) - 0.25 * math.log(0.25),
        ),
        ([0, 1, 2, 3], "softmax_cross_entropy", 4, 0.3, 0.25, math.log(4)),
        ([0, 0], "softmax_cross_entropy", 2, 0.0, 1.0, 0.0),
        ([0, 0], "softmax_cross_entropy", 2, 0.2, 1.0, -0.9 * math.log(0.9) - 0.1 * math.log(0.1)),
        (
            [[0, 0, 1], [0, 0, 0]],
            "softmax_cross_entropy",
            2,
            0.0,
            5 / 6,
            -5 / 6 * math.log(5 / 6) - math.log(1 / 6) / 6,
        ),
    ],
)
def test_of_labels_it_is_the_commonest_class_and_the_entropy(
    monkeypatch, y, loss, units, smoothing, share, expected
):
    found = of_data(monkeypatch, y, loss, "accuracy", units, smoothing)
    assert (
        found.metric == pytest.approx(share)
        and found.loss == pytest.approx(expected)
        and found.samples == len(y)
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=12))
def test_of_numbers_no_constant_is_better(values):
    y = np.array(values)
    away = np.abs(y[:, None] - np.linspace(y.min(), y.max(), 2001))
    huber = np.where(away <= 1, away**2 / 2, away - 0.5).mean(axis=0).min()
    assert (
        chance._least(y, "huber") == pytest.approx(huber, abs=1e-3)
        and chance._least(y, "huber") <= huber + 1e-9
    )
    assert chance._least(y, "mean_squared_error") == pytest.approx(
        np.square(y - y.mean()).mean(), abs=1e-9
    )


def test_of_several_numbers_each_has_a_constant_of_its_own(monkeypatch):
    y = np.array([[0.0, 10.0], [2.0, 14.0]])
    found = of_data(monkeypatch, y, "mean_squared_error", "r2", 2)
    assert (found.metric, found.loss) == (0.0, pytest.approx((1.0 + 4.0) / 2))
    found = of_data(monkeypatch, y, "mean_squared_error", "negative_loss", 2)
    assert found.metric == -found.loss == pytest.approx(-2.5)


def test_a_constant_predictor_of_breast_cancer_has_more_than_half(registry):
    test = chance.of(registry.tasks["breast_cancer_logreg"], "test")
    y = data.load("breast_cancer").splits["test"].y
    assert test.metric == pytest.approx(
        max(y.mean(), 1 - y.mean())
    ) and test.metric == pytest.approx(0.63, abs=0.01)
    assert test.samples == 109


def test_functions_of_a_point_have_their_value_at_the_start(registry, open_numpy, make_run):
    for name in ("quadratic", "rosenbrock", "beale", "branin"):
        session = open_numpy(make_run(name))
        assert chance.of(registry.tasks[name]).loss == pytest.approx(
            session.evaluate("validation").loss
        )


@pytest.mark.parametrize(
    ("loss", "units", "share"),
    [("softmax_cross_entropy", 5, 0.2), ("binary_cross_entropy", 1, 0.5)],
)
def test_without_the_data_labels_are_guessed(loss, units, share):
    task = TaskSpec.model_validate(
        make_task("made").model_dump()
        | {
            "data": "elsewhere",
            "loss": loss,
            "model": [{"kind": "dense", "units": units}],
        }
    )
    found = chance.of(task)
    assert (found.metric, found.samples) == (share, 0) and found.loss == pytest.approx(
        -math.log(share)
    )
    assert "not at hand" in found.origin


def test_what_diverged_counts_as_chance_or_as_the_worst_that_ended():
    assert (
        chance.floor(0.1, [0.9, 0.8], True) == 0.1 and chance.floor(0.1, [0.9, 0.05], True) == 0.05
    )
    assert chance.floor(2.3, [0.9], False) == 2.3 and chance.floor(2.3, [7.0], False) == 7.0
    assert chance.floor(None, [0.9], True) == 0.9 and chance.floor(math.nan, [0.9], True) == 0.9
    assert chance.floor(None, [], True) is None
