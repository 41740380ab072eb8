"""Results of TensorFlow's modes, inputs and parts of a step; a probe leaves training alone."""

from __future__ import annotations

import numpy as np
import pytest
from gradrace.registry import load_registry
from programs import Found, found_by

REGISTRY = load_registry()
FRAMEWORK = REGISTRY.frameworks["tensorflow"]
MODES = FRAMEWORK.modes
STEPS = 12
RTOL = 1e-11

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FRAMEWORK.versions() is None, reason="TensorFlow is not installed"),
]


class Runs(Found):
    def under(self, prefix: str) -> dict[str, np.ndarray]:
        """Losses, metrics and weights of one run."""
        own = super().under(prefix)
        assert own["losses"].shape == (STEPS,), prefix
        return own


@pytest.fixture(scope="module")
def found() -> Runs:
    return Runs(*found_by("tensorflow_modes.py"))


def assert_equal(
    one: dict[str, np.ndarray], other: dict[str, np.ndarray], rtol: float = RTOL
) -> None:
    """Losses relative to themselves, all else relative to the largest entry."""
    assert set(one) == set(other)
    for name, value in one.items():
        difference, size = np.abs(value - other[name]), np.abs(other[name])
        assert (difference <= rtol * (size if name == "losses" else size.max())).all(), (
            f"{name}: {difference.max():.1e}"
        )


def assert_identical(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert set(one) == set(other)
    for name, value in one.items():
        assert np.array_equal(value, other[name]), name


def test_the_registry_reads_the_modes():
    assert MODES == ("graph", "xla", "loop", "fit")
    assert (FRAMEWORK.convergence_mode, FRAMEWORK.proof_modes, FRAMEWORK.looped_modes) == (
        "loop",
        ("loop",),
        ("loop",),
    )


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "graph"])
@pytest.mark.parametrize(
    "cell",
    [
        "digits_mlp constant",
        "digits_mlp warmup_cosine",
        "digits_cnn constant",
        "digits_lstm constant",
    ],
)
def test_every_mode_trains_as_graph_does(found, cell, mode):
    assert_equal(found.under(f"mode|{cell}|{mode}"), found.under(f"mode|{cell}|graph"))


def test_the_schedules_of_a_reused_program_differ(found):
    """Else the table above could not see rates that were kept from the run before."""
    constant, cosine = (
        found.under(f"mode|digits_mlp {kind}|graph")["losses"]
        for kind in ("constant", "warmup_cosine")
    )
    assert np.abs(constant - cosine)[-1] > 1e-3


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "graph"])
def test_masks_statistics_penalties_clipping_and_decay_are_the_same_in_every_mode(found, mode):
    assert_equal(found.under(f"rich|resident|{mode}"), found.under("rich|resident|graph"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("task", ["rich", "plain"])
def test_a_pipeline_gives_the_same_batches(found, task, mode):
    if (task, mode) != ("plain", "xla"):
        assert_identical(
            found.under(f"{task}|pipeline|{mode}"), found.under(f"{task}|resident|{mode}")
        )


@pytest.mark.parametrize(
    "cell", [*(f"digits_mlp|{mode}" for mode in MODES), "digits_cnn|loop", "digits_lstm|loop"]
)
def test_bfloat16_learns(found, cell):
    losses = found.arrays[f"bfloat16|{cell}|losses"]
    weights = [
        value for name, value in found.arrays.items() if name.startswith(f"bfloat16|{cell}|weight ")
    ]
    assert losses.dtype == np.float64
    assert losses[-5:].mean() < 0.9 * losses[:5].mean()
    assert {value.dtype for value in weights} == {np.dtype(np.float32)}
    assert not any((value.view(np.uint32) & 0xFFFF).any() for value in weights), (
        "more bits than bfloat16 has"
    )


PROBED = [
    "graph|resident|sgd",
    "graph|pipeline|momentum",
    "xla|resident|momentum",
    "loop|resident|sgd",
    "loop|pipeline|momentum",
]


@pytest.mark.parametrize("cell", PROBED)
def test_probing_parts_changes_no_bit_of_training(found, cell):
    """It changes no weights, statistics, masks of Keras' own dropout or rates of later steps."""
    probed = {
        name: value for name, value in found.under(f"with|{cell}").items() if name != "forward"
    }
    assert_identical(probed, found.under(f"without|{cell}"))


@pytest.mark.parametrize("cell", PROBED)
def test_the_forward_part_computes_the_batches_losses(found, cell):
    """At the present weights: only the first is a loss of training."""
    forward, losses = found.arrays[f"with|{cell}|forward"], found.arrays[f"without|{cell}|losses"]
    assert forward.shape == (7,) and len(np.unique(forward)) == 7
    assert forward[0] == pytest.approx(losses[0], rel=1e-12)
    assert (forward[2:] != losses[2:7]).any()


@pytest.mark.parametrize("cell", PROBED)
def test_parts_are_traced_once(found, cell):
    """One trace for each part at its first probe, one for the step at the first training."""
    mode, given, optimizer = cell.split("|")
    assert found.said["probed"][f"{mode} {given} {optimizer}"] == [0, 1, 2, 3, 4, *[4] * 7]


@pytest.mark.parametrize("mode", MODES)
def test_a_step_is_traced_once_whatever_the_length_of_a_call(found, mode):
    assert found.said["traces"][mode] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("an unknown mode", "no mode eager"),
        ("a GPU", "no GPU"),
        *((mode, None) for mode in MODES),
        *((f"{mode} in bfloat16", None) for mode in MODES),
        ("adam in bfloat16", "adam takes steps of 0 in bfloat16"),
        ("lamb in bfloat16", "lamb takes steps of 0 in bfloat16"),
        ("native adamw in bfloat16", "adamw takes steps of 0 in bfloat16"),
        ("native nadam in bfloat16", "nadam gives NaN in bfloat16"),
        ("native muon in bfloat16", "muon fails in bfloat16"),
        ("lion in bfloat16", None),
        ("adamax in bfloat16", None),
    ],
)
def test_what_is_refused_and_why(found, asked, reason):
    told = found.said["refusals"][asked]
    assert told is None if reason is None else reason in told


def test_parts_of_a_step(found):
    parts = ["forward", "gradient", "update"]
    assert found.said["answers"]["parts"] == {
        "graph": parts,
        "xla": parts,
        "loop": parts,
        "fit": [],
    }
    assert "fit" in found.said["answers"]["refused"]


def test_the_policy_is_what_is_set(found):
    answers = found.said["answers"]
    policy = answers["policy"]
    assert (
        policy["tf.config.experimental.enable_tensor_float_32_execution"]
        == str(answers["tf32"])
        == "False"
    )
    assert (
        policy["tf.config.threading.set_intra_op_parallelism_threads"]
        == str(answers["threads"])
        == "1"
    )
    assert policy["tf.config.experimental.enable_op_determinism"] == "not called"
    assert answers["peak"] is None


def test_xla_breaks_ties_of_padded_pooling_otherwise(found):
    """Either is a subgradient; it is why `verify` proves every piece outside of xla."""
    graph, xla = found.arrays["ties|graph"], found.arrays["ties|xla"]
    assert graph.sum() == xla.sum() == 4.0
    assert not np.array_equal(graph, xla)
