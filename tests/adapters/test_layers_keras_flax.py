"""Keras and Flax beyond the common table: float32, scan, reused programs, staging, own dropout."""

from __future__ import annotations

import numpy as np
import pytest
from gradrace.registry import load_registry
from layer_cases import CASES
from layer_extras import STEPS, TASKS, Arrays, cases
from programs import saved

pytestmark = pytest.mark.slow

REGISTRY = load_registry()
FRAMEWORKS = [
    name for name in ("tensorflow", "jax") if REGISTRY.frameworks[name].versions() is not None
]
MODES = [(name, mode) for name in FRAMEWORKS for mode in REGISTRY.frameworks[name].proof_modes]
RTOL, SESSION_RTOL, SINGLE_RTOL = 1e-12, 1e-11, 2e-5


@pytest.fixture(scope="module")
def tables() -> dict[str, Arrays]:
    """Framework -> all its arrays, one after the other, each in its own process."""
    return {name: saved("layer_extras.py", name) for name in ("numpy", *FRAMEWORKS)}


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest one, relative to the largest entry of b."""
    assert a.shape == b.shape
    scale = np.abs(b).max(initial=0.0)
    return float(np.abs(a.astype(float) - b).max(initial=0.0)) / (scale or 1.0)


def differences(table: Arrays, prefix: str, other: Arrays, other_prefix: str) -> dict[str, float]:
    """By what follows the prefix; both tables have the same under it."""
    one, two = (
        {key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)}
        for arrays, start in ((table, prefix), (other, other_prefix))
    )
    assert one and set(one) == set(two)
    return {key: difference(one[key], two[key]) for key in one}


@pytest.mark.parametrize(
    ("framework", "mode", "case"),
    [pytest.param(f, m, case, id=f"{f}-{m}-{case.name}") for f, m in MODES for case in cases(m)],
)
def test_a_layer_is_that_of_the_referee_in_every_mode(tables, framework, mode, case):
    found = differences(
        tables[framework],
        f"layer|{mode}|float64|{case.name}|",
        tables["numpy"],
        f"layer|reference|float64|{case.name}|",
    )
    assert max(found.values()) <= RTOL, found


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_layers_are_the_same_in_float32(tables, framework):
    """Keras takes other functions there for some activations."""
    mode = REGISTRY.frameworks[framework].proof_modes[0]
    for case in CASES:
        single = f"layer|{mode}|float32|{case.name}|"
        found = differences(
            tables[framework], single, tables["numpy"], f"layer|reference|float64|{case.name}|"
        )
        assert max(found.values()) <= SINGLE_RTOL, (case.name, found)
        kept = {value.dtype for key, value in tables[framework].items() if key.startswith(single)}
        assert kept == {np.dtype(np.float32)}, case.name


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(("framework", "mode"), MODES, ids=lambda name: name)
def test_a_session_is_that_of_the_referee(tables, framework, mode, name):
    own = tables[framework]
    found = differences(
        own, f"session|{mode}|{name}|", tables["numpy"], f"session|reference|{name}|"
    )
    assert max(found.values()) <= SESSION_RTOL, found
    losses = own[f"session|{mode}|{name}|losses"]
    assert losses.shape == (STEPS,) and np.ptp(losses) > 0


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(("framework", "mode"), MODES, ids=lambda name: name)
def test_reused_programs_remember_nothing(tables, framework, mode, name):
    own = tables[framework]
    assert set(
        differences(own, f"again|{mode}|{name}|", own, f"session|{mode}|{name}|").values()
    ) == {0.0}


@pytest.mark.parametrize(("framework", "mode"), MODES, ids=lambda name: name)
def test_staging_a_few_steps_at_a_time_changes_nothing(tables, framework, mode):
    found = differences(
        tables[framework], f"little|{mode}|image|", tables[framework], f"session|{mode}|image|"
    )
    assert max(found.values()) <= SESSION_RTOL, found


@pytest.mark.parametrize(("framework", "mode"), MODES, ids=lambda name: name)
def test_native_dropout_follows_the_seed(tables, framework, mode):
    first, second, other = (
        tables[framework][f"native|{mode}|{name}"] for name in ("first", "second", "other")
    )
    assert np.array_equal(first, second)
    assert not np.isclose(first, other).any()
