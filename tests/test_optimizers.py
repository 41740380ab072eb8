"""The reference rules against hand computation, and the declarations as a whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradrace.optimizer import Optimizer
from gradrace.registry import load_registry
from hypothesis import given
from hypothesis import strategies as st

OPTIMIZERS = load_registry().optimizers

# Two steps from p = 1 with gradients 0.5 then -0.25 and lr 0.1, worked out with the formulas of the papers.
ADAM_M2 = (0.9 * 0.05 - 0.1 * 0.25) / (1 - 0.9**2)
ADAM_V2 = (0.999 * 0.00025 + 0.001 * 0.0625) / (1 - 0.999**2)
TWO_STEPS = {
    "sgd": 1 - 0.1 * 0.5 + 0.1 * 0.25,
    "momentum": 1 - 0.1 * 0.5 - 0.1 * (0.9 * 0.5 - 0.25),
    "nesterov": 1 - 0.1 * (0.5 + 0.9 * 0.5) - 0.1 * (-0.25 + 0.9 * (0.9 * 0.5 - 0.25)),
    "adagrad": 1 - 0.05 / math.sqrt(0.1 + 0.25 + 1e-7) + 0.025 / math.sqrt(0.1 + 0.3125 + 1e-7),
    "rmsprop": 1 - 0.05 / math.sqrt(0.025 + 1e-8) + 0.025 / math.sqrt(0.0225 + 0.00625 + 1e-8),
    "adam": 1 - 0.1 * 0.5 / (0.5 + 1e-8) - 0.1 * ADAM_M2 / (math.sqrt(ADAM_V2) + 1e-8),
}


def follow(optimizer: Optimizer, gradients: list[float], lr: float = 0.1, p: float = 1.0) -> float:
    hyper, value = optimizer.hypers({}), np.array([p])
    state = optimizer.rule.init(value, hyper)
    for t, gradient in enumerate(gradients, start=1):
        value, state = optimizer.rule.update(value, np.array([gradient]), state, lr, t, hyper)
    return float(value[0])


@pytest.mark.parametrize(("name", "expected"), TWO_STEPS.items())
def test_two_steps_by_hand(name, expected):
    assert follow(OPTIMIZERS[name], [0.5, -0.25]) == pytest.approx(expected, rel=1e-14)


def test_adamw_is_adam_with_decay_times_the_learning_rate():
    plain, decayed = (follow(OPTIMIZERS[name], [0.5]) for name in ("adam", "adamw"))
    assert plain - decayed == pytest.approx(0.1 * 0.01 * 1.0, rel=1e-12)


@given(steps=st.integers(1, 60))
def test_gradient_descent_on_a_quadratic_has_its_closed_form(steps):
    """f = sum x^2 from (1, 2, 3) with learning rate 0.003: f_k = 14 * 0.994^(2k)."""
    rule, x = OPTIMIZERS["sgd"].rule, np.array([1.0, 2.0, 3.0])
    for t in range(1, steps + 1):
        x, _ = rule.update(x, 2 * x, {}, 0.003, t, {})
    assert (x**2).sum() == pytest.approx(14 * 0.994 ** (2 * steps), rel=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=lambda o: o.name)
def test_declarations_are_complete(optimizer):
    assert optimizer.paper and optimizer.title and optimizer.learning_rate > 0
    assert optimizer.rule is not None
    hyper = optimizer.hypers({})
    for binding in optimizer.bindings.values():
        assert isinstance(binding.canonical(hyper), dict)
    for hyper_parameter in optimizer.hyper.values():
        assert hyper_parameter.low <= hyper_parameter.default <= hyper_parameter.high


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=lambda o: o.name)
def test_rules_are_pure(optimizer):
    hyper, p, g = optimizer.hypers({}), np.arange(3.0), np.ones(3)
    state = optimizer.rule.init(p, hyper)
    kept = {name: array.copy() for name, array in state.items()}
    optimizer.rule.update(p, g, state, 0.1, 1, hyper)
    assert np.array_equal(p, np.arange(3.0)) and np.array_equal(g, np.ones(3))
    assert all(np.array_equal(state[name], kept[name]) for name in kept)


@pytest.mark.parametrize(
    ("given_", "message"), [({"beta": 0.9}, "did you mean 'beta[12]'"), ({"beta1": 1.5}, r"beta1 = 1.5 is outside \[0, 1\]")]
)
def test_wrong_hyperparameters_are_named(given_, message):
    with pytest.raises(ValueError, match=message):
        OPTIMIZERS["adam"].hypers(given_)
