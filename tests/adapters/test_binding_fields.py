"""Every field of a Binding holds in every adapter, or the refusal names the field."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from binding_fields import CHECKS
from gradrace.adapters.held_arrays import held_arrays
from gradrace.optimizer import Binding, Optimizer
from gradrace.registry import load_registry
from gradrace.spec import OptimizerSpec
from programs import printed_once

REGISTRY = load_registry()
FRAMEWORKS = ("torch", "tensorflow", "jax")


def found(framework: str) -> dict[str, str]:
    """Check -> "", or the failure."""
    if REGISTRY.frameworks[framework].versions() is None:
        pytest.skip(f"{framework} is not installed")
    said: str = printed_once("binding_fields.py", framework, TF_CPP_MIN_LOG_LEVEL="3")
    return json.loads(said.splitlines()[-1])


def test_every_field_has_its_check():
    # The planner reads `requires`: tests/sweep/test_packages.py.
    assert {field.name for field in dataclasses.fields(Binding)} - {"requires"} <= set(CHECKS)


@pytest.mark.parametrize("check", list(CHECKS))
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_field_holds_or_is_refused(framework, check):
    assert not found(framework)[check], found(framework)[check]


def test_numpy_refuses_a_binding_of_its_own(make_run):
    from gradrace.adapters.numpy import ADAPTER

    adam = REGISTRY.optimizers["adam"]
    bound = dataclasses.replace(adam, bindings={**adam.bindings, "numpy": Binding("numpy.add")})
    run = make_run(name="adam", optimizer=OptimizerSpec(name="adam"))
    assert ADAPTER.supports(run, adam) is None
    assert "bindings['numpy']" in (ADAPTER.supports(run, bound) or "")


def test_numpy_counts_nested_state(make_run):
    from gradrace.adapters.numpy import ADAPTER
    from gradrace.optimizer import ReferenceRule
    from gradrace.plan import initial_weights, make_plan

    def rule(state: object) -> Optimizer:
        kept = lambda p, g, s, lr, t, h: (p - lr * g, s)
        of = ReferenceRule(init=lambda p, h: {"n": 0, "deep": state}, update=kept)
        return dataclasses.replace(REGISTRY.optimizers["sgd"], rule=of)

    for state, expected in (
        ([{"x": np.zeros(3)}, 1.0], 4 * 24),
        (np.float64(1.0), 0),
        (iter("a"), None),
    ):
        run = make_run(name="sgd", optimizer=OptimizerSpec(name="sgd"))
        session = ADAPTER.open(run, initial_weights(run.task, 0), make_plan(run, rule(state)))
        expected = 24 if isinstance(expected, int) and expected else expected
        assert session.state_bytes() == expected


def test_an_endless_graph_is_unknown(monkeypatch):
    monkeypatch.setattr("gradrace.adapters.held_arrays._MOST", 10)
    assert not held_arrays([[[object] for _ in range(50)]], lambda value: False).whole
