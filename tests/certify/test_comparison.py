"""What an optimizer is: found from its steps, beside a rule, and beside another implementation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from gradrace.adapters.numpy.instance import NumpyMaker, rule_maker
from gradrace.certify.comparison import Probes, against, alike, nearest, probes
from gradrace.certify.finding import Finding
from gradrace.certify.nearest.courses import rule_course
from gradrace.certify.nearest.difference import difference, scaled
from gradrace.certify.nearest.forms import (
    ADAM_AXES,
    ADAM_RULES,
    MOMENTUM_AXES,
    MOMENTUM_RULES,
    adam_form,
    departures,
    momentum_form,
)
from gradrace.certify.nearest.scenes import RATE, large
from gradrace.optimizer import ReferenceRule
from gradrace.registry import load_registry
from gradrace.stepping.instance import MakerFacts, Making, NotApplicable
from hypothesis import given
from hypothesis import strategies as st
from misread_rules import MISREAD, Misread, made

KNOWN = {name: each for name, each in load_registry([]).optimizers.items() if each.rule}


def test_every_rule_is_found_to_be_itself() -> None:
    for optimizer in KNOWN.values():
        finding = nearest(rule_maker(optimizer), KNOWN)
        assert finding.outcome == "passed"
        assert finding.text.startswith(f"equals {optimizer.title} (to 0 in 50 steps)")


def test_every_rule_takes_its_own_steps() -> None:
    for optimizer in KNOWN.values():
        findings = list(against(rule_maker(optimizer), optimizer, {}))
        assert {finding.outcome for finding in findings} == {"passed"}


@pytest.mark.parametrize("name", MISREAD)
def test_what_a_misread_rule_is_instead_is_named(name: str) -> None:
    misread = MISREAD[name]
    finding = nearest(made(misread, KNOWN), KNOWN)
    assert finding.outcome == "passed"
    assert misread.named in finding.text


@pytest.mark.parametrize("name", MISREAD)
def test_a_misread_rule_fails_against_its_claim(name: str) -> None:
    misread = MISREAD[name]
    findings = list(against(made(misread, KNOWN), KNOWN[misread.claim], {}))
    failed = [finding for finding in findings if finding.outcome == "failed"]
    assert failed
    for finding in failed:
        assert "from step " in finding.text and "tensor " in finding.text
        assert f"# {KNOWN[misread.claim].title} gives:" in finding.script


def rotated(p: Any, g: Any, s: Any, lr: float, t: int, h: Any) -> Any:
    """HeavyBall's first SOAP, as this: the first moment stays in the old basis."""
    assert KNOWN["soap"].rule
    new, state = KNOWN["soap"].rule.update(p, g, s, lr, t, h)
    return (new, {**state, "m": s["m"]}) if p.ndim == 2 and t > 2 else (new, state)


def kate(p: Any, g: Any, s: Any, lr: float, t: int, h: Any) -> Any:
    """pytorch_optimizer's first KATE: no known rule."""
    total = s["sum"] + g * g / (np.abs(p) + 1.0)
    return p - lr * np.sqrt(total) * g / (total + h["epsilon"]), {"sum": total}


@pytest.mark.parametrize(("claim", "update"), [("soap", rotated), ("adagrad", kate)])
def test_a_rule_that_nobody_knows_is_no_known_rule(claim: str, update: Any) -> None:
    maker = made(Misread(claim, update, ""), KNOWN)
    finding = nearest(maker, KNOWN)
    assert finding.outcome == "not applicable"
    assert finding.text.startswith("no known rule")
    assert "failed" in {each.outcome for each in against(maker, KNOWN[claim], {})}


def test_the_forms_that_are_our_rules_take_their_steps() -> None:
    hyper = {"beta1": 0.9, "beta2": 0.99, "momentum": 0.8, "rho": 0.99, "epsilon": 1e-3}
    hyper |= {"initial_accumulator": 0.25, "weight_decay": 0.0}
    scene = large(RATE, falling=True).first(4)
    tables = ((ADAM_RULES, ADAM_AXES, adam_form), (MOMENTUM_RULES, MOMENTUM_AXES, momentum_form))
    for rules, axes, of in tables:
        for name, form in rules.items():
            rule = KNOWN[name].rule
            assert rule and not departures(form, form, axes)
            ours, theirs = (rule_course(each, hyper, scene) for each in (of(form), rule))
            assert difference(theirs, ours, scene.start, 1e-13).first is None, name


