"""TensorFlow's populations, really trained: lanes and single runs, shared programs, refusals."""

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


@cache
def yardstick() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        printed("lanes.py", "tensorflow", str(out), *DOUBLE, *SINGLE)
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
    said: dict[str, str] = json.loads(printed_once("populations_tensorflow.py").splitlines()[-1])
    assert set(said) == set(CHECKS)
    return said


@pytest.mark.parametrize("check", CHECKS)
def test_it_holds(check):
    assert not found()[check], found()[check]
