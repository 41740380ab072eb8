"""Session.gradients: NumPy's against central differences, PyTorch's against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from gradrace.adapters.numpy import ADAPTER
from gradrace.plan import initial_weights, make_plan
from gradrace.registry import load_registry
from layer_extras import TASKS as EXTRAS
from programs import below, saved
from runs import spec_of

REGISTRY = load_registry()
TASKS = {
    "everything": EXTRAS["image"],
    "lstm": REGISTRY.tasks["digits_lstm"],
    "diabetes": REGISTRY.tasks["diabetes_mlp"],
}
STEPS = 12


def opened(name, start=None):
    task = TASKS[name].model_copy(update={"steps": STEPS, "eval_every": STEPS})
    run = spec_of(task, "adam")
    return ADAPTER.open(
        run, start or initial_weights(task, run.seed), make_plan(run, REGISTRY.optimizers["adam"])
    )


def section(mode):
    """Of modes_torch.py: compiling has one of its own."""
    return "compile" if mode == "compile" else "gradients"


def first_loss(name, start):
    session = opened(name, start)
    session.train(range(1))
    return session.losses()[0]


@pytest.mark.parametrize("name", TASKS)
def test_the_gradients_of_the_reference_are_those_of_the_loss_that_a_step_reports(name):
    """Central differences along one random direction a parameter."""
    session = opened(name)
    start, gradients = session.weights(), session.gradients(0)
    rng, h = np.random.default_rng(0), 1e-6
    for parameter, gradient in gradients.items():
        direction = rng.normal(size=gradient.shape)
        losses = [
            first_loss(name, start | {parameter: start[parameter] + sign * h * direction})
            for sign in (1, -1)
        ]
        assert np.isclose(
            (losses[0] - losses[1]) / (2 * h), (gradient * direction).sum(), rtol=1e-5, atol=1e-8
        ), parameter


@pytest.mark.parametrize("name", ["everything", "lstm"])
def test_asking_for_gradients_leaves_the_reference_as_it_was(name):
    plain, asked = opened(name), opened(name)
    plain.train(range(4))
    for step in range(4):
        asked.gradients(step + 3)
        asked.train(range(step, step + 1))
    assert np.array_equal(plain.losses(), asked.losses())
    assert all(
        np.array_equal(value, asked.weights()[key]) for key, value in plain.weights().items()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, mode) for name in ("everything", "lstm") for mode in ("eager", "eager-fused")),
        ("everything", "compile"),
    ],
)
def test_pytorch_has_the_gradients_of_the_reference(name, mode):
    session = opened(name)
    for step in (0, 2):
        entries = below(saved("modes_torch.py", section(mode)), f"gradients|{mode}|{name}|{step} ")
        ours = session.gradients(step)
        assert set(entries) == set(ours)
        for parameter, gradient in ours.items():
            scale = np.abs(gradient).max()
            assert np.allclose(entries[parameter], gradient, rtol=1e-8, atol=1e-10 * scale), (
                step,
                parameter,
            )
        session.train(range(2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(
            (name, mode)
            for name in ("everything", "lstm", "native dropout")
            for mode in ("eager", "eager-fused")
        ),
        ("everything", "compile"),
    ],
)
def test_asking_for_gradients_leaves_pytorch_as_it_was(name, mode):
    """Running statistics, the optimizer's state and the generator of native dropout among it."""
    assert (
        below(saved("modes_torch.py", section(mode)), f"gradients|{mode}|{name}|")["as without"]
        == "true"
    )
