"""One traced program of TensorFlow serves many runs, and no run shows it; sessions' gradients."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gradrace.registry import load_registry
from programs import Found, found_by

REGISTRY = load_registry()
FRAMEWORK = REGISTRY.frameworks["tensorflow"]
REUSING = ("loop", "graph")
CANONICAL = [
    n
    for n, o in REGISTRY.optimizers.items()
    if "tensorflow" in o.bindings and "tensorflow" not in o.differs
]
GRADIENTS = [
    *(f"{mode}|{task}" for mode in REUSING for task in ("rich", "moving")),
    "xla|moving",
    "fit|moving",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FRAMEWORK.versions() is None, reason="TensorFlow is not installed"),
]


@pytest.fixture(scope="module")
def found() -> Found:
    return found_by("tensorflow_throughput.py")


def assert_identical(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert set(one) == set(other)
    for name, value in one.items():
        assert np.array_equal(value, other[name]), name


@pytest.mark.parametrize("mode", REUSING)
def test_configurations_of_one_shape_are_traced_once(found, mode):
    """They differ in rate, schedule, steps, seed, beta1, beta2 and epsilon."""
    assert found.said[f"sweep {mode}"] == [2, *[0] * 11]


@pytest.mark.parametrize("position", [0, 4, 8, 11])
@pytest.mark.parametrize("mode", REUSING)
def test_a_shared_program_gives_the_bits_of_an_own_one(found, mode, position):
    assert_identical(
        found.under(f"sweep|{mode}|{position}|shared"), found.under(f"sweep|{mode}|{position}|own")
    )


@pytest.mark.parametrize("mode", REUSING)
def test_the_configurations_differ(found, mode):
    """Else the tests above could not see what was kept from the run before."""
    last = [found.arrays[f"sweep|{mode}|{position}|shared|losses"][8] for position in range(12)]
    assert len(set(last)) == 12


@pytest.mark.parametrize("label", ["single", "whole", "again"])
@pytest.mark.parametrize("task", ["mlp", "moving"])
@pytest.mark.parametrize("mode", REUSING)
def test_curves_do_not_depend_on_chunks_or_on_what_ran_before(found, mode, task, label):
    first, other = (found.arrays[f"chunks|{mode}|{task}|{which}"] for which in ("first", label))
    assert first.shape == (12,) and np.array_equal(first, other)


@pytest.mark.parametrize("name", CANONICAL)
def test_changed_hyperparameters_equal_constants(found, name):
    """A step traced with other values; float32 to two ulp of the tensor's largest entry."""
    assert found.said["optimizers"] == CANONICAL
    for dtype, tolerance in (("float64", 1e-15), ("float32", 2.0**-22)):
        adjusted, constant = (
            found.under(f"updates|{name}|{dtype}|{kind}") for kind in (True, False)
        )
        for tensor, value in adjusted.items():
            assert value.dtype == dtype and np.isfinite(value).all()
            apart = np.abs(value - constant[tensor]).max()
            assert apart <= tolerance * np.abs(constant[tensor]).max(), (
                f"{tensor} {dtype}: {apart:.1e}"
            )


def test_what_a_step_cannot_follow_stays_constant(found):
    """An argument whose type is asked for, that is used at construction, or that cannot be seen."""
    assert found.said["choosy"]["may change"] == ["plain", "steering"]


CHOICES = [
    # hyperparameters, the step in gradients, programs traced: a step and its gradient
    ({}, 0.75**2 * 0.375 * 0.75, 2),
    ({"plain": 0.9}, 0.9 * 0.75 * 0.375 * 0.75, 0),
    ({"steering": 0.9}, 0.75**2 * 0.375 * 0.75, 0),
    ({"typed": 0.9}, 0.9 * 0.75 * 0.375 * 0.75, 2),
    ({"used_early": 0.9}, 0.75**2 * 0.45 * 0.75, 2),
    ({"unseen": 0.9}, 0.75**2 * 0.375 * 0.9, 2),
    ({"steering": 0.25}, 3.0 * 0.75**2 * 0.375 * 0.75, 2),
    ({"steering": 0.3, "plain": 0.5}, 3.0 * 0.5 * 0.75 * 0.375 * 0.75, 0),
]


@pytest.mark.parametrize(("hyper", "share", "traced"), CHOICES)
def test_an_optimizer_that_decides_by_its_arguments_is_traced_for_every_decision(
    found, hyper, share, traced
):
    first, again = found.said["choosy"]["moves"][json.dumps(hyper)]
    assert first == [pytest.approx(share, rel=1e-6), traced]
    assert again == [pytest.approx(share, rel=1e-6), 0]


@pytest.mark.parametrize("cell", GRADIENTS)
def test_gradients_are_those_of_the_loss(found, cell):
    """Against central differences, with penalties, masks and batch statistics, without clipping."""
    slopes = found.under(f"slopes|{cell}")
    assert np.abs(slopes["derivatives"]).max() > 1e-2
    assert slopes["differences"] == pytest.approx(slopes["derivatives"], rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("cell", GRADIENTS)
def test_asking_for_gradients_changes_no_bit_of_training(found, cell):
    assert_identical(found.under(f"disturbed|{cell}"), found.under(f"alone|{cell}"))


@pytest.mark.parametrize("cell", GRADIENTS)
def test_gradients_are_traced_once_and_only_when_asked_for(found, cell):
    assert found.said["gradient traces"][cell] == [1, *[2] * 4]
