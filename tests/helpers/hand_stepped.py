"""What is done with an optimizer by hand, for programs that hold one framework: its script, its
state in mid-training, and files of classes that nobody ships."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from gradrace.errors import UserError
from gradrace.importpath import ImportPath
from gradrace.stepping.instance import Maker, Making, NotApplicable
from gradrace.stepping.scenario import Course, Evaluate, Reload, Scenario, SetRate, Step, run

DRAW = np.random.default_rng(14)
START = {"dense.kernel": DRAW.normal(size=(4, 3)), "dense.bias": DRAW.normal(size=3)}
STEPS = tuple(Step({k: DRAW.normal(size=v.shape) for k, v in START.items()}) for _ in range(4))
# All that a scenario may hold; equal steps become a loop.
EVENTFUL = (*STEPS[:2], Evaluate(), Reload(), SetRate(0.02), STEPS[2], STEPS[2], STEPS[3])


def script_prints(maker: Maker, making: Making) -> None:
    """The script is plain Python without gradrace, and prints the scenario's numbers, bit for bit.

    The evaluated tensors stand among those of the steps."""
    scenario = Scenario(START, making, EVENTFUL)
    course, text, printed = run(maker, scenario), maker.script(scenario), io.StringIO()
    assert "gradrace" not in text and "for _ in range(2):" in text, text
    with contextlib.redirect_stdout(printed):
        exec(compile(text, "script", "exec"), {})
    told = [eval(line) for line in printed.getvalue().splitlines() if line.startswith("{")]
    expected = [*course.steps[:2], *course.evaluated, *course.steps[2:]]
    assert len(told) == len(expected)
    for one, other in zip(told, expected, strict=True):
        assert all(np.array_equal(one[key], other[key]) for key in START), text


def resumes(maker: Maker, making: Making) -> None:
    """A saved state, and a look at the evaluated tensors, change no bit."""
    alone = run(maker, Scenario(START, making, STEPS))
    other = run(maker, Scenario(START, making, (STEPS[0], Evaluate(), Reload(), *STEPS[1:])))
    assert same(alone, other)
    assert alone.state.keys() == other.state.keys()
    assert all(np.array_equal(alone.state[key], other.state[key]) for key in alone.state)


def same(one: Course, other: Course, within: float = 0.0) -> bool:
    """Whether both moved alike in every step, up to this distance."""
    pairs = zip(one.steps, other.steps, strict=True)
    return all(np.abs(a[key] - b[key]).max() <= within for a, b in pairs for key in START)


def course(maker: Maker, making: Making) -> Course:
    """Of all steps."""
    return run(maker, Scenario(START, making, STEPS))


def refused(adapter: Any, text: str, hyper: Mapping[str, Any], words: str) -> None:
    """The path has no maker, for a reason in these words."""
    try:
        adapter.maker(ImportPath.parse(text), hyper)
    except UserError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"{text} {hyper} was taken")


def not_applicable(maker: Maker, making: Making) -> None:
    """No instance can be made so."""
    try:
        maker.make(START, making)
    except NotApplicable:
        return
    raise AssertionError(f"{making} was possible")


def file_of(text: str) -> Path:
    """A user's file with this text."""
    file = Path(mkdtemp()) / "mine.py"
    file.write_text(text)
    return file
