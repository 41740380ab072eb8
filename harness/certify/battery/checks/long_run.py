"""A run of some hundred steps: what fails late."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from ....plan import Weights
from ....stepping.scenario import Scenario, Step
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import finite
from ..said import Said, failed, not_applicable, passed

# Some count to 500: warm-ups, and periods in which a preconditioner is made anew.
_STEPS = 520


def _long(bench: Bench) -> Iterator[Said]:
    """Down a bowl, with the gradients there."""
    start = _few(bench.start)
    instance = bench.maker.make(start, bench.making())
    taken: list[Step] = []
    for number in range(1, _STEPS + 1):
        if bench.deadline.over:
            yield not_applicable(f"no time left after {number - 1} of {_STEPS} steps")
            return
        now = instance.weights()
        if not finite(now):
            yield _not_finite(bench, Scenario(start, bench.making(), tuple(taken)))
            return
        taken.append(Step({name: _slopes(value) * value for name, value in now.items()}))
        shown = Scenario(start, bench.making(), tuple(taken))
        bench.tried(partial(instance.step, taken[-1].gradients), shown)
    yield passed(f"{_STEPS} steps down a bowl: no error, all weights finite.", _STEPS)


def _few(start: Weights) -> Weights:
    """A part of each tensor: the script of a failure has all gradients in it."""
    return {name: value[..., :2][:3] for name, value in start.items()}


def _slopes(value: np.ndarray) -> np.ndarray:
    return np.linspace(0.1, 1.0, value.size).reshape(value.shape)


def _not_finite(bench: Bench, shown: Scenario) -> Said:
    number, expected = len(shown.actions), bench.expected(shown)
    if expected and not finite(expected.steps[-1]):
        return passed(f"After step {number} weights are NaN or infinite, as by the rule.", number)
    return failed(f"After step {number} weights are NaN or infinite.", shown, number)


CHECKS = (Inquiry("a long run", _long, compares=False, late=True),)
