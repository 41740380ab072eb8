"""The reference rules against hand computation, and the declarations as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from gradrace.binding import bind, unavailable
from gradrace.optimizer import Binding, Hyper, Optimizer, RateCorrection, StateCorrection
from gradrace.registry import load_registry
from gradrace.spec import OptimizerSpec
from hypothesis import given
from hypothesis import strategies as st

OPTIMIZERS = load_registry().optimizers

# Two steps from p = 1 with gradients 0.5 then -0.25 and lr 0.1, worked out with the formulas of the
# papers.
ADAM_M2 = (0.9 * 0.05 - 0.1 * 0.25) / (1 - 0.9**2)
ADAM_V2 = (0.999 * 0.00025 + 0.001 * 0.0625) / (1 - 0.999**2)
# Zeiler's squared steps: the second gradient's depends on the first step.
ADADELTA_1 = math.sqrt(1e-6 / (0.025 + 1e-6)) * 0.5
ADADELTA_2 = math.sqrt((0.1 * ADADELTA_1**2 + 1e-6) / (0.0225 + 0.00625 + 1e-6)) * -0.25
RMSPROP_1, RMSPROP_2 = 0.05 / math.sqrt(0.025 + 1e-8), -0.025 / math.sqrt(0.0225 + 0.00625 + 1e-8)
NADAM_M = (
    0.9 * 0.05 / (1 - 0.9**2) + 0.1 * 0.5 / 0.1,
    0.9 * 0.02 / (1 - 0.9**3) - 0.1 * 0.25 / (1 - 0.9**2),
)
# gamma b1 / (1 - b1) = 0.475 of the gradient's change, from a gradient of 0.
MARS_C = (0.5 + 0.475 * 0.5, -0.25 - 0.475 * 0.75)
MARS_1 = 1 - 0.1 * 0.01 - 0.1 * MARS_C[0] / (MARS_C[0] + 1e-8)
MARS_M2 = (0.95 * 0.05 * MARS_C[0] + 0.05 * MARS_C[1]) / (1 - 0.95**2)
MARS_V2 = (0.99 * 0.01 * MARS_C[0] ** 2 + 0.01 * MARS_C[1] ** 2) / (1 - 0.99**2)
# One element of one: half of AdamW's step along the gradient, nothing against it.
CAUTIOUS_1 = 1 - 0.1 * 0.01 - 0.1 * 0.5 * 0.5 / (0.5 + 1e-8)
# The estimate of the distance cannot grow where the gradient turns.
DADAPT_RATES = [1e-7 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) for t in (1, 2)]
DADAPT_M1 = 0.1 * DADAPT_RATES[0] * 0.5
# Three times the first gradient; the mean is 0.98 * 0.5 - 0.02 * 0.25 in the second step.
GROK_G = (1.5, -0.25 + 2.0 * 0.485)
GROK_M2 = (0.9 * 0.1 * GROK_G[0] + 0.1 * GROK_G[1]) / (1 - 0.9**2)
GROK_V2 = (0.999 * 0.001 * GROK_G[0] ** 2 + 0.001 * GROK_G[1] ** 2) / (1 - 0.999**2)
GROK_1 = 1 - 0.1 * 0.01 - 0.1 * 1.5 / (1.5 + 1e-8)
TWO_STEPS = {
    "grokfast_adamw": GROK_1 * (1 - 0.1 * 0.01) - 0.1 * GROK_M2 / (math.sqrt(GROK_V2) + 1e-8),
    # x averages z = 0.95 and 0.975 alike.
    "schedule_free_sgd": 0.1 * 0.975 + 0.9 * 0.9625,
    "cautious_adamw": CAUTIOUS_1 * (1 - 0.1 * 0.01),
    "mars_adamw": MARS_1 * (1 - 0.1 * 0.01) - 0.1 * MARS_M2 / (math.sqrt(MARS_V2) + 1e-8),
    # A vector's matrix has the exponent -1/2.
    "shampoo": 1 - 0.05 / math.sqrt(1e-4 + 0.25) + 0.025 / math.sqrt(1e-4 + 0.3125),
    # The first step only measures; vectors are moved by Adam, here in its first step.
    "soap": (
        (1 + 0.1 * math.sqrt(0.05) * 0.25 / (math.sqrt(0.05) * 0.25 + 1e-8)) * (1 - 0.1 * 0.01)
    ),
    "dadapt_adam": (
        1
        - DADAPT_M1 / (math.sqrt(0.00025) + 1e-8)
        - (0.9 * DADAPT_M1 - 0.1 * DADAPT_RATES[1] * 0.25) / (math.sqrt(0.00031225) + 1e-8)
    ),
    "sgd": 1 - 0.1 * 0.5 + 0.1 * 0.25,
    "momentum": 1 - 0.1 * 0.5 - 0.1 * (0.9 * 0.5 - 0.25),
    "nesterov": 1 - 0.1 * (0.5 + 0.9 * 0.5) - 0.1 * (-0.25 + 0.9 * (0.9 * 0.5 - 0.25)),
    "adagrad": 1 - 0.05 / math.sqrt(0.1 + 0.25 + 1e-7) + 0.025 / math.sqrt(0.1 + 0.3125 + 1e-7),
    "rmsprop": 1 - 0.05 / math.sqrt(0.025 + 1e-8) + 0.025 / math.sqrt(0.0225 + 0.00625 + 1e-8),
    "rmsprop_centered": (
        1 - 0.05 / math.sqrt(0.025 - 0.05**2 + 1e-8) + 0.025 / math.sqrt(0.02875 - 0.02**2 + 1e-8)
    ),
    "rmsprop_momentum": 1 - RMSPROP_1 - (0.9 * RMSPROP_1 + RMSPROP_2),
    "adadelta": 1 - 0.1 * ADADELTA_1 - 0.1 * ADADELTA_2,
    # The first second moment, 0.00025, is smaller than the second one, 0.00031225: the maximum is
    # the present one.
    "amsgrad": 1 - 0.1 * 0.5 / (0.5 + 1e-8) - 0.1 * ADAM_M2 / (math.sqrt(ADAM_V2) + 1e-8),
    "adamax": 1 - 0.1 * 0.5 / (0.5 + 1e-8) - 0.1 * ADAM_M2 / (0.999 * 0.5 + 1e-8),
    "nadam": 1 - 0.1 * NADAM_M[0] / (0.5 + 1e-8) - 0.1 * NADAM_M[1] / (math.sqrt(ADAM_V2) + 1e-8),
    # Too early to rectify: the corrected first moment alone.
    "radam": 1 - 0.1 * 0.5 - 0.1 * ADAM_M2,
    # The sign turns: the step size is halved, and nothing moves.
    "rprop": 1 - 0.1,
    "lion": (1 - 0.1 * 1e-3) - 0.1 - 0.1 * 1e-3 * (0.9 - 0.1 * 1e-3) + 0.1,
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


def test_amsgrad_remembers_the_largest_second_moment():
    """After a gradient of 1 and 99 of 0 the maximum is still 0.001, while Adam's has decayed."""
    p = follow(OPTIMIZERS["amsgrad"], [1.0] + [0.0] * 99)
    expected = 1.0
    for t in range(1, 101):
        expected -= (
            0.1 * (0.1 * 0.9 ** (t - 1) / (1 - 0.9**t)) / (math.sqrt(0.001 / (1 - 0.999**t)) + 1e-8)
        )
    assert p == pytest.approx(expected, rel=1e-13)


