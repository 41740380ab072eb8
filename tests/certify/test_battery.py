"""The battery: sound rules pass, and each planted fault is found by the check that is meant for
it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from gradrace.adapters.numpy.instance import rule_maker
from gradrace.certify.battery import battery, checks
from gradrace.certify.battery.measure import parting
from gradrace.certify.finding import Finding
from gradrace.stepping.instance import Making
from gradrace.stepping.scenario import Scenario, Step
from hypothesis import given
from hypothesis import strategies as st
from planted_rules import FAULTS, RULES, Narrow, OtherMaker, other

# What fails without a known rule, as nothing else could tell that it is the rule's definition.
BY_DEFINITION = {
    "ftrl": {"zero gradients", "learning rate 0"},
    "rprop": {"learning rate doubled"},
    # Rounding makes an eigenvalue of 1e60 times 0 negative.
    "shampoo": {"huge gradients"},
}


def failed(findings: list[Finding]) -> set[str]:
    return {finding.check for finding in findings if finding.outcome == "failed"}


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_sound_rule_passes_beside_itself(name: str) -> None:
    assert not failed(list(battery(rule_maker(RULES[name]), RULES[name])))


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_sound_rule_passes_when_nobody_knows_it(name: str) -> None:
    assert failed(list(battery(rule_maker(RULES[name]), None))) == BY_DEFINITION.get(name, set())


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_mutation_a_planted_fault_is_found(name: str) -> None:
    fault = FAULTS[name]
    found = list(battery(fault.make(), RULES[fault.known] if fault.known else None))
    assert fault.found in failed(found)
    shown = next(f for f in found if (f.check, f.outcome) == (fault.found, "failed"))
    assert shown.script and "more characters" not in shown.script and shown.text


def test_every_check_finds_a_planted_fault() -> None:
    """Those left out have no failure, or are told of under another name."""
    found = {fault.found for fault in FAULTS.values()} | {"variants"}
    silent = {"zero gradients after others", "no gradient at all", "bfloat16 against float64"}
    names = [check.name for check in checks(rule_maker(RULES["sgd"]), None)]
    assert set(names) - found == silent
    assert max(Counter(names).values()) == 1


def test_rounding_to_float32_is_no_fault() -> None:
    assert not failed(list(battery(other(Narrow)(), None)))


def test_an_optimizer_that_cannot_be_stepped_fails_once() -> None:
    class Broken:
        def __init__(self, *given: object) -> None:
            raise TypeError("no such thing")

    maker = OtherMaker(RULES["adam"], {}, Broken)
    found = list(battery(maker, None))
    assert Counter(f.outcome for f in found) == {"failed": 1, "not applicable": len(found) - 1}
    assert found[0].text == "It raises TypeError: no such thing"


def test_nothing_begins_when_the_time_is_up() -> None:
    found = list(battery(rule_maker(RULES["adam"]), None, budget_s=0.0))
    assert {f.outcome for f in found} == {"not applicable"}
    assert {f.text for f in found} == {"no time left"}


def test_no_check_is_stepped_before_it_is_begun() -> None:
    class Untouched:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    assert len(checks(Untouched(), None)) > 30  # type: ignore[arg-type]


def test_the_script_of_a_failure_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = list(battery(FAULTS["wrong sign"].make(), None))
    script = next(f.script for f in found if f.check == "downhill")
    exec(script, {})
    steps = capsys.readouterr().out.splitlines()
    assert len(steps) > 5


def test_a_known_rule_takes_the_class_own_hyperparameters() -> None:
    """With another momentum the rule would answer otherwise."""
    maker = rule_maker(RULES["momentum"], {"momentum": 0.0})
    assert not failed(list(battery(maker, RULES["momentum"])))


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3),
    st.integers(0, 2),
    st.floats(1e-3, 1e3),
)
def test_a_parting_names_the_first_step_and_the_tensor(
    way: list[float], at: int, gap: float
) -> None:
    start = {"a": np.zeros(2), "b": np.zeros(2)}
    one = [{"a": np.full(2, 1.0), "b": np.full(2, value)} for value in way]
    other = [dict(step) for step in one]
    assert parting(one, other, start) is None
    for step in other[at:]:
        step["b"] = step["b"] + gap
    found = parting(one, other, start)
    assert found and (found.step, found.tensor) == (at + 1, "b")
    largest = max(map(abs, way))
    assert found.size == pytest.approx(gap / largest if largest else np.inf, rel=1e-6)


def test_scenarios_of_checks_leave_the_benches_arrays_alone() -> None:
    start = {"kernel": np.ones((2, 2)), "bias": np.ones(2)}
    step = Step({name: np.ones_like(value) for name, value in start.items()})
    instance = rule_maker(RULES["sgd"]).make(start, Making(0.1))
    instance.step(step.gradients)
    scenario = Scenario(start, Making(0.1), (step,))
    assert all(np.array_equal(value, np.ones_like(value)) for value in scenario.start.values())
