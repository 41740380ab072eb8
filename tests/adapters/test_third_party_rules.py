"""Where optimizers of other packages leave the rule, with its size: what `differs`, `native_target`
and notes say of them. A test that fails after an upgrade is good news as a rule.
"""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest
from gradrace.registry import load_registry
from programs import printed_once

PACKAGES = ("torch", "pytorch_optimizer", "dadaptation", "lion_pytorch", "prodigyopt")
OPTIMIZERS = load_registry().optimizers

pytestmark = pytest.mark.slow


@pytest.fixture
def measured() -> dict[str, Any]:
    """Function of third_party_rules.py -> the fact that it found."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return json.loads(printed_once("third_party_rules.py").splitlines()[-1])


def test_pytorch_optimizer_s_lamb_corrects_bias_outside_of_the_ratio(measured):
    """So the first step is 1 / (1 - beta1) = 10 times as long as the parameter allows."""
    assert measured["lamb_steps_in_weight_norms"] == pytest.approx([10.0, 1 / 0.19], rel=0.02)
    assert measured["lamb_s_longest_weight_norm"] == pytest.approx(10.0, rel=1e-6)
    assert "torch" in OPTIMIZERS["lamb"].differs


def test_pytorch_optimizer_s_lars_leaves_vectors_without_trust_ratio(measured):
    assert measured["lars_step_of_a_vector"] == pytest.approx([1.0, 0.005], rel=1e-12)
    assert "torch" in OPTIMIZERS["lars"].differs


def test_pytorch_optimizer_s_yogi_moves_what_has_no_gradient(measured):
    """Hence the mended class. 0.9e-6 / 0.1 over the corrected root of 1e-6, and 1e-3."""
    step = -9e-6 / ((1e-6 / 0.001) ** 0.5 + 1e-3)
    assert measured["yogi_without_a_gradient"] == pytest.approx(step, rel=1e-9)


def test_pytorch_optimizer_s_adopt_clips_one_step_late(measured):
    """At 2^(1/4) in the second step, where the authors' code clips at 1."""
    assert measured["adopt_s_first_limits"] == pytest.approx([2**0.25], rel=1e-12)


def test_pytorch_optimizer_s_mars_hides_an_epsilon_and_a_rate(measured):
    """1e-15 under the root of v, which is 0.01 (1e-8)^2; lr_1d, whatever lr is."""
    hidden = (1e-18 / (1e-18 + 1e-15)) ** 0.5
    assert measured["mars_at_a_small_gradient"] == pytest.approx(hidden, rel=1e-3)
    assert measured["mars_step_of_a_vector"] == pytest.approx(3e-3, rel=1e-6)


def test_prodigy_and_d_adaptation_correct_no_bias_by_default(measured):
    """0.1 / sqrt(0.001) of what Optax takes."""
    for name, steps in measured["first_steps_of_estimated_rates"].items():
        assert steps == pytest.approx(0.1 / 0.001**0.5, rel=1e-5), name


def test_lion_pytorch_s_decoupled_decay_is_of_the_first_rate(measured):
    """Without it the decay is multiplied by the rate, as the rule has it; with it, twice over."""
    assert measured["lion_with_and_without_decoupled_decay"] == pytest.approx([0.05, 0.1])


def test_pytorch_optimizer_s_soap_rounds_to_float32_and_the_mended_class_does_not(measured):
    rounded, mended = measured["soap_s_rounding"]
    assert 1e-9 < rounded < 1e-5 and mended < 1e-13


def test_pytorch_optimizer_s_shampoo_is_the_paper_s(measured):
    assert measured["shampoo_against_its_rule"] < 1e-13


def test_pytorch_optimizer_s_grokfast_divides_the_rate_that_it_is_given(measured):
    """Not one that is set: gradrace sets the rate of each step."""
    steps = measured["grokfast_steps_at_a_given_and_a_set_rate"]
    assert steps == pytest.approx([1 / 3, 1.0], rel=1e-6)


def test_pytorch_optimizer_s_sophia_clips_at_a_hundredth_and_the_mended_class_at_1(measured):
    assert measured["sophia_s_longest_steps"] == pytest.approx([0.01, 1.0], rel=1e-6)


def test_pytorch_optimizer_s_normuon_rounds_to_bfloat16(measured):
    """Else it is the paper's."""
    assert 1e-4 < measured["normuon_s_rounding"] < 3e-2


def test_the_mended_kron_has_random_numbers_of_its_own(measured):
    """And it leaves torch's generator as it was."""
    apart, mended = measured["kron_with_other_random_numbers"]
    assert apart > 1e-3 and mended == 0.0