def test_radam_rectifies_from_the_sixth_step_on():
    """With equal gradients g the moments are g and g^2: Adam's step is 1, times the rectifier."""
    steps = np.diff([follow(OPTIMIZERS["radam"], [0.5] * t) for t in range(8)])
    assert steps[:5] == pytest.approx([-0.05] * 5, rel=1e-12)
    longest = 2 / 0.001 - 1
    length = longest - 2 * 6 * 0.999**6 / (1 - 0.999**6)
    rectifier = math.sqrt(
        (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    )
    assert steps[5] == pytest.approx(-0.1 * rectifier, rel=1e-6)


def test_rprop_s_step_sizes_grow_and_shrink():
    """Sizes 0.1, 0.12, 0.06 (the sign turned: no step), 0.06 (after a turn nothing is known)."""
    assert follow(OPTIMIZERS["rprop"], [1.0, 1.0, -1.0, -1.0]) == pytest.approx(
        1 - 0.1 - 0.12 + 0.06, rel=1e-14
    )


def test_lion_looks_at_the_sign_of_an_interpolation():
    """After 1 the momentum is 0.01: 0.9 * 0.01 outweighs 0.1 * -0.05, but not 0.1 * -0.1."""
    for gradient, direction in ((-0.05, 1.0), (-0.1, -1.0)):
        moved = follow(OPTIMIZERS["lion"], [1.0, gradient], p=0.0)
        assert moved == pytest.approx(-0.1 - 0.1 * direction, abs=1e-4)


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
    # What has no rule differs by definition wherever it exists: it runs under the native rule only.
    assert optimizer.rule is not None or set(optimizer.differs) == set(optimizer.bindings)
    hyper = optimizer.hypers({})
    for binding in optimizer.bindings.values():
        assert isinstance(binding.canonical(hyper), dict)
    assert set(optimizer.differs) | set(optimizer.imprecise) <= set(optimizer.bindings)
    for hyper_parameter in optimizer.hyper.values():
        assert hyper_parameter.low <= hyper_parameter.default <= hyper_parameter.high


@pytest.mark.parametrize(
    "optimizer", [o for o in OPTIMIZERS.values() if o.rule], ids=lambda o: o.name
)
def test_rules_are_pure(optimizer):
    hyper, p, g = optimizer.hypers({}), np.arange(3.0), np.ones(3)
    state = optimizer.rule.init(p, hyper)
    kept = {name: array.copy() for name, array in state.items()}
    optimizer.rule.update(p, g, state, 0.1, 1, hyper)
    assert np.array_equal(p, np.arange(3.0)) and np.array_equal(g, np.ones(3))
    assert all(np.array_equal(state[name], kept[name]) for name in kept)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"beta": 0.9}, "did you mean 'beta[12]'"),
        ({"beta1": 1.5}, r"beta1 = 1.5 is outside \[0, 1\]"),
    ],
)
def test_wrong_hyperparameters_are_named(given_, message):
    with pytest.raises(ValueError, match=message):
        OPTIMIZERS["adam"].hypers(given_)


