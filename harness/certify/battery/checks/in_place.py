"""Gradients belong to the user: a step may read them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from ....stepping.instance import NotApplicable
from ....stepping.scenario import Step
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount
from ..said import Said, failed, passed

_LOOK = "Look at the gradients before and after a step."


def _gradients(bench: Bench) -> Iterator[Said]:
    if bench.own_gradients:
        raise NotApplicable("It evaluates gradients itself, in a closure.")
    scenario = bench.scenario()
    instance = bench.maker.make(scenario.start, scenario.making)
    dropped = False
    for number, action in enumerate(scenario.actions, 1):
        assert isinstance(action, Step)
        bench.tried(partial(instance.step, action.gradients), scenario)
        left = instance.gradients()
        for name, given in action.gradients.items():
            found = left.get(name)
            dropped |= found is None
            if found is not None and not _equal(found, given):
                text = f"Step {number} changes the gradient of {name} in place, by"
                size = float(np.max(np.abs(np.asarray(found) - np.asarray(given))))
                yield failed(f"{text} {amount(size)}.", scenario, size, _LOOK)
                return
    yield passed(f"Gradients are {'dropped, not changed' if dropped else 'left as they are'}.")


def _equal(found: np.ndarray, given: np.ndarray | None) -> bool:
    # The gradients are exact in float32 and float64.
    return np.array_equal(found, np.asarray(given))


CHECKS = (Inquiry("gradients left alone", _gradients, compares=False),)
