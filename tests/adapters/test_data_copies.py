"""A worker holds at most one copy of a data set that it reads by memory map, in every framework.

Measured by the benchmark of data's memory on 64 MB; nothing here depends on speed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gradrace.registry import load_registry

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import data_memory

REGISTRY = load_registry()
ROWS, FEATURES = 160_000, 100
# (case, most copies at any time, most copies that stay when another data set is trained on).
# The first figure has evaluations, batches and the allocator's leavings in it: 61 MiB are a copy.
MOST = (
    ("numpy:reference", 0.6, 0.3),
    ("torch:eager-fused", 0.9, 0.8),
    ("torch:eager-fused+float64", 1.7, 0.8),
    ("tensorflow:loop", 1.5, 0.5),
    ("tensorflow:loop+pipeline", 1.6, 0.6),
    ("jax:scan", 0.8, 0.7),
    ("jax:scan+pipeline", 2.0, 1.2),
    ("jax:scan+float64", 2.0, 0.9),
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("name", "most", "left"), MOST)
def test_a_worker_copies_its_data_at_most_once(name, most, left):
    case = data_memory.Case.parsed(name)
    if REGISTRY.frameworks[case.framework].versions() is None:
        pytest.skip(f"{case.framework} is not installed")
    found = data_memory.measured(case, ROWS, FEATURES)
    assert found.copies("peak") < most, found
    assert found.copies("left") < left, found
