"""Every library's own optimizer on given gradients against the reference rule, in float64.

Differences are relative to the distance that the reference has moved a tensor by then.
"""

from __future__ import annotations

import numpy as np
import pytest
from gradrace.registry import load_registry
from gradrace.verify.cases import AMPLIFIED
from programs import saved
from update_rules import CHANGED, SHAPES, STEPS, follows_gradients, start

REGISTRY = load_registry()
INSTALLED = [
    name for name, framework in REGISTRY.frameworks.items() if framework.versions() is not None
]
LIBRARIES = [name for name in INSTALLED if name != "numpy"]
TOLERANCE = 1e-12

CELLS = [
    (framework, name)
    for name, o in REGISTRY.optimizers.items()
    for framework in o.bindings
    if framework in LIBRARIES
]
CANONICAL = [
    (framework, name)
    for framework, name in CELLS
    if follows_gradients(REGISTRY.optimizers[name], framework, "canonical")
    and REGISTRY.optimizers[name].rule
    and framework not in REGISTRY.optimizers[name].differs
    # test_third_party_rules.py compares SOAP on gradients of full rank.
    and name not in AMPLIFIED
]
# What takes matrices only, or gradients of one function, is in test_per_tensor_rules.py.
NATIVE = [
    (framework, name)
    for framework, name in CELLS
    if follows_gradients(REGISTRY.optimizers[name], framework, "native")
    and not REGISTRY.optimizers[name].bindings[framework].matrices_only
]
DIFFERENT = [
    (framework, name)
    for framework, name in NATIVE
    if framework in REGISTRY.optimizers[name].differs and REGISTRY.optimizers[name].rule
]
CORRECTED = [
    (framework, name, c.name)
    for framework, name in CANONICAL
    for c in REGISTRY.optimizers[name].bindings[framework].corrections
]


def table(framework: str) -> dict[str, np.ndarray]:
    return saved("update_rules.py", framework)


def distances(
    framework: str, name: str, rule: str, dtype: str, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """float64[tensor, step]: largest distance from the reference, and its own largest move."""
    keys = [f"{rule}|{dtype}|{kind}|{tensor}" for tensor in SHAPES]
    reference = [table("numpy")[f"{name}|canonical|float64|{kind}|{tensor}"] for tensor in SHAPES]
    taken = [table(framework)[f"{name}|{key}"] for key in keys]
    apart = [
        np.abs(a - b).reshape(STEPS, -1).max(axis=1) for a, b in zip(taken, reference, strict=True)
    ]
    moved = [
        np.abs(b - p).reshape(STEPS, -1).max(axis=1)
        for b, p in zip(reference, start().values(), strict=True)
    ]
    return np.array(apart), np.array(moved)


def difference(framework: str, name: str, rule: str, dtype: str, kind: str) -> np.ndarray:
    """float64[step]: the worst relative difference of a tensor."""
    apart, moved = distances(framework, name, rule, dtype, kind)
    # ADOPT does not move in its first step.
    return (apart / np.maximum(moved, 1e-30)).max(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["constant", "decaying"])
@pytest.mark.parametrize(("framework", "name"), CANONICAL)
def test_the_library_follows_the_reference_rule(framework, name, kind):
    parted = difference(framework, name, "canonical", "float64", kind)
    assert parted.max() <= TOLERANCE, (
        f"{name} in {framework} parts at step {np.argmax(parted > TOLERANCE)}: {parted.max():.1e}"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "name"), CANONICAL)
def test_float32_is_float32_and_as_near_as_it_can_be(framework, name):
    for tensor in SHAPES:
        assert table(framework)[f"{name}|canonical|float32|decaying|{tensor}"].dtype == np.float32
    apart, moved = distances(framework, name, "canonical", "float32", "decaying")
    # Beside the rule's own rounding, that of tensors between one and four at every step.
    excess = (apart - STEPS * 2.0**-23) / np.maximum(moved, 1e-30)
    imprecise = framework in REGISTRY.optimizers[name].imprecise
    assert (1e-4 < excess.max() < 5e-3) if imprecise else excess.max() < 5e-5


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "name", "correction"), CORRECTED)
def test_every_correction_is_needed(framework, name, correction):
    parted = difference(framework, name, f"without {correction}", "float64", "decaying").max()
    assert parted > 1e-9 or np.isnan(parted)  # without its epsilon, RMSprop divides zero by zero


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "name"), NATIVE)
def test_every_binding_runs_under_the_native_rule(framework, name):
    for dtype in ("float32", "float64"):
        for tensor in SHAPES:
            taken = table(framework)[f"{name}|native|{dtype}|decaying|{tensor}"]
            assert taken.dtype == dtype and np.isfinite(taken).all()
            assert (taken[-1] != start()[tensor].astype(dtype)).any()


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "name"), DIFFERENT)
def test_what_differs_by_definition_is_no_rounding(framework, name):
    assert difference(framework, name, "native", "float64", "decaying").max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.parametrize("framework", INSTALLED)
def test_rates_changed_half_way_are_as_good_as_known_from_the_start(framework, name):
    for mode in REGISTRY.frameworks[framework].proof_modes:
        whole, half = (
            table(framework)[f"changed|{mode}|{name}|{kind}"] for kind in ("whole", "half")
        )
        assert np.array_equal(whole, half), f"{mode}: {np.abs(whole - half).max():.1e}"
        reference = table("numpy")[f"changed|reference|{name}|whole"]
        assert np.allclose(half, reference, rtol=1e-12, atol=0), mode
