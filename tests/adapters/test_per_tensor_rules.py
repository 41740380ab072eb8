"""Rules that see more than one element: each framework against the reference, in float64."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from gradrace.binding import unavailable
from gradrace.layers import Dense
from gradrace.registry import load_registry
from gradrace.verify.cases import AMPLIFIED
from per_tensor_rules import MATRICES, SHAPES, TASKS, start
from programs import printed, saved
from update_rules import run_of

REGISTRY = load_registry()
INSTALLED = [
    name for name, framework in REGISTRY.frameworks.items() if framework.versions() is not None
]
RULES = [
    (framework, name)
    for name, o in REGISTRY.optimizers.items()
    for framework in o.bindings
    if framework in INSTALLED
    and (o.per_tensor or o.full_batch)
    and framework not in o.differs
    # The first of these gradients has rows of zeros, which leave SOAP's bases arbitrary.
    and name not in AMPLIFIED
]


def table(framework: str) -> dict[str, np.ndarray]:
    if framework not in INSTALLED:
        pytest.skip(f"{framework} is not installed")
    return saved("per_tensor_rules.py", framework)


def apart(
    framework: str, key: str, reference: str, shapes: dict[str, tuple[int, ...]] = SHAPES
) -> float:
    """The largest distance of an element from the reference, over how far that moved its tensor."""
    worst = 0.0
    for name, first in start(shapes).items():
        ours, theirs = table("numpy")[f"{reference}|{name}"], table(framework)[f"{key}|{name}"]
        assert ours.shape == theirs.shape
        worst = max(worst, float(np.abs(ours - theirs).max() / np.abs(ours - first).max()))
    return worst


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["constant", "decaying"])
@pytest.mark.parametrize(("framework", "name"), RULES)
def test_kernels_of_convolutions_too_follow_the_reference_rule(framework, name, kind):
    """Adafactor, Muon, LAMB and LARS on given gradients; L-BFGS on those of a convex quadratic."""
    worst = apart(framework, f"{name}|{kind}", f"{name}|{kind}")
    assert worst <= 1e-12, f"{name} in {framework}: {worst:.1e}"


@pytest.mark.slow
def test_storage_matters_to_adafactor():
    """On tensors as torch stores them the same class differs: hence the canonical storage."""
    assert apart("torch", "adafactor as stored", "adafactor|constant") > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_muon_of_matrices_is_equal_in_all_libraries(framework):
    """torch's own class, which orthogonalises in bfloat16, is native_target."""
    assert apart(framework, "muon of matrices", "muon of matrices", MATRICES) <= 1e-12


@pytest.mark.slow
def test_prodigy_follows_its_rule_while_it_grows_its_distance():
    assert apart("jax", "prodigy from afar", "prodigy from afar") <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("one", "other"), list(combinations([name for name in INSTALLED if name != "numpy"], 2))
)
def test_trajectories_agree(task, one, other):
    compared = 0
    for mine, theirs in pairs(task, one, other):
        for what in ("losses", "evaluated"):
            a, b = table(one)[f"{mine}|{what}"], table(other)[f"{theirs}|{what}"]
            assert np.abs(a / b - 1.0).max() <= 1e-11, f"{mine} and {theirs}: {what}"
        compared += 1
    assert compared >= 2


def pairs(task: str, one: str, other: str) -> list[tuple[str, str]]:
    """Keys of the same optimizer and schedule, any mode."""
    keys = [
        [
            key.removesuffix("|losses")
            for key in table(framework)
            if key.startswith(task) and key.endswith("|losses")
        ]
        for framework in (one, other)
    ]
    return [(a, b) for a in keys[0] for b in keys[1] if a.split("|")[:3] == b.split("|")[:3]]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["jit", "scan"])
def test_schedule_free_evaluates_its_average(mode):
    for kind in ("constant", "warmup_cosine"):
        key = f"digits_mlp|schedule_free_adamw|{kind}"
        ours, theirs = table("numpy"), table("jax")
        for what in ("losses", "evaluated"):
            assert np.allclose(
                theirs[f"{key}|{mode}|{what}"], ours[f"{key}|reference|{what}"], rtol=1e-12, atol=0
            )


def test_the_reference_evaluates_the_average_of_schedule_free(make_run, open_numpy):
    session = open_numpy(make_run(name="schedule_free_adamw"))
    session.train(range(20))
    average = session._updater.evaluated(session.weights())
    (states,) = session._updater.states
    fast = {name: state["z"] for name, state in states.items()}
    for name, y in session.weights().items():
        assert np.allclose(y, 0.9 * average[name] + 0.1 * fast[name], rtol=0, atol=1e-12)
    assert any(np.abs(average[name] - session.weights()[name]).max() > 1e-3 for name in average)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "name", "mode"),
    [
        *(("torch", name, "eager-fused") for name in ("lbfgs", "sophia")),
        *(("jax", name, mode) for name in ("lbfgs", "sophia") for mode in ("jit", "scan")),
    ],
)
def test_what_evaluates_the_loss_itself_is_given_it(framework, name, mode):
    losses = table(framework)[f"asks|{name}|{mode}|losses"]
    assert np.isfinite(losses).all() and losses[-1] < 0.5 * losses[0]


def test_a_class_for_matrices_refuses_other_tensors():
    muon, run = REGISTRY.optimizers["muon"], run_of(REGISTRY, "torch", "muon", rule="native")
    reason = unavailable(run, muon)
    assert (
        reason
        and "torch.optim.Muon takes matrices only" in reason
        and "0_dense.bias has shape [128]" in reason
    )
    model = (Dense(units=4, bias=False), Dense(units=10, bias=False))
    without = run.model_copy(update={"task": run.task.model_copy(update={"model": model})})
    assert unavailable(without, muon) is None


@pytest.mark.parametrize(
    ("rule", "module"), [("canonical", "gradrace.adapters.jax.pieces"), ("native", "optax")]
)
def test_the_native_rule_takes_the_library_s_own_function(rule, module):
    if "jax" not in INSTALLED:
        pytest.skip("JAX is not installed")
    code = (
        "import numpy as np; from update_rules import *; from gradrace.binding import bind; r ="
        f" load_registry()\nb = bind(run_of(r, 'jax', 'adafactor', rule='{rule}'),"
        " r.optimizers['adafactor'], np.ones(2))\nprint(b.make.__module__, b.canonical_storage)"
    )
    made_in, storage = made_in, storage = printed(code).split()[-2:]
    assert made_in.startswith(module) and storage == str(rule == "canonical")
