"""TensorFlow's populations, really trained: lanes and single runs, shared programs, refusals."""

from __future__ import annotations

import pytest
from gradrace.registry import load_registry
from lane_answers import found, yardstick

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        load_registry().frameworks["tensorflow"].versions() is None,
        reason="TensorFlow is not installed",
    ),
]
# The convolution and the narrow layers go lane by lane; the small task has masks and statistics.
DOUBLE = (
    *("digits_cnn:lion", "digits_gru:lamb", "everything_on_a_perceptron:amsgrad"),
    *("digits_mlp:momentum", "digits_mlp:adam:float64:4:native"),
)
# Odd numbers of lanes: TensorFlow computes the last few entries of an array by themselves.
SINGLE = ("digits_mlp:adam:float32:7", "digits_mlp:muon:float32:5")
CHECKS = (
    *("traced_once", "keys", "corrections_of_some_lanes", "branches", "refused", "one_by_one"),
    *("native_rules", "native_dropout", "other_weights_evaluated", "state_bytes", "bfloat16"),
    *("little_room", "one_lane_slower", "memory"),
)


@pytest.mark.parametrize("pair", DOUBLE)
def test_a_lane_is_its_single_run(pair):
    assert yardstick("tensorflow", *DOUBLE, *SINGLE)[f"{pair}|worst"] <= 1e-12


@pytest.mark.parametrize("pair", DOUBLE + SINGLE)
def test_no_bit_of_a_lane_depends_on_its_place_or_its_neighbours(pair):
    assert yardstick("tensorflow", *DOUBLE, *SINGLE)[f"{pair}|bits"]


@pytest.mark.parametrize("check", CHECKS)
def test_it_holds(check):
    said = found("populations_tensorflow.py", CHECKS)
    assert not said[check], said[check]
