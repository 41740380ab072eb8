"""Large splits are evaluated in pieces, whose sums are those of the whole."""

from __future__ import annotations

import json

import pytest
from gradrace.registry import load_registry
from programs import printed

REGISTRY = load_registry()


@pytest.mark.slow
@pytest.mark.parametrize("framework", ("numpy", "torch", "tensorflow", "jax"))
def test_evaluations_in_pieces_are_those_of_the_whole(framework):
    if REGISTRY.frameworks[framework].versions() is None:
        pytest.skip(f"{framework} is not installed")
    found = json.loads(printed("evaluated_in_pieces.py", framework).splitlines()[-1])
    assert len(found) == 9
    assert {name: pair for name, pair in found.items() if max(pair) > 1e-13} == {}
