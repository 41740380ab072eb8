"""PyTorch's optimizers, stepped by hand: one class for each way of making and stepping one."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from gradrace.importpath import ImportPath
from gradrace.stepping.instance import Making
from gradrace.stepping.scenario import Course, Evaluate, Reload, Scenario, SetRate, Step, run

torch = pytest.importorskip("torch")

# Path -> its drive, what it wraps, whether it takes matrices only.
WAYS: Mapping[str, tuple[str, str, bool]] = {
    "torch.optim.AdamW": ("step()", "", False),
    "torch.optim.LBFGS": ("step(closure)", "", False),
    "torch.optim.Muon": ("step()", "", True),
    "pytorch_optimizer.NorMuon": ("step()", "", False),
    "pytorch_optimizer.AdaHessian": ("backward(create_graph=True), step()", "", False),
    "pytorch_optimizer.LOMO": ("fused_backward(loss, lr)", "", False),
    "pytorch_optimizer.AdamMini": ("step()", "", False),
    "pytorch_optimizer.Ranger21": ("step()", "", False),
    "pytorch_optimizer.BSAM": ("step(closure)", "", False),
    "pytorch_optimizer.AliG": ("step(closure)", "", False),
    "pytorch_optimizer.SAM": ("step(closure)", "torch.optim.SGD", False),
    "pytorch_optimizer.WSAM": ("step(closure)", "torch.optim.SGD", False),
    "pytorch_optimizer.Lookahead": ("step()", "torch.optim.SGD", False),
    "schedulefree.AdamWScheduleFree": ("train(), step()", "", False),
    "schedulefree.SGDScheduleFreeClosure": ("step(closure)", "", False),
    "heavyball.SOAP": ("step()", "", False),
}


def made(dotted: str, hyper: Mapping[str, Any] | None = None) -> Any:
    from gradrace.adapters.torch import ADAPTER

    pytest.importorskip(dotted.partition(".")[0])
    return ADAPTER.maker(ImportPath("torch", dotted), hyper or {})


def values(seed: int, matrices_only: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {"kernel": rng.normal(size=(5, 4)), "bias": rng.normal(size=4)}
    return {"kernel": found["kernel"]} if matrices_only else found


def scenario(maker: Any, *between: Any, **making: Any) -> Scenario:
    """Five steps, with these actions after the third."""
    only = maker.facts().matrices_only
    steps = [Step(values(seed, only)) for seed in range(1, 6)]
    actions = (*steps[:3], *between, *steps[3:])
    return Scenario(values(0, only), Making(0.01, **making), actions)


def printed(script: str) -> list[Any]:
    """What the script prints after each step."""
    # Some classes draw from the generator.
    torch.manual_seed(0)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(script, "script", "exec"), {})
    lines = [line.partition(" ")[2] for line in out.getvalue().splitlines() if "step " in line]
    return [eval(line, {"nan": np.nan, "inf": np.inf}) for line in lines]


def assert_prints(script: str, course: Course) -> None:
    taken = printed(script)
    assert len(taken) == len(course.steps)
    for shown, weights in zip(taken, course.steps, strict=True):
        for name, array in weights.items():
            np.testing.assert_array_equal(np.array(shown[name]), array)


@pytest.mark.parametrize("dotted", WAYS)
def test_a_class_is_stepped_in_its_own_way_and_the_script_prints_the_same(dotted: str) -> None:
    drive, inner, only = WAYS[dotted]
    maker = made(dotted)
    facts = maker.facts()
    assert (facts.drive, facts.inner, facts.matrices_only) == (drive, inner, only)
    assert facts.distribution.split(" ")[0]
    whole = scenario(maker, SetRate(0.02), Reload(), Evaluate())
    torch.manual_seed(0)
    course = run(maker, whole)
    assert any((course.steps[-1][name] != whole.start[name]).any() for name in whole.start)
    assert_prints(maker.script(whole), course)