@given(
    step=st.integers(1, 4),
    row=st.integers(0, 2),
    column=st.integers(0, 1),
    change=st.floats(1e-6, 1e3),
    number=st.integers(0, 2**20),
)
def test_the_first_difference_is_the_planted_one(
    step: int, row: int, column: int, change: float, number: int
) -> None:
    rng = np.random.default_rng(number)
    start = {"a": rng.normal(size=2), "b": rng.normal(size=(3, 2))}
    course = [{name: value + rng.normal(size=value.shape) for name, value in start.items()}] * 4
    other = [{name: value.copy() for name, value in weights.items()} for weights in course]
    for weights in other[step - 1 :]:
        weights["b"][row, column] += change
    found = difference(course, other, start, 1e-12)
    assert found.first is not None
    assert found.first[:3] == (step, "b", (row, column))
    moved = np.abs(course[0]["b"] - start["b"]).max()
    assert found.worst == pytest.approx(change / moved, rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "size"),
    [
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([np.inf, 1.0], [np.inf, 1.0], 0.0),
        ([2.0, 1.0], [2.0, np.nan], np.inf),
        ([np.inf, 1.0], [-np.inf, 1.0], np.inf),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [0.0, 1e-300], np.inf),
        ([2.0, 0.0], [1.0, 0.0], 0.5),
    ],
)
def test_scaled_differences(a: list[float], b: list[float], size: float) -> None:
    assert scaled(np.array(a), np.array(b), np.zeros(2)) == size


@dataclass(frozen=True)
class Library:
    """A rule as a library has it: other names, other defaults, fewer tensors or dtypes."""

    inside: NumpyMaker
    defaults: Mapping[str, Any]
    dtype: str = "float64"
    matrices_only: bool = False
    rounding: float = 0.0

    def facts(self) -> MakerFacts:
        return MakerFacts(
            label="library.Adam",
            distribution="library 1.0",
            rate_argument="lr",
            defaults=self.defaults,
            drive="step()",
            matrices_only=self.matrices_only,
        )

    def variants(self) -> tuple[str, ...]:
        return ()

    def make(self, start: Any, making: Making) -> Any:
        if making.dtype != self.dtype:
            raise RuntimeError(f"expected {self.dtype}")
        if self.matrices_only and any(np.ndim(value) != 2 for value in start.values()):
            raise ValueError("matrices, please")
        given = {**self.defaults, **making.hyper}
        hyper = {"beta1": given["betas"][0], "beta2": given["betas"][1], "epsilon": given["eps"]}
        hyper = {name: value * (1.0 + self.rounding) for name, value in hyper.items()}
        return self.inside.make(start, replace(making, hyper=hyper, dtype="float64"))

    def script(self, scenario: Any) -> str:
        return self.inside.script(scenario)


DEFAULTS = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "amsgrad": False}
ADAM = rule_maker(KNOWN["adam"])


def checked(maker: Any, name: str = "adam", **hyper: float) -> Iterator[Finding]:
    return against(maker, KNOWN[name], hyper)


def test_a_library_has_its_own_names() -> None:
    library = Library(ADAM, DEFAULTS)
    assert nearest(library, KNOWN).text.startswith("equals Adam (to 0 in 50 steps)")
    findings = list(checked(library, beta1=0.5))
    assert {finding.outcome for finding in findings} == {"passed"}
    assert "betas=(0.5, 0.999), eps=1e-08" in findings[0].text


def test_a_library_of_float32_is_held_to_float32() -> None:
    library = Library(ADAM, DEFAULTS, dtype="float32")
    assert {finding.outcome for finding in checked(library)} == {"passed"}


def test_a_library_of_matrices_gets_no_vectors() -> None:
    library = Library(ADAM, DEFAULTS, matrices_only=True)
    assert nearest(library, KNOWN).text.startswith("equals Adam")
    found = list(alike(probes(library), probes(Library(ADAM, DEFAULTS))))
    assert {finding.outcome for finding in found} == {"passed"}


def test_arguments_of_the_user_are_its_own_numbers() -> None:
    class Given(Library):
        def facts(self) -> MakerFacts:
            return replace(super().facts(), defaults=DEFAULTS)

    library = Given(ADAM, {**DEFAULTS, "eps": 1e-2})
    assert "at its own numbers it differs" in nearest(library, KNOWN).text
    assert "at its own numbers" not in nearest(library, KNOWN, {"eps": 1e-2}).text


def test_numbers_that_are_rounded_to_float32_are_told() -> None:
    finding = nearest(Library(ADAM, DEFAULTS, rounding=1e-8), KNOWN)
    assert finding.outcome == "passed"
    assert "as if a number were kept in float32" in finding.text
    finding = nearest(Library(ADAM, DEFAULTS, rounding=1e-4), KNOWN)
    assert finding.text.startswith("no known rule; nearest is ")


