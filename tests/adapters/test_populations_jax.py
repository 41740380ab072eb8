"""JAX's populations, really trained: lanes against single runs, shared programs, refusals."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from gradrace.registry import load_registry
from programs import printed, printed_once

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


@cache
def yardstick() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        printed("lanes.py", "jax", str(out), *DOUBLE, *SINGLE)
        return dict(np.load(out))


@pytest.mark.parametrize("pair", DOUBLE)
def test_a_lane_is_its_single_run(pair):
    assert yardstick()[f"{pair}|worst"] <= 1e-12


@pytest.mark.parametrize("pair", DOUBLE + SINGLE)
def test_no_bit_of_a_lane_depends_on_its_place_or_its_neighbours(pair):
    assert yardstick()[f"{pair}|bits"]


@cache
def found() -> dict[str, str]:
    """Check -> "", or the failure."""
    said: dict[str, str] = json.loads(printed_once("populations_jax.py").splitlines()[-1])
    assert set(said) == set(CHECKS)
    return said


@pytest.mark.parametrize("check", CHECKS)
def test_it_holds(check):
    assert not found()[check], found()[check]
