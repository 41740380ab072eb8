"""Optax' optimizers, made and stepped by hand; the checks are those of optax_instances.py."""

from __future__ import annotations

import pytest
from gradrace.registry import load_registry
from lane_answers import found

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        load_registry().frameworks["jax"].versions() is None,
        reason="JAX is not installed",
    ),
]
CHECKS = (
    *("scripts", "resumed", "digits_of_float64", "variants", "rates", "extra_arguments"),
    *("averages", "states", "chained", "wrappers", "files", "impossible", "bad_paths"),
)


@pytest.mark.parametrize("check", CHECKS)
def test_it_holds(check: str) -> None:
    said = found("optax_instances.py", CHECKS)
    assert not said[check], said[check]
