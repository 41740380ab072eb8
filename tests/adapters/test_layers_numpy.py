"""The referee's gradients against central differences of its forward passes."""

from __future__ import annotations

import numpy as np
import pytest
from gradrace.adapters.numpy import ADAPTER
from gradrace.layers import Activation, MaxPool2D, Point, build
from layer_cases import CASES, LOSSES, loss_case, make_task, prepare

STEP = 1e-5


def numerical(value, at: np.ndarray) -> np.ndarray:
    """Central differences of value() by every element of `at`, which is moved in place."""
    slopes = np.empty_like(at)
    for index in np.ndindex(at.shape):
        here = at[index]
        at[index] = here + STEP
        above = value()
        at[index] = here - STEP
        slopes[index] = (above - value()) / (2.0 * STEP)
        at[index] = here
    return slopes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients_are_the_slopes_of_the_output(case):
    given = prepare(case)
    if isinstance(
        case.layer, MaxPool2D | Activation
    ):  # no kinks within a step: neither ties nor zeros
        given = given._replace(
            x=np.random.default_rng(1).permutation(given.x.size).reshape(given.x.shape) / 7.0 - 3.03
        )

    def value() -> float:
        return float((ADAPTER.differentiate(*given).output * given.upstream).sum())

    told = ADAPTER.differentiate(*given)
    gradients = dict(told.gradients)
    assert set(gradients) | set(told.state) == {p.name for p in given.layer.parameters}
    for name, gradient in gradients.items():
        assert np.allclose(gradient, numerical(value, given.weights[name]), rtol=1e-6, atol=1e-7), (
            name
        )
    if told.input_gradient is not None:
        assert np.allclose(told.input_gradient, numerical(value, given.x), rtol=1e-6, atol=1e-7)
    assert (told.input_gradient is None) == (given.x.dtype.kind == "i")


@pytest.mark.parametrize(("loss", "shape", "smoothing"), LOSSES)
def test_the_gradients_of_losses_are_their_slopes(loss, shape, smoothing):
    task, outputs, y = loss_case(loss, shape, smoothing)
    _, gradient = ADAPTER.loss(task, outputs, y)
    assert np.allclose(
        gradient,
        numerical(lambda: ADAPTER.loss(task, outputs, y)[0], outputs),
        rtol=1e-6,
        atol=1e-9,
    )


def test_losses_by_hand():
    def loss(name, outputs, y, smoothing=0.0):
        return ADAPTER.loss(
            make_task(name, metric="negative_loss", smoothing=smoothing),
            np.array(outputs),
            np.array(y),
        )[0]

    ln = np.log
    assert loss("softmax_cross_entropy", [[0.0, ln(3.0)]], [1]) == pytest.approx(ln(4 / 3))
    assert loss("softmax_cross_entropy", [[0.0, ln(3.0)]], [1], 0.2) == pytest.approx(
        0.9 * ln(4 / 3) + 0.1 * ln(4)
    )
    assert loss("binary_cross_entropy", [[ln(3.0)], [0.0]], [1, 0]) == pytest.approx(
        (ln(4 / 3) + ln(2)) / 2
    )
    assert loss("binary_cross_entropy", [[ln(3.0)]], [1], 0.2) == pytest.approx(
        0.9 * ln(4 / 3) + 0.1 * ln(4)
    )
    assert loss("binary_cross_entropy", [[-1000.0]], [1]) == 1000.0
    assert loss("mean_squared_error", [[1.0, 2.0]], [[0.0, 4.0]]) == 2.5
    assert loss("huber", [[0.5, 3.0]], [[0.0, 0.0]]) == (0.125 + 2.5) / 2
    assert loss("output", [[2.0], [4.0]], [0, 0]) == 3.0


def test_metrics_by_hand():
    def metric(task, outputs, y):
        return ADAPTER.metric(task, np.array(outputs), np.array(y))

    accuracy, binary = make_task(), make_task("binary_cross_entropy", 1)
    assert metric(accuracy, [[1.0, 2.0], [3.0, 1.0]], [1, 1]) == 0.5
    assert metric(accuracy, [[[1.0, 2.0], [3.0, 1.0]]], [[1, 0]]) == 1.0
    assert metric(binary, [[0.5], [-0.5], [0.0]], [1, 1, 0]) == pytest.approx(2 / 3)
    assert (
        metric(
            make_task("mean_squared_error", metric="r2"),
            [[1.0], [2.0], [4.0]],
            [[1.0], [2.0], [3.0]],
        )
        == 0.5
    )
    assert metric(make_task("mean_squared_error", metric="negative_loss"), [[2.0]], [[0.0]]) == -4.0


@pytest.mark.parametrize(
    ("objective", "start", "value"),
    [
        ("rosenbrock", (1.0, 1.0), 0.0),
        ("beale", (3.0, 0.5), 0.0),
        ("branin", (np.pi, 2.275), 0.39788735772973816),
        ("quadratic", (0.0, 0.0, 0.0), 0.0),
        ("quadratic", (1.0, 2.0), 0.5 + 100.0 * 2.0),
    ],
)
def test_objectives_at_points_known_from_the_literature(objective, start, value):
    """Minima as in Surjanovic & Bingham, Virtual Library of Simulation Experiments."""
    (built,) = build((Point(objective=objective, start=start),), (1,))
    told = ADAPTER.differentiate(
        built, {"0_point.point": np.array(start)}, np.zeros((2, 1)), np.ones((2, 1)), True
    )
    assert told.output == pytest.approx(np.full((2, 1), value), abs=1e-14)
    if value != 200.5:
        assert told.gradients["0_point.point"] == pytest.approx(np.zeros(len(start)), abs=1e-6)
