"""JAX in all its modes, really trained: parts, batches from the host, bfloat16, compilations."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from gradrace.registry import load_registry
from programs import below, printed, saved, variables

REGISTRY = load_registry()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        REGISTRY.frameworks["jax"].versions() is None, reason="JAX is not installed"
    ),
]
MODES = ("jit", "scan", "nnx")
Table = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def table() -> Table:
    """All that modes_jax.py saves."""
    return saved("modes_jax.py")


def test_nnx_trains_as_jit_does(table):
    jit, nnx = below(table, "same|jit|"), below(table, "same|nnx|")
    assert jit.keys() == nnx.keys() and len([key for key in jit if key.endswith("|loss")]) == 11
    for key, value in jit.items():
        assert np.allclose(nnx[key], value, rtol=1e-11, atol=1e-13), key


def test_nnx_moves_running_statistics_and_weights(table):
    found = below(table, "same|nnx|everything on a perceptron warmup_cosine|end|")
    assert any("moving_variance" in name for name in found)
    assert not any(np.all(value == 1.0) for name, value in found.items() if "moving" in name)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("given", ["pipeline", "windows"])
def test_batches_from_the_host_and_masks_in_windows_change_no_bit(table, mode, given):
    resident, other = (
        below(table, f"input|{mode}|resident|"),
        below(table, f"input|{mode}|{given}|"),
    )
    assert resident.keys() == other.keys() and resident["loss"].shape == (12,)
    for key, value in resident.items():
        assert np.array_equal(value, other[key]), key


BFLOAT16 = [("jit", task) for task in ("digits_mlp", "digits_cnn", "digits_lstm", "small")]
BFLOAT16 += [(mode, task) for mode in ("scan", "nnx") for task in ("digits_mlp", "small")]


@pytest.mark.parametrize(("mode", "task"), BFLOAT16)
def test_bfloat16_lowers_the_loss(table, mode, task):
    title = REGISTRY.tasks[task].title if task in REGISTRY.tasks else task
    found = below(table, f"bfloat16|{mode}|{title}|")
    assert found["loss"][-3:].mean() < found["loss"][:3].mean()
    assert list(found["dtypes"]) == ["bfloat16"]
    ends = [value for key, value in found.items() if key.startswith("end|")]
    assert ends and {value.dtype for value in ends} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("mode", "optimizer"), [("jit", "sgd"), ("jit", "adam"), ("scan", "sgd"), ("nnx", "sgd")]
)
def test_probes_leave_training_as_it_is(table, mode, optimizer):
    found = below(table, f"probe|{mode}|{optimizer}|")
    assert found["untouched"] and found["unreported"]
    plain, probed = below(found, "plain|"), below(found, "probed|")
    assert plain.keys() == probed.keys() and len(plain["loss"]) == 12
    for key, value in plain.items():
        assert np.array_equal(value, probed[key]), key


@pytest.mark.parametrize("mode", MODES)
def test_probes_take_the_losses_of_the_steps_batches(table, mode):
    """At the weights of step 0 for this batch and later ones; training gives the first loss too."""
    found = below(table, f"probe|{mode}|sgd|")
    assert found["forward"].shape == found["gradient"].shape == (4,)
    assert found["forward"][0] == pytest.approx(found["plain|loss"][0], rel=1e-6)
    assert np.allclose(found["forward"], found["gradient"], rtol=1e-6, atol=0.0)
    assert len(set(found["forward"])) == 4 and found["forward"][3] > found["plain|loss"][3]


@pytest.mark.parametrize("mode", MODES)
def test_only_another_number_of_steps_in_a_loop_is_compiled_anew(table, mode):
    before, first, second, again, shorter, last, *probed = table[f"compiled|{mode}"].tolist()
    assert before == 0 and first == 1 and last == shorter
    assert (second, again, shorter) == ((2, 2, 3) if mode == "scan" else (1, 1, 1))
    once, twice = probed[:3], probed[3:]
    assert last < once[0] < once[1] < once[2] and set(twice) == {once[2]}


def test_new_learning_rates_are_taken_in_every_mode(table):
    losses = [table[f"rates|{mode}|loss"] for mode in MODES]
    for other in losses[1:]:
        assert np.allclose(other, losses[0], rtol=1e-11, atol=0.0)
    # As before up to the change and the step after it, which still has the loss of the old weights.
    assert losses[0].shape == (12,) and np.isfinite(losses[0]).all()


REASONS = [
    ({"mode": "eager"}, "no mode 'eager'"),
    ({"device": "gpu"}, "no GPU visible to JAX"),
    ({"mode": "nnx"}, None),
    ({"mode": "nnx", "dtype": "bfloat16"}, None),
    ({"mode": "scan", "input": "pipeline"}, None),
]


def test_what_it_cannot_do_it_says(table):
    """And what it sets for determinism and precision."""
    script = """import json, sys
from gradrace.adapters.jax import ADAPTER
from modes_jax import REGISTRY, run_of
adam = REGISTRY.optimizers["adam"]
run = run_of(REGISTRY.tasks["digits_mlp"], "jit", "adam")
runs = [run.model_copy(update=changes) for changes in json.loads(sys.argv[1])]
print(json.dumps([[ADAPTER.supports(run, adam) for run in runs], ADAPTER.policy(runs[0])]))
"""
    said = printed(script, json.dumps([changes for changes, _ in REASONS]))
    reasons, policy = json.loads(said.splitlines()[-1])
    for told, (changes, expected) in zip(reasons, REASONS, strict=True):
        assert (told is None) if expected is None else (expected in told), changes
    assert (
        policy["jax_default_matmul_precision"] == "highest" and policy["jax_enable_x64"] == "True"
    )
    assert (
        policy["XLA_FLAGS"]
        == variables()["XLA_FLAGS"]
        == os.environ.get("XLA_FLAGS", policy["XLA_FLAGS"])
    )
