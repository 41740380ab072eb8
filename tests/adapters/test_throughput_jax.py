"""JAX in sweeps: one program for all configurations of a shape, and equal curves in every way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gradrace.registry import load_registry
from programs import printed_once

REGISTRY = load_registry()
pytestmark = pytest.mark.skipif(
    REGISTRY.frameworks["jax"].versions() is None, reason="JAX is not installed"
)
MODES = ("jit", "scan", "nnx")
CANONICAL = sorted(
    name
    for name, o in REGISTRY.optimizers.items()
    if "jax" in o.bindings and "jax" not in o.differs
)
Table = dict[str, Any]


def said(*sections: str) -> Table:
    """The answers of throughput_jax.py for these sections."""
    return json.loads(
        printed_once("throughput_jax.py", *sections, JAX_ENABLE_X64="0").splitlines()[-1]
    )


@pytest.fixture(scope="module")
def table() -> Table:
    """All sections but the long ones."""
    return said("compilations", "curves", "fallback")


@pytest.fixture(scope="module")
def long_table() -> Table:
    """Every mode and every optimizer."""
    return said("gradients", "constants")


def test_one_program_for_each_length_of_chunk_serves_all_configurations(table):
    # The first state, the loop at both lengths, and the evaluation of two splits.
    assert table["compiled|first"] == 5
    assert table["compiled|others"] == [12, 0]
    assert table["compiled|loops before"] == table["compiled|loops after"] == 2


@pytest.mark.parametrize("what", ["schedules", "longer", "diagnosed 0.99"])
def test_nothing_is_compiled_for_another_schedule_or_length_of_run(table, what):
    assert table[f"compiled|{what}"] == 0


def test_nothing_is_compiled_where_learning_rates_change_on_the_way(table):
    rates, compiled = table["compiled|plateau"]
    assert rates > 1 and compiled == 0


def test_diagnosis_compiles_its_gradient_and_its_chunks_once(table):
    # Loops of 1, 29 and 9 steps.
    assert table["compiled|diagnosed 0.9"] == 4


@pytest.mark.parametrize(
    "how", ["again", "in chunks of 7", "whole", "one by one", "in another's program", "diagnosed"]
)
def test_a_run_gives_the_same_bits_however_it_comes_about(table, how):
    alone = table["curve|alone"]
    assert len(alone) == 70 and table[f"curve|{how}"] == alone
    assert table["curve|another's"] != alone


def test_what_a_factory_decides_by_stays_a_constant(table):
    """`gate` is compared, `key` hashed; `scale` and one of `pair` only computed with, and their
    values arrive.
    """
    moved = {
        key.removeprefix("fallback|"): value
        for key, value in table.items()
        if key.startswith("fallback|")
    }
    assert {tuple(constant) for constant, _, _ in moved.values()} == {("gate", "key")}
    assert [value for _, value, _ in moved.values()] == pytest.approx(
        [-0.1 * 0.75 * 0.5, -0.1 * 0.75 * 0.25, 0.0], rel=1e-6
    )


def test_a_factory_is_tried_out_once(table):
    first, second, third = (value[2] for key, value in table.items() if key.startswith("fallback|"))
    assert first > 4 and second == first + 1 and third == second + 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_those_that_a_step_takes(long_table, mode):
    found = {
        key.split("|")[2]: value
        for key, value in long_table.items()
        if key.startswith(f"gradients|{mode}|")
    }
    names, trainable = found["names"]
    assert names == trainable and len(names) == 5
    assert found["distance"] < 1e-12
    assert found["untouched"] and found["compilations"] == 0
    free, clipped = found["norms"]
    assert clipped == pytest.approx(free, rel=1e-12) and free > 1.0
    assert found["bfloat16"] == ["float32"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CANONICAL)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-15)])
def test_arguments_give_what_constants_give(long_table, name, dtype, tolerance):
    distance, arguments, constants = long_table[f"constants|{name}|{dtype}"]
    assert distance <= tolerance and constants == []
    real = REGISTRY.optimizers[name].hyper and name != "lbfgs"
    assert bool(arguments) == bool(real)
