"""PyTorch's populations: lanes equal single runs, and depend on nothing but their own run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from layer_cases import CASES
from programs import below, saved
from runs import REGISTRY

pytestmark = pytest.mark.skipif(
    REGISTRY.frameworks["torch"].versions() is None, reason="PyTorch is not installed"
)


def found(section: str) -> dict[str, Any]:
    return saved("populations_torch.py", section)


@pytest.mark.slow
def test_a_lane_is_its_single_run_and_no_bit_of_it_depends_on_its_place():
    told = found("pairs")
    assert {n: v for n, v in told.items() if n.endswith("worst") and not v <= 1e-12} == {}
    assert {n for n, v in told.items() if n.endswith("bits") and not v} == set()


@pytest.mark.slow
def test_every_layer_computes_in_lanes_what_it_computes_alone():
    differences = below(found("layers"), "layer|")
    assert differences.keys() == {case.name for case in CASES}
    assert {name: d for name, d in differences.items() if not d <= 1e-12} == {}


@pytest.mark.slow
def test_lanes_have_penalties_clipping_smoothing_and_dropout_of_their_own():
    differences = below(found("layers"), "task|")
    assert {name: d for name, d in differences.items() if not d <= 1e-12} == {}


@pytest.mark.slow
def test_no_bit_depends_on_other_lanes_in_float32_in_bfloat16_and_with_two_threads():
    assert {name for name, same in below(found("bits"), "bits|").items() if not same} == set()


@pytest.mark.slow
def test_one_optimizer_for_all_lanes_in_steps_to_be_captured_gives_the_numbers_of_single_runs():
    told = found("stacked")
    assert {n: v for n, v in told.items() if n.endswith("worst") and not v <= 1e-12} == {}
    assert {n for n, v in told.items() if n.endswith("bits") and not v} == set()


@pytest.mark.slow
def test_a_class_steps_all_lanes_at_once_unless_it_decides_by_values_or_needs_a_storage():
    together = {"adadelta", "adagrad", "adam", "adamax", "adamw", "amsgrad", "momentum", "nadam"}
    together |= {
        "grokfast_adamw",
        "nesterov",
        "rmsprop",
        "rmsprop_centered",
        "rmsprop_momentum",
        "sgd",
    }
    assert set(json.loads(str(found("stacked")["together"]))) == together


@pytest.mark.slow
def test_a_lane_has_the_state_of_a_single_run():
    for alone, *in_lanes in json.loads(str(found("stacked")["bytes"])):
        assert in_lanes == [alone, alone]


@pytest.mark.slow
def test_too_many_lanes_are_a_memory_error():
    told = {name: str(value) for name, value in below(found("memory"), "memory|").items()}
    assert told == {
        "CUDA out of memory": "MemoryError",
        "another": "ValueError",
        "cpu": "MemoryError",
    }


@pytest.mark.slow
def test_a_class_with_a_python_counter_and_two_sets_of_weights_has_lanes():
    assert found("classes")["class|counting"] <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("class|moving", "other memory"),
        ("class|noisy", "draws random numbers"),
        ("class|sharing", "two of its instances share"),
        ("class|asking", "evaluates the loss itself"),
        ("alone|native dropout", "one generator"),
        ("alone|pipeline", "input pipeline"),
        ("alone|diagnosis", "norms"),
        ("alone|native lbfgs", "evaluates the loss itself"),
    ],
)
def test_runs_that_cannot_share_a_program_say_why(what, reason):
    assert reason in str(found("classes")[what])
