"""Faults planted in copies of the rules: verify's gradients and tolerances show each of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import ModuleType

import numpy as np
import pytest
from gradrace.registry import import_adapter, load_registry
from gradrace.verify.cases import UpdateCase, everything
from gradrace.verify.compute import compute
from gradrace.verify.judge import compare

REGISTRY = load_registry()

# Optimizer, the fault, the rule's text and what stands there instead.
FAULTS = [
    ("soap", "the bases never turn", '% int(hyper["frequency"]) == 0', "< 0"),
    ("soap", "the bases turn a step late", "if done % int", "if (done - 1) % int"),
    ("soap", "the step is not turned back", "bases, back=True)", "bases)"),
    ("soap", "the first step moves", "t - 1\n", "t\n"),
    ("soap", "second moments are not reordered", "v = np.take(v, order", "_ = np.take(v, order"),
    ("soap", "momentum of the turned gradient", "_rotated(m, bases) /", "m /"),
    ("soap", "statistics decay as the first moment", "_MOMENTS), b2)", "_MOMENTS), 0.9)"),
    ("shampoo", "the root of one matrix", "2.0 * p.ndim", "1.0 * p.ndim"),
    ("shampoo", "statistics of the last gradient alone", "state[str(axis)] + x @", "x @"),
    ("shampoo", "one matrix is left out", "for axis in range(p.ndim)", "for axis in range(1)"),
    ("mars_adamw", "no correction by the change", '(g - state["gradient"])', "(0.0 * g)"),
    ("mars_adamw", "the change has the wrong sign", "(g - state[", "(-g + state["),
    ("mars_adamw", "corrected gradients are kept", '"gradient": g}', '"gradient": corrected}'),
    ("mars_adamw", "no clipping", "max(1.0, float(np.linalg.norm(corrected)))", "1.0"),
    ("mars_adamw", "decay without the rate", 'lr * hyper["weight_decay"]', 'hyper["weight_decay"]'),
    ("cautious_adamw", "elements against the gradient", "step * g > 0.0", "step * g < 0.0"),
    ("cautious_adamw", "not scaled up", "(along.size / (np.count_nonzero(along) + 1.0))", "1.0"),
    (
        "cautious_adamw",
        "the authors' scale",
        "np.count_nonzero(along) + 1.0",
        "np.count_nonzero(along)",
    ),
    ("dadapt_adam", "no correction of bias", " * (1.0 - b2**t) ** 0.5 / (1.0 - b1**t)", ""),
    (
        "dadapt_adam",
        "the distance never grows",
        "d = max(d, float(numerator",
        "_ = max(d, float(numerator",
    ),
    ("schedule_free_sgd", "every iterate weighs the same", "+ rate**2\n", "+ 1.0\n"),
    ("schedule_free_sgd", "the average forgets its past", "(1.0 - share) * x + share * z", "z"),
    ("grokfast_adamw", "the mean starts at 0", "g if t == 1 else alpha", "alpha"),
    ("grokfast_adamw", "the mean alone", 'g + hyper["amp', 'hyper["amp'),
    ("grokfast_adamw", "the mean never moves", "(1.0 - alpha) * g", "0.0 * g"),
    (
        "lion",
        "momentum before the sign",
        'b1 * state["m"] + (1.0 - b1) * g)',
        'b2 * state["m"] + (1.0 - b2) * g)',
    ),
    ("lion", "decay without the rate", 'lr * hyper["weight_decay"]', 'hyper["weight_decay"]'),
    ("adopt", "normalised by its own gradient", 'np.sqrt(state["v"])', "np.sqrt(g * g)"),
    ("adopt", "clipped a step late", "(t - 1) ** 0.25", "t**0.25"),
    ("adan", "the change weighed by 1 - b2", "(g + b2 * change)", "(g + (1.0 - b2) * change)"),
    (
        "muon",
        "momentum without Nesterov",
        "orthogonalised(g + hyper",
        "orthogonalised(0.0 * g + hyper",
    ),
    (
        "normuon",
        "one second moment for all neurons",
        "(step * step).sum(axis=0) / max(len(step), 1)",
        "(step * step).mean()",
    ),
    ("normuon", "no second moments", "np.sqrt(neurons)", "1.0"),
    (
        "normuon",
        "second moments of the last step alone",
        'kept * state["neurons"] + (1.0 - kept) *',
        "",
    ),
    (
        "normuon",
        "Nesterov momentum",
        "orthogonalised(mean)",
        "orthogonalised(decay * mean + (1.0 - decay) * g)",
    ),
    ("normuon", "Muon's scale", "muon.RMS * p.size**0.5", "muon.RMS * max(p.shape)**0.5"),
    ("prodigy", "no correction of bias", " * (1.0 - b2**t) ** 0.5 / (1.0 - b1**t)", ""),
]


@cache
def cases() -> dict[str, UpdateCase]:
    """The canonical case of every optimizer, at a rate that decays."""
    found = everything(REGISTRY)
    updates = (case for case in found if isinstance(case, UpdateCase) and not case.matrices)
    return {c.optimizer: c for c in updates if c.name.endswith("canonical/decaying")}


def with_fault(name: str, text: str, instead: str):
    """The optimizer of a copy of its file, in which the text is another."""
    source = REGISTRY.optimizer_files[name].read_text(encoding="utf-8")
    assert text in source
    module = ModuleType(f"gradrace.optimizers.faulty_{name}")
    module.__package__ = "gradrace.optimizers"
    exec(compile(source.replace(text, instead, 1), f"{name}.py", "exec"), module.__dict__)
    return module.OPTIMIZER


def updates_of(name: str, optimizer) -> dict[str, np.ndarray]:
    numpy = REGISTRY.frameworks["numpy"]
    known = {**REGISTRY.optimizers, name: optimizer}
    return compute(cases()[name], import_adapter(numpy), numpy, "", known)


@pytest.mark.parametrize(
    ("name", "fault", "text", "instead"), FAULTS, ids=[f"{n}: {what}" for n, what, *_ in FAULTS]
)
def test_the_given_gradients_show_the_fault(name, fault, text, instead):
    honest = updates_of(name, REGISTRY.optimizers[name])
    with np.errstate(all="ignore"):
        faulty = updates_of(name, with_fault(name, text, instead))
    assert not compare(cases()[name], honest, faulty).within, fault


def test_a_copy_without_a_fault_is_equal():
    copy = with_fault("soap", "np.linalg.qr", "np.linalg.qr")
    again = updates_of("soap", replace(copy, note=""))
    assert compare(cases()["soap"], updates_of("soap", REGISTRY.optimizers["soap"]), again).within
