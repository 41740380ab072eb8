"""The profilers of JAX, TensorFlow and NumPy, with real sessions and planted faults."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from gradrace.registry import load_registry
from programs import printed

REGISTRY = load_registry()
FRAMEWORKS = {
    "jax": ("jit", "scan"),
    "tensorflow": ("graph", "loop", "xla"),
    "numpy": ("reference",),
}
MODES = [(framework, mode) for framework, modes in FRAMEWORKS.items() for mode in modes]
PRODUCTS = {
    "jax": ("dot_general",),
    "tensorflow": ("MatMul", "FusedMatMul"),
    "numpy": ("layers._dense", "layers._dense_back"),
}
# Bytes of the batch that faults copy: float32[256, 64].
BATCH = 256 * 64 * 4
# framework, fault, count: how much more of it than without the fault, a step.
PLANTED = [
    ("jax", "wait", "synchronisations", 1.0),
    ("jax", "read", "synchronisations", 1.0),
    ("jax", "callback", "synchronisations", 1.0),
    ("jax", "compilation", "compilations", 0.1),
    ("jax", "copy", "copies", 1.0),
    ("jax", "copy", "copied_bytes", BATCH),
    ("jax", "transfer", "copies", 1.0),
    ("jax", "transfer", "copied_bytes", BATCH),
    ("tensorflow", "wait", "synchronisations", 1.0),
    ("tensorflow", "read", "synchronisations", 1.0),
    ("tensorflow", "callback", "synchronisations", 1.0),
    ("tensorflow", "compilation", "compilations", 0.1),
    ("tensorflow", "copy", "copies", 1.0),
    ("tensorflow", "copy", "copied_bytes", BATCH),
    ("numpy", "copy", "copies", 1.0),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiles")


@pytest.fixture(scope="module")
def found(folder: Path) -> Any:
    """found(framework): its profiles by mode and fault."""
    kept: dict[str, dict[str, Any]] = {}

    def of(framework: str) -> dict[str, Any]:
        if REGISTRY.frameworks[framework].versions() is None:
            pytest.skip(f"{framework} is not installed")
        if framework not in kept:
            said = printed("profiled_sessions.py", framework, str(folder / framework))
            kept[framework] = json.loads(said.splitlines()[-1])
        return kept[framework]

    return of


@pytest.mark.parametrize(("framework", "mode"), MODES)
def test_operators_add_up_to_the_time_of_the_steps(found, framework, mode):
    profile = found(framework)[mode]
    seconds = [op["host_s"] for op in profile["ops"]]
    assert min(seconds) >= 0.0
    # More than a step if threads share a core.
    assert 0.5 * profile["wall_s"] < sum(seconds) < 3.0 * profile["wall_s"]


@pytest.mark.parametrize(("framework", "mode"), MODES)
def test_products_are_named_in_both_passes(found, framework, mode):
    ops = found(framework)[mode]["ops"]
    products = {op["part"]: op["calls"] for op in ops if op["name"] in PRODUCTS[framework]}
    # Three layers; the gradient by the inputs is not needed.
    assert products["forward"] == 3.0
    assert products["backward"] > 0.0


@pytest.mark.parametrize(("framework", "mode"), MODES)
def test_every_part_has_operators_that_are_called(found, framework, mode):
    ops = found(framework)[mode]["ops"]
    assert {op["part"] for op in ops if op["calls"] >= 1.0} >= {"forward", "backward", "optimizer"}


@pytest.mark.parametrize(("framework", "mode"), MODES)
def test_a_sound_step_neither_waits_nor_compiles(found, framework, mode):
    counts = found(framework)[mode]["counts"]
    assert counts["synchronisations"] == 0.0
    assert counts.get("compilations", 0.0) == 0.0


@pytest.mark.parametrize(("framework", "fault", "count", "more"), PLANTED)
def test_a_planted_fault_is_counted(found, framework, fault, count, more):
    profiles = found(framework)
    sound = profiles[FRAMEWORKS[framework][0]]["counts"][count]
    assert profiles[fault]["counts"][count] - sound == pytest.approx(more, rel=0.02)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_traces_are_files_that_can_be_read(found, folder, framework):
    for mode in FRAMEWORKS[framework]:
        for name in found(framework)[mode]["traces"]:
            file = folder / framework / mode / name
            assert file.parent == folder / framework / mode
            assert file.stat().st_size
            if name.endswith(".json.gz"):
                events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
                assert any(event.get("ph") == "X" and event["dur"] > 0 for event in events)
        assert found(framework)[mode]["traces"]


@pytest.mark.parametrize("framework", ["jax", "numpy"])
def test_the_line_that_an_operator_comes_from_is_known(found, framework):
    ops = found(framework)[FRAMEWORKS[framework][0]]["ops"]
    lines = [op["source"] for op in ops if op["name"] in PRODUCTS[framework]]
    assert all("/layers.py:" in line for line in lines)
