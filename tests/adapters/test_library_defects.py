"""Today's behaviour of the libraries where it is not what one would expect, one test a fact.

A test that fails after an upgrade is good news as a rule: then the correction, note or exception
that lives with the fact can go. The measurements are in library_defects.py.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gradrace import schedules
from gradrace.registry import load_registry
from gradrace.spec import ScheduleSpec
from programs import printed_once

REGISTRY = load_registry()

pytestmark = pytest.mark.slow


def measured(framework: str) -> dict[str, Any]:
    """Function's name -> the fact that it found, from one process for all of the framework's."""
    if REGISTRY.frameworks[framework].versions() is None:
        pytest.skip(f"{framework} is not installed")
    said = printed_once("library_defects.py", framework, dtype="float32")
    return json.loads(said.splitlines()[-1])


def found(framework: str, name: str) -> tuple[Any, str]:
    """What was measured, and the message for the day when it changes."""
    facts = measured(framework)
    versions = ", ".join(f"{package} {version}" for package, version in facts["versions"].items())
    return facts[name], f"{name} is now {facts[name]} with {versions}"


def test_torch_nadam_keeps_its_product_in_float32_for_float64_parameters():
    """Sessions therefore set torch's default dtype."""
    dtype, message = found("torch", "nadam_product_dtype")
    assert dtype == "torch.float32", message


def test_torch_centred_rmsprop_becomes_nan_where_gradients_stand_still():
    step, message = found("torch", "centred_rmsprop_on_constant_gradients")
    assert 0 < step <= 200, message


def test_torch_rprop_takes_the_learning_rate_of_the_first_step_only():
    """Schedules over Rprop measure nothing."""
    factor, message = found("torch", "rprop_with_another_rate")
    assert factor == 1.0, message


def test_keras_takes_python_floats_for_float32_under_float64():
    """The adapter therefore hands over NumPy's float64."""
    value, message = found("tensorflow", "python_floats_under_float64")
    assert value == 0.8999999761581421, message


def test_keras_nadam_rounds_its_decay_to_float32():
    """Once of two places: the running product has 0.96 itself."""
    (to_the_rule, to_float32), message = found("tensorflow", "nadam_decay_under_float64")
    assert to_the_rule > 1e-9 and to_float32 < 1e-15, message


def test_keras_adam_has_the_paper_s_epsilon_hat():
    """Where the first gradient equals epsilon, Algorithm 1 takes half a step, Keras sqrt(0.001) /
    (1 + sqrt(0.001)).
    """
    step, message = found("tensorflow", "adam_step_at_epsilon")
    assert step == pytest.approx(0.001**0.5 / (1 + 0.001**0.5), rel=1e-4), message


def test_keras_adadelta_fails_in_a_graph_with_a_numpy_rho():
    """The adapter's float64 lets the variable multiply instead."""
    error, message = found("tensorflow", "numpy_rho_in_a_graph")
    assert "eager" in error, message


def test_keras_momentum_keeps_old_learning_rates():
    """With a learning rate of zero it still moves, by the momentum's share of the step before."""
    step, message = found("tensorflow", "momentum_under_a_schedule")
    assert step == pytest.approx(-0.9), message


def test_optax_rprop_is_one_step_late():
    updates, message = found("jax", "rprop_updates")
    assert updates == pytest.approx([0.0, -0.1, -0.12, -0.144]), message


def test_optax_adadelta_without_a_learning_rate_climbs():
    update, message = found("jax", "adadelta_without_a_rate")
    assert update > 0.0, message


def test_optax_amsgrad_keeps_early_estimates_a_thousand_times_too_large():
    ratio, message = found("jax", "amsgrad_keeps_early_estimates")
    assert ratio == pytest.approx(1000.0, rel=1e-3), message


def test_optax_radam_s_rectifier_is_off_by_a_percent_in_float32():
    error, message = found("jax", "radam_rectifier_in_float32")
    assert -0.02 < error < -0.005, message


@pytest.mark.parametrize(
    ("framework", "name"),
    [
        ("tensorflow", "first_keras_adam_step_in_float32"),
        ("jax", "first_optax_adam_step_in_float32"),
    ],
)
def test_adam_s_first_float32_step_is_too_short_in_keras_and_optax(framework, name):
    """They take 1 - beta2^t in float32, torch in float64."""
    error, message = found(framework, name)
    assert -1e-5 < error < -5e-6, message
    error, message = found("torch", "first_adam_step_in_float32")
    assert abs(error) < 2e-7, message


def test_torch_muon_orthogonalises_in_bfloat16():
    """Some percent off for a float64 parameter; so it differs by definition."""
    error, message = found("torch", "muon_on_an_orthogonal_matrix")
    assert 1e-3 < error < 0.2, message


def test_torch_muon_takes_matrices_only():
    error, message = found("torch", "muon_of_a_vector")
    assert "only supports 2D parameters" in error, message


def test_torch_asgd_follows_a_schedule_one_step_late():
    step, message = found("torch", "asgd_under_a_schedule")
    assert step == pytest.approx(-0.1), message


def test_keras_schedule_free_adamw_loses_the_iterate_before_its_update():
    """TensorFlow's copy is a view of the variable: the average is made of the new iterate."""
    (to_the_rule, to_the_alias), message = found("tensorflow", "schedule_free_on_tensorflow")
    assert to_the_rule > 1e-3 and to_the_alias < 1e-15, message


def test_keras_adafactor_ignores_relative_step():
    difference, message = found("tensorflow", "adafactor_relative_step")
    assert difference == 0.0, message


def test_keras_adafactor_keeps_the_whole_second_moment_beside_its_factors():
    kept, message = found("tensorflow", "adafactor_state_elements")
    assert kept == 100 * 200 + 100 + 200, message