def test_what_a_class_raises_is_told() -> None:
    library = Library(ADAM, DEFAULTS, dtype="bfloat16")
    text = "could not be stepped: it raises RuntimeError: expected bfloat16"
    findings = [nearest(library, KNOWN), *checked(library), *alike(probes(library), probes(ADAM))]
    for finding in findings:
        assert finding.outcome == "not applicable"
        assert text in finding.text


def test_a_hyperparameter_that_a_class_lacks_is_named() -> None:
    library = Library(ADAM, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8})
    first = next(checked(library, "adamw", weight_decay=0.0))
    assert first.outcome == "passed"
    assert "it has no argument for weight_decay" in first.text
    with pytest.raises(ValueError, match="beta9"):
        next(checked(library, beta9=0.5))


def test_probes_cross_a_process_as_text() -> None:
    sent = json.dumps(probes(ADAM).to_json(), allow_nan=False)
    found = list(alike(Probes.model_validate(json.loads(sent)), probes(Library(ADAM, DEFAULTS))))
    assert [finding.size for finding in found] == [0.0, 0.0]


def test_two_implementations_that_differ_are_told_apart() -> None:
    one, other = (probes(rule_maker(KNOWN[name])) for name in ("adam", "nadam"))
    finding = next(alike(one, other))
    assert finding.outcome == "failed"
    assert "differs from step 1, tensor" in finding.text
    decays = [each for each in alike(probes(rule_maker(KNOWN["adamw"])), one)][-1]
    assert decays.text == "numpy:adam has no argument for weight decay"
    assert decays.outcome == "not applicable"


def test_decay_that_differs_is_found_by_the_course_with_decay() -> None:
    misread = made(MISREAD["keras#19051 AdamW"], KNOWN)
    found = list(alike(probes(misread), probes(rule_maker(KNOWN["adamw"]))))
    assert [finding.outcome for finding in found] == ["passed", "passed", "failed"]


def test_a_rule_without_numpy_cannot_be_compared() -> None:
    nothing = replace(KNOWN["adam"], rule=None)
    (finding,) = against(ADAM, nothing, {})
    assert finding.outcome == "not applicable"


def test_a_script_of_one_element_shows_the_difference() -> None:
    finding = next(checked(made(MISREAD["wrong sign"], KNOWN)))
    assert "{'w': array([1.])}" in finding.script
    assert finding.script.rstrip().splitlines()[-1].startswith("# step 1: w = [0.99")


def test_a_rule_that_breaks_is_not_the_nearest() -> None:
    def broken(*given: Any) -> Any:
        raise np.linalg.LinAlgError("singular")

    rule = ReferenceRule(init=lambda p, hyper: {}, update=broken)
    known = {**KNOWN, "broken": replace(KNOWN["sgd"], name="broken", rule=rule)}
    assert nearest(ADAM, known).text.startswith("equals Adam")


def test_not_applicable_passes_with_its_reason() -> None:
    class Refusing(Library):
        def make(self, start: Any, making: Making) -> Any:
            raise NotApplicable("sparse gradients only")

    finding = nearest(Refusing(ADAM, DEFAULTS), KNOWN)
    assert finding.text == "it could not be stepped: sparse gradients only"


# Real classes: what the nearest rule is said to be.
REAL = {
    "torch.optim.Adam": "with weight_decay it equals Adam with weight decay added to the gradient",
    "torch.optim.AdamW": "equals AdamW (",
    "torch.optim.SGD": "with momentum, weight_decay and nesterov it equals Nesterov with weight",
    "torch.optim.RMSprop": "equals RMSprop with epsilon outside the root (",
    "torch.optim.NAdam": "equals NAdam with Dozat's momentum schedule (decay 0.004) but for",
    "torch.optim.ASGD": "equals ASGD with a learning rate that takes effect one step late",
    "lion_pytorch.Lion": "equals Lion (",
    "pytorch_optimizer.Adan": "it equals Adan with proximal weight decay",
    "pytorch_optimizer.AdamC": "equals Adam with 1e-15 hidden under the root",
    "pytorch_optimizer.Lamb": "equals LAMB with bias correction of the first moment alone",
    "prodigyopt.Prodigy": "weight_decay and use_bias_correction it equals Prodigy with decoupled",
}


@pytest.mark.parametrize("dotted", REAL)
def test_what_a_released_class_is(dotted: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip(dotted.partition(".")[0])
    from gradrace.adapters.torch import ADAPTER
    from gradrace.importpath import ImportPath

    finding = nearest(ADAPTER.maker(ImportPath("torch", dotted), {}), KNOWN)
    assert REAL[dotted] in finding.text
