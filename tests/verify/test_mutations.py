"""Can `gradrace verify` fail? Known mistakes are planted in one adapter at a time, and every one
must be caught.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from faults import FAULTS, Fault
from gradrace.executor.environment import environment
from gradrace.registry import load_registry
from gradrace.verify.cases import by_id, everything
from gradrace.verify.compute import compute, modes
from gradrace.verify.judge import Answer, judge
from gradrace.verify.verdict import Verdict
from paths import HELPERS
from plant import cases

REGISTRY = load_registry()
INSTALLED = [
    name
    for name in ("torch", "tensorflow", "jax")
    if REGISTRY.frameworks[name].versions() is not None
]
TABLE = cases()

Answers = dict[str, dict[str, np.ndarray]]


def test_mutations_are_many_and_spread():
    assert len(FAULTS) >= 30
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert min(Counter(fault.framework for fault in FAULTS).values()) >= 10
    assert {case.partition("/")[0] for fault in FAULTS for case in fault.cases} == {
        "weights",
        "layers",
        "losses",
        "updates",
        "trajectories",
        "rates",
    }


@pytest.fixture(scope="session")
def planted(tmp_path_factory, make_environment) -> dict[str, Answers]:
    """Framework -> '<fault>|<case>|<mode>' -> arrays; a process a framework, one after the other."""
    folder, answers = tmp_path_factory.mktemp("mutations"), {}
    for name in INSTALLED:
        file = folder / f"{name}.npz"
        done = subprocess.run(
            [sys.executable, str(HELPERS / "plant.py"), name, str(file)],
            env=make_environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        answers[name] = {}
        with np.load(file, allow_pickle=False) as stored:
            for key in stored:
                cell, _, array = key.rpartition("|")
                answers[name].setdefault(cell, {})[array] = stored[key]
    return answers


@pytest.fixture(scope="session")
def make_environment() -> dict[str, str]:
    from gradrace.verify.driver import some_run

    return environment(some_run(REGISTRY.frameworks["numpy"]))


@pytest.fixture(scope="session")
def referee() -> dict[str, Answer]:
    """Case -> what the NumPy reference answers."""
    from gradrace.adapters.numpy import ADAPTER
    from gradrace.verify.compute import Unavailable

    framework, answers = REGISTRY.frameworks["numpy"], {}
    for name, case in TABLE.items():
        try:
            answers[name] = Answer(
                compute(case, ADAPTER, framework, modes(case, framework)[0], REGISTRY.optimizers)
            )
        except Unavailable as error:
            answers[name] = Answer(unavailable=str(error))
    return answers


def verdicts(framework: str, fault: str, names: tuple[str, ...], planted, referee) -> list[Verdict]:
    found = []
    for name in names:
        for mode in modes(TABLE[name], REGISTRY.frameworks[framework]):
            arrays = planted[framework][f"{fault}|{name}|{mode}"]
            answer = Answer(failed=str(arrays["error"])) if "error" in arrays else Answer(arrays)
            sides = [(framework, mode, answer), ("numpy", "reference", referee[name])]
            found += [
                v
                for v in judge(TABLE[name], sides, REGISTRY.optimizers)
                if framework in (v.a.framework, v.b.framework)
            ]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [f for f in FAULTS if f.framework in INSTALLED],
    ids=lambda f: f"{f.framework}: {f.name}",
)
def test_mutation_is_caught(fault: Fault, planted, referee):
    honest = verdicts(fault.framework, "honest", fault.cases, planted, referee)
    assert {v.verdict for v in honest} == {"equal"}, "without the fault the same cells are equal"
    failed = [
        v
        for v in verdicts(fault.framework, fault.name, fault.cases, planted, referee)
        if v.verdict == "FAILED"
    ]
    assert failed, f"{fault.name} in {fault.framework} survived"
    # Found by its numbers, not because the fault made the adapter raise.
    assert any(v.place for v in failed), failed[0].reason
    assert all(case in by_id(list(everything(REGISTRY))) for case in fault.cases)