def test_keras_ftrl_discards_the_initial_weights():
    weights, message = found("tensorflow", "ftrl_after_a_zero_gradient")
    assert weights == [0.0, 0.0], message


def test_optax_adafactor_takes_its_decay_in_float32_under_float64():
    dtype, message = found("jax", "adafactor_decay_dtype")
    assert dtype == "float32", message


def test_optax_adafactor_does_not_factor_a_matrix_of_100_by_200():
    """Both axes must have 128 elements by default."""
    kept, message = found("jax", "adafactor_of_a_small_matrix")
    assert kept == 100 * 200, message


def test_optax_adan_weighs_the_change_of_the_gradient_with_its_complement():
    """google-deepmind/optax#1715: 1 - b2 = 0.08, and 0.92 in the paper."""
    weight, message = found("jax", "adan_weight_of_the_change")
    assert weight == pytest.approx(0.08, rel=1e-4), message


def test_optax_yogi_moves_what_has_no_gradient():
    """The first moment starts at 1e-6."""
    update, message = found("jax", "yogi_without_a_gradient")
    assert update == pytest.approx(-9e-6 / ((1e-6 / 0.001) ** 0.5 + 1e-3), rel=1e-3), message


def test_optax_lars_gives_a_parameter_at_zero_the_whole_learning_rate():
    update, message = found("jax", "lars_ratio_of_a_zero_parameter")
    assert update == -1.0, message


def test_optax_lbfgs_climbs_after_negative_curvature():
    """The canonical rule leaves such pairs out, as torch does."""
    product, message = found("jax", "lbfgs_in_a_valley_that_bends_down")
    assert product > 0.0, message


# Departures from the papers that the canonical rules share with the libraries, and counts that
# differ between these


def test_torch_waits_for_one_evaluation_more_than_the_others_before_a_plateau_counts():
    for framework, name, expected in (
        ("torch", "plateau_reduces_after", 3),
        ("tensorflow", "plateau_callback_reduces_after", 2),
        ("jax", "plateau_transformation_reduces_after", 2),
    ):
        waited, message = found(framework, name)
        assert waited == expected, message
    ours = schedules.plateau_factors(
        ScheduleSpec(kind="plateau", base_lr=1.0, params={"patience": 2.0}), np.ones(5)
    )
    assert int(np.flatnonzero(ours < 1.0)[0]) == 2


def first_step(name: str, gradients: int = 1, hyper: dict[str, float] | None = None) -> float:
    """The canonical rule's last step, in learning rates, after so many gradients of 1."""
    optimizer = REGISTRY.optimizers[name]
    hypers = optimizer.hypers(hyper or {})
    p, moved = np.zeros(1), 0.0
    state = optimizer.rule.init(p, hypers)
    for t in range(1, gradients + 1):
        fresh, state = optimizer.rule.update(p, np.ones(1), state, 1.0, t, hypers)
        p, moved = fresh, float(fresh[0] - p[0])
    return -moved


def test_radam_rectifies_from_a_length_above_5_everywhere_and_from_4_in_the_paper():
    ours = next(t for t in range(1, 21) if abs(first_step("radam", t) - 1.0) > 1e-3)
    longest = 2.0 / (1.0 - 0.999) - 1.0
    lengths = [longest - 2.0 * t * 0.999**t / (1.0 - 0.999**t) for t in range(1, 21)]
    paper = next(t for t, length in enumerate(lengths, 1) if length > 4.0)
    for framework, name in (
        ("torch", "radam_rectified_from"),
        ("jax", "optax_radam_rectified_from"),
    ):
        step, message = found(framework, name)
        assert step == ours == 6, message
    assert paper == 5


def test_nadam_s_momentum_is_constant_in_optax_and_in_the_canonical_rule_and_rises_in_torch():
    """The paper's schedule begins near half of beta1."""
    share, message = found("torch", "nadam_first_momentum")
    assert share == pytest.approx(1 - 0.5 * 0.96**0.004, rel=1e-5), message
    step, message = found("jax", "nadam_first_step")
    assert step == pytest.approx(first_step("nadam"), rel=1e-5), message
    assert step == pytest.approx(0.9 * 0.1 / (1 - 0.9**2) + 1.0, rel=1e-5)


def test_ademamix_has_its_whole_alpha_from_the_first_step():
    step, message = found("jax", "ademamix_step_without_warm_ups")
    assert step == pytest.approx(1.0 + 5.0 * 0.1, rel=1e-5), message
    assert first_step("ademamix", hyper={"alpha": 5.0, "beta3": 0.9}) == pytest.approx(
        step, rel=1e-5
    )


def test_schedule_free_weighs_as_optax_does_and_not_as_the_paper_does():
    """At a constant rate the second iterate weighs a half; 2/3 by gamma_t^2 = lr^2 (1 - b2^t)."""
    share, message = found("jax", "schedule_free_weight_of_the_second_iterate")
    assert share == pytest.approx(0.5, rel=1e-3), message
    optimizer = REGISTRY.optimizers["schedule_free_adamw"]
    hyper, y = optimizer.hypers({}), np.ones(1)
    state, averages = optimizer.rule.init(y, hyper), []
    for t in (1, 2):
        y, state = optimizer.rule.update(y, np.ones(1), state, 1e-3, t, hyper)
        averages.append(optimizer.rule.evaluation(y, state, hyper))
    assert (averages[1] - averages[0]) / (state["z"] - averages[0]) == pytest.approx(
        share, rel=1e-3
    )
    gamma = [1.0 - 0.999**t for t in (1, 2)]
    assert gamma[1] / sum(gamma) == pytest.approx(2 / 3, rel=1e-3)
