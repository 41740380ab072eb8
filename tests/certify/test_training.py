"""Whether an optimizer trains: descents, a race, and what a session cannot do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gradrace.certify import training as module
from gradrace.certify.training import DESCENTS, Entrant, descent, race, training
from gradrace.optimizer import Binding, Optimizer
from gradrace.registry import Registry

torch = pytest.importorskip("torch")


@pytest.fixture
def entrant(registry: Registry) -> Callable[..., Entrant]:
    from gradrace.adapters.torch import ADAPTER

    framework = registry.frameworks["torch"]

    def make(name: str = "sgd", step: Any = None) -> Entrant:
        """A known optimizer; or SGD whose step is this function of (parameter, rate)."""
        optimizer = registry.optimizers[name]
        if step:
            bindings = {"torch": Binding(lambda: planted(step))}
            optimizer = replace(optimizer, name="planted", bindings=bindings)
        return Entrant(ADAPTER, framework, optimizer)

    return make


def planted(step: Callable[[Any, float], None]) -> type:
    class Planted(torch.optim.SGD):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for parameter in group["params"]:
                    step(parameter, group["lr"])

    return Planted


def climbing(parameter: Any, rate: float) -> None:
    parameter += rate * parameter.grad


def still(parameter: Any, rate: float) -> None:
    pass


def raising(parameter: Any, rate: float) -> None:
    raise RuntimeError("no gradient today\nand a second line")


def test_known_optimizers_descend(entrant: Callable[..., Entrant]) -> None:
    for name in ("sgd", "adam", "adagrad"):
        for task in DESCENTS:
            finding = descent(entrant(name), task, 60.0)
            assert finding.outcome == "passed", (name, finding.text)
            assert finding.size is not None and finding.size < 0.5


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (climbing, "the loss does not fall: from 100 to "),
        (still, "the loss does not fall: from 100 to 100 in 200 steps"),
        (raising, "it raises RuntimeError: no gradient today"),
    ],
)
def test_what_does_not_descend_fails(entrant: Callable[..., Entrant], step: Any, says: str) -> None:
    finding = descent(entrant(step=step), DESCENTS[0], 60.0)
    assert finding.outcome == "failed"
    assert finding.text.startswith(says)
    assert "second line" not in finding.text


def test_what_a_session_lacks_is_the_reason(entrant: Callable[..., Entrant]) -> None:
    findings = list(training(entrant("muon"), entrant("adamw").optimizer, 60.0))
    assert len(findings) == len(DESCENTS) + 1
    for finding in findings:
        assert finding.outcome == "not applicable"
        assert "takes matrices only" in finding.text


def test_what_does_not_fit_into_the_time_is_left_out(entrant: Callable[..., Entrant]) -> None:
    for finding in training(entrant("adam"), entrant("adamw").optimizer, -1.0):
        assert (finding.outcome, finding.text) == ("not applicable", "no time left")


def test_a_race_gives_both_accuracies(
    entrant: Callable[..., Entrant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RACE_FACTORS", (1.0, 0.1))
    adamw: Optimizer = entrant("adamw").optimizer
    finding = race(entrant("adam"), adamw, 60.0)
    assert finding.outcome == "passed"
    assert finding.size is not None and finding.size > 0.9
    assert "the best of 2 rates for each" in finding.text
    assert finding.text.count("learning rate 0.003") == 2
    finding = race(entrant(step=still), adamw, 60.0)
    assert finding.outcome == "failed"
    assert finding.size is not None and finding.size < 0.3
