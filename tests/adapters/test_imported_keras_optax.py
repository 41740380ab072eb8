"""Keras' and Optax' optimizers by import path in real training; the checks are those of
imported_keras.py and imported_optax.py."""

from __future__ import annotations

import pytest
from gradrace.registry import load_registry
from lane_answers import found

REGISTRY = load_registry()
CHECKS = {
    "tensorflow": (
        *("forms", "inner_optimizers", "accumulated_gradients", "fails_in_a_graph", "lanes"),
        "problems",
    ),
    "jax": (
        *("forms", "asks_for_the_loss", "arguments_of_any_kind", "evaluation", "lanes"),
        "problems",
    ),
}
PROGRAMS = {"tensorflow": "imported_keras.py", "jax": "imported_optax.py"}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("framework", "check"), [(name, check) for name, checks in CHECKS.items() for check in checks]
)
def test_it_holds(framework: str, check: str) -> None:
    if REGISTRY.frameworks[framework].versions() is None:
        pytest.skip(f"{framework} is not installed")
    said = found(PROGRAMS[framework], CHECKS[framework])
    assert not said[check], said[check]