@dataclass(frozen=True)
class Made:
    """Stands for a framework's class."""


def declared(**changes: Any) -> Optimizer:
    """An optimizer in one framework, with corrections of every kind."""
    fields: dict[str, Any] = {
        "name": "one",
        "title": "One",
        "paper": "none",
        "learning_rate": 0.1,
        "hyper": {"speed": Hyper(2.0, "factor")},
        "bindings": {"torch": Binding(lambda: Made, corrections=(TWICE, FOLLOWING))},
    }
    return Optimizer(**{**fields, **changes})


TWICE = RateCorrection("twice", "faster", lambda hyper, steps: np.full(steps, hyper["speed"]))
FOLLOWING = StateCorrection(
    "following",
    "momentum",
    "buffer",
    lambda hyper, lr: np.concatenate([[1.0], lr[1:] / lr[:-1]]),
    lambda hyper, lr: lr,
)


def run_of(make_run, **changes):
    spec = OptimizerSpec(name="one", **changes)
    return make_run().model_copy(update={"framework": "torch", "optimizer": spec})


def test_a_rate_correction_multiplies_the_rates_that_other_corrections_follow(make_run):
    bound = bind(run_of(make_run), declared(), np.array([0.1, 0.2, 0.2]))
    assert bound.learning_rates == pytest.approx([0.2, 0.4, 0.4], rel=1e-15)
    assert bound.state_tables["buffer"].scale == pytest.approx([1.0, 2.0, 1.0], rel=1e-15)
    assert np.array_equal(bound.state_tables["buffer"].shift, bound.learning_rates)


def test_the_native_rule_is_never_corrected(make_run):
    rates = np.array([0.1, 0.2])
    bound = bind(run_of(make_run, rule="native"), declared(), rates)
    assert np.array_equal(bound.learning_rates, rates)
    assert not bound.state_tables and not bound.hyper_tables


def test_a_rate_of_zero_inside_a_schedule_is_refused_by_name(make_run):
    with pytest.raises(
        ValueError, match="following cannot follow this schedule: a learning rate of 0"
    ):
        bind(run_of(make_run), declared(), np.array([0.1, 0.0, 0.1]))


def test_what_differs_by_definition_is_refused_under_the_canonical_rule_alone(make_run):
    optimizer = declared(differs={"torch": "it rounds"})
    reason = unavailable(run_of(make_run), optimizer)
    assert reason == "one differs by definition in torch: it rounds"
    assert unavailable(run_of(make_run, rule="native"), optimizer) is None
    assert unavailable(run_of(make_run), declared()) is None
