"""Today's behaviour of the libraries where it is not what one would expect, one test a fact.

A test that fails after an upgrade is good news as a rule: then the correction, note or exception that lives with the
fact can go. The measurements are in library_defects.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from gradrace.executor.environment import environment
from gradrace.registry import load_registry
from update_rules import run_of

REGISTRY = load_registry()

pytestmark = pytest.mark.slow


@cache
def measured(framework: str) -> dict[str, Any]:
    """Function's name -> what it found, from one process for all of the framework's."""
    if REGISTRY.frameworks[framework].versions() is None:
        pytest.skip(f"{framework} is not installed")
    env = environment(run_of(REGISTRY, "numpy", "sgd").model_copy(update={"dtype": "float32"}))
    command = [sys.executable, str(Path(__file__).with_name("library_defects.py")), framework]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


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
    """Where the first gradient equals epsilon, Algorithm 1 takes half a step, Keras sqrt(0.001) / (1 + sqrt(0.001))."""
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
    [("tensorflow", "first_keras_adam_step_in_float32"), ("jax", "first_optax_adam_step_in_float32")],
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
    """Its copy is a view of the variable on TensorFlow, so that the average is made of the new iterate."""
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
    """https://github.com/google-deepmind/optax/pull/1715: 1 - b2 = 0.08 where the paper has 0.92."""
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
