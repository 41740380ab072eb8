"""Reference rules as instances: every one comes back from its saved state, and its script prints
its numbers."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from gradrace.adapters.numpy.instance import rule_maker
from gradrace.registry import load_registry
from gradrace.stepping.instance import Making, NotApplicable
from gradrace.stepping.scenario import Evaluate, Reload, Scenario, SetRate, Step, run

RULES = {name: o for name, o in load_registry([]).optimizers.items() if o.rule}
DRAW = np.random.default_rng(14)
START = {"kernel": DRAW.normal(size=(3, 2)), "bias": DRAW.normal(size=3)}
STEPS = tuple(Step({k: DRAW.normal(size=v.shape) for k, v in START.items()}) for _ in range(4))


@pytest.mark.parametrize("name", sorted(RULES))
def test_saving_looking_and_layout_change_no_bit(name: str) -> None:
    maker = rule_maker(RULES[name])
    alone = run(maker, Scenario(START, Making(0.01), STEPS))
    eventful = (STEPS[0], Evaluate(), STEPS[1], Reload(), *STEPS[2:])
    other = run(maker, Scenario(START, Making(0.01, strided=True), eventful))
    for a, b in zip(alone.steps, other.steps, strict=True):
        assert all(np.array_equal(a[key], b[key]) for key in START)
    assert alone.state.keys() == other.state.keys()


@pytest.mark.parametrize("name", ["adamw", "lbfgs"])
def test_the_script_prints_the_numbers_of_the_scenario(name: str) -> None:
    maker = rule_maker(RULES[name])
    scenario = Scenario(START, Making(0.01), (*STEPS[:2], SetRate(0.5), STEPS[2]))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(maker.script(scenario), {})
    told: list[Any] = []
    for text in printed.getvalue().split("{")[1:]:
        told.append(eval("{" + text, {"array": np.array}))
    for step, values in zip(run(maker, scenario).steps, told, strict=True):
        flat = np.concatenate([value.ravel() for value in step.values()])
        assert np.array_equal(flat, np.concatenate([value.ravel() for value in values.values()]))


def test_a_tensor_without_gradient_rests_and_counts_no_step() -> None:
    maker = rule_maker(RULES["adam"])
    absent = Step({**STEPS[0].gradients, "bias": None})
    course = run(maker, Scenario(START, Making(0.01), (absent, STEPS[1])))
    assert np.array_equal(course.steps[0]["bias"], START["bias"])
    assert (course.state["kernel.step"], course.state["bias.step"]) == (2, 1)


@pytest.mark.parametrize("making", [Making(0.1, dtype="float32"), Making(0.1, variant="fused")])
def test_what_numpy_lacks_is_not_applicable(making: Making) -> None:
    with pytest.raises(NotApplicable):
        rule_maker(RULES["adam"]).make(START, making)


def test_a_resting_tensor_has_the_rate_zero() -> None:
    making = Making(0.1, resting=("bias",))
    course = run(rule_maker(RULES["sgd"]), Scenario(START, making, STEPS))
    assert np.array_equal(course.steps[-1]["bias"], START["bias"])
    with pytest.raises(NotApplicable, match="one vector"):
        rule_maker(RULES["lbfgs"]).make(START, making)
