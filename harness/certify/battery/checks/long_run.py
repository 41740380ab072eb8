"""A run of some hundred steps: what fails late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from ....stepping.instance import Gradients
from ....stepping.scenario import Scenario, Step
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import finite
from ..said import Raised, Said, failed, not_applicable, passed, told

# Some count to 500: warm-ups, and periods in which a preconditioner is made anew.
_STEPS = 520


def _long(bench: Bench) -> Iterator[Said]:
    """To and fro: every second gradient has the other sign."""
    there = bench.gradients[0]
    back: Gradients = {name: -np.asarray(value) for name, value in there.items()}
    two = bench.scenario([there, back])
    instance = bench.maker.make(bench.start, bench.making())
    for number in range(1, _STEPS + 1):
        if bench.deadline.over:
            yield not_applicable(f"no time left after {number - 1} of {_STEPS} steps")
            return
        given = there if number % 2 else back
        try:
            bench.tried(partial(instance.step, given), two)
        except Raised as raised:
            text = f"It raises {told(raised.error)}, in step {number}."
            yield failed(text, two, number, _until(number))
            return
        if number % 20 == 0 and not finite(instance.weights()):
            yield _not_finite(bench, two, number)
            return
    yield passed(f"{_STEPS} steps to and fro: no error, all weights finite.", _STEPS)


def _until(number: int) -> str:
    return f"Take these two steps again and again, up to step {number}."


def _not_finite(bench: Bench, two: Scenario, number: int) -> Said:
    steps = tuple(a for a in two.actions if isinstance(a, Step))
    expected = bench.expected(replace(two, actions=steps * (number // 2)))
    if expected and not finite(expected.steps[-1]):
        return passed(f"By step {number} weights are NaN or infinite, as by the rule.", number)
    text = f"By step {number} weights are NaN or infinite."
    return failed(text, two, number, _until(number))


CHECKS = (Inquiry("a long run", _long, compares=False, late=True),)
