"""`gradrace verify` can fail: each known mistake, planted in one adapter, is caught."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from faults import FAULTS, Fault
from gradrace.registry import load_registry
from gradrace.verify.cases import PopulationCase, by_id, everything
from gradrace.verify.compute import compute, modes
from gradrace.verify.judge import Answer, judge
from gradrace.verify.verdict import Side, Verdict
from plant import cases
from programs import saved

REGISTRY = load_registry()
INSTALLED = [
    name
    for name in ("torch", "tensorflow", "jax")
    if REGISTRY.frameworks[name].versions() is not None
]
TABLE = cases()
REFEREE = Side(framework="numpy", mode="reference")

Answers = dict[str, dict[str, np.ndarray]]


def test_faults_are_many_and_spread():
    assert len(FAULTS) >= 30
    assert len({(fault.framework, fault.name) for fault in FAULTS}) == len(FAULTS)
    assert min(Counter(fault.framework for fault in FAULTS).values()) >= 10
    groups = {"weights", "layers", "losses", "updates", "trajectories", "rates", "populations"}
    assert {fault.case.partition("/")[0] for fault in FAULTS} == groups


@pytest.fixture(scope="session")
def planted() -> dict[str, Answers]:
    """Framework -> '<fault>|<case>|<mode>' -> arrays; a process a framework, one after another."""
    answers: dict[str, Answers] = {name: {} for name in INSTALLED}
    for name in INSTALLED:
        for key, value in saved("plant.py", name).items():
            cell, _, array = key.rpartition("|")
            answers[name].setdefault(cell, {})[array] = value
    return answers


@pytest.fixture(scope="session")
def referee() -> dict[str, Answer]:
    """Case -> what the NumPy reference answers."""
    from gradrace.adapters.numpy import ADAPTER
    from gradrace.verify.compute import Unavailable

    framework, answers = REGISTRY.frameworks["numpy"], {}
    for name, case in TABLE.items():
        if isinstance(case, PopulationCase):
            continue
        try:
            answers[name] = Answer(
                compute(case, ADAPTER, framework, modes(case, framework)[0], REGISTRY.optimizers)
            )
        except Unavailable as error:
            answers[name] = Answer(unavailable=str(error))
    return answers


def verdicts(framework: str, fault: str, name: str, planted, referee) -> list[Verdict]:
    answers, case = planted[framework], TABLE[name]
    sides = []
    for mode in modes(case, REGISTRY.frameworks[framework]):
        # Of a population, the runs by themselves stay honest.
        arrays = answers.get(f"{fault}|{name}|{mode}") or answers[f"honest|{name}|{mode}"]
        answer = Answer(failed=str(arrays["error"])) if "error" in arrays else Answer(arrays)
        sides.append((Side(framework=framework, mode=mode), answer))
    if isinstance(case, PopulationCase):
        return list(judge(case, sides, REGISTRY.optimizers))
    others = [(REFEREE, referee[name])]
    found = [each for side in sides for each in judge(case, [side, *others], REGISTRY.optimizers)]
    return [v for v in found if framework in (v.a.framework, v.b.framework)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [f for f in FAULTS if f.framework in INSTALLED],
    ids=lambda f: f"{f.framework}: {f.name}",
)
def test_a_planted_fault_is_caught(fault: Fault, planted, referee):
    honest = verdicts(fault.framework, "honest", fault.case, planted, referee)
    assert {v.verdict for v in honest} == {"equal"}, "without the fault the same cells are equal"
    found = verdicts(fault.framework, fault.name, fault.case, planted, referee)
    failed = [v for v in found if v.verdict == "FAILED"]
    assert failed, f"{fault.name} in {fault.framework} survived"
    # Found by its numbers, not because the fault made the adapter raise.
    assert any(v.place for v in failed), failed[0].reason
    assert fault.case in by_id(list(everything(REGISTRY)))
