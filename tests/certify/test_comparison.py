"""What an optimizer is: found from its steps, beside a rule, and beside another implementation."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from gradrace.adapters.numpy.instance import rule_maker
from gradrace.certify.comparison import Probes, against, alike, nearest, probes
from gradrace.optimizer import Optimizer
from gradrace.registry import load_registry


@pytest.fixture(scope="module")
def known() -> Mapping[str, Optimizer]:
    return {name: each for name, each in load_registry([]).optimizers.items() if each.rule}


def test_every_rule_is_found_to_be_itself(known: Mapping[str, Optimizer]) -> None:
    for optimizer in known.values():
        finding = nearest(rule_maker(optimizer), known)
        assert finding.outcome == "passed"
        assert finding.text.startswith(f"equals {optimizer.title} (to 0 in 50 steps)")


def test_every_rule_takes_its_own_steps(known: Mapping[str, Optimizer]) -> None:
    for optimizer in known.values():
        findings = list(against(rule_maker(optimizer), optimizer, {}))
        assert {finding.outcome for finding in findings} == {"passed"}


def test_probes_cross_a_process_and_tell_two_rules_apart(known: Mapping[str, Optimizer]) -> None:
    one, other, same = (probes(rule_maker(known[name])) for name in ("adam", "nadam", "adamw"))
    one = Probes.model_validate(one.to_json())
    assert {finding.outcome for finding in alike(one, same)} == {"passed"}
    finding = next(iter(alike(one, other)))
    assert finding.outcome == "failed"
    assert "from step 1, tensor" in finding.text
