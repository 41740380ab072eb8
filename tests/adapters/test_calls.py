"""What the harness adds to a step, counted: Python's function calls beside a loop by hand's.

The loops are those of the benchmark of overhead, which must train as the harness does. Calls can be
counted on any machine at any load; a step of a small model is dispatch by Python before all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gradrace.registry import load_registry
from programs import printed

REGISTRY = load_registry()
SCRIPT = """import json, sys
sys.path.insert(0, sys.argv[1])
from overhead import CASES, calls, started
for name in sys.argv[2:]:
    sides = started(CASES[name], 2, "cpu")
    for side in sides:
        side(1)
    print(json.dumps([name, *(calls(side, 2) for side in sides)]))
"""
# The most calls that the harness may add to a step.
ALLOWED = {
    "torch": {"torch-eager": 12.0, "torch-fused": 12.0},
    "jax": {"jax-jit": 1.0, "jax-scan": 1.0, "jax-nnx": 250.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("framework", list(ALLOWED))
def test_a_step_takes_hardly_more_calls_than_by_hand(framework):
    if REGISTRY.frameworks[framework].versions() is None:
        pytest.skip(f"{framework} is not installed")
    folder, allowed = str(Path(__file__).parents[1] / "benchmarks"), ALLOWED[framework]
    said = printed(SCRIPT, folder, *allowed, dtype="float32")
    found = [json.loads(line) for line in said.splitlines() if line.startswith("[")]
    assert [name for name, *_ in found] == list(allowed)
    for name, by_hand, harness in found:
        assert by_hand > 0.0 and harness <= by_hand + allowed[name], (name, by_hand, harness)
