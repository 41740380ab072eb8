"""JAX's populations, really trained: lanes against single runs, shared programs, refusals."""

from __future__ import annotations

import pytest
from gradrace.registry import load_registry
from lane_answers import found, yardstick

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        load_registry().frameworks["jax"].versions() is None, reason="JAX is not installed"
    ),
]
# yogi corrects its state, adafactor factors it; the small tasks have masks, statistics and words.
DOUBLE = (
    "digits_cnn:yogi",
    "digits_gru:adafactor",
    "everything_on_a_perceptron:adamw",
    "a_class_at_every_step_of_a_sequence_of_words:momentum",
    "digits_mlp:adam:float64:4:native",
)
# An odd number of lanes: XLA's loops treat the last few entries of an array by themselves.
SINGLE = ("everything_on_a_perceptron:adam:float32:7",)
CHECKS = (
    *("compiled_once", "keys", "corrections_of_some_lanes", "refused", "native_rules"),
    *("native_dropout", "line_search", "state_bytes", "bfloat16", "little_room"),
    *("one_lane_slower", "memory"),
)


@pytest.mark.parametrize("pair", DOUBLE)
def test_a_lane_is_its_single_run(pair):
    assert yardstick("jax", *DOUBLE, *SINGLE)[f"{pair}|worst"] <= 1e-12


@pytest.mark.parametrize("pair", DOUBLE + SINGLE)
def test_no_bit_of_a_lane_depends_on_its_place_or_its_neighbours(pair):
    assert yardstick("jax", *DOUBLE, *SINGLE)[f"{pair}|bits"]


@pytest.mark.parametrize("check", CHECKS)
def test_it_holds(check):
    said = found("populations_jax.py", CHECKS)
    assert not said[check], said[check]
