"""Numbers that it keeps for each parameter, beside those of the rule."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....stepping.instance import Gradients
from ....stepping.scenario import Course
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount
from ..said import Said, failed, passed

_SHAPE = (12, 8)
# A rule that keeps less than this for each parameter is one that saves memory.
_SPARING = 0.5


def _state(bench: Bench) -> Iterator[Said]:
    draw = np.random.default_rng(3)
    start = {"kernel": draw.choice([-0.5, 1.5], _SHAPE)}
    given: list[Gradients] = [{"kernel": draw.choice([-0.5, 1.5], _SHAPE)} for _ in range(3)]
    scenario = bench.scenario(given, start)
    course, expected = bench.run(scenario), bench.expected(scenario)
    kept = _kept(course)
    held = sum(value.nbytes for value in course.state.values())
    text = f"For a matrix of {_SHAPE[0]}x{_SHAPE[1]} it keeps {amount(kept)} numbers a parameter"
    text = f"{text} ({held / 1024:.1f} KiB)"
    if expected is None:
        yield passed(f"{text}.", kept)
        return
    rule = _kept(expected)
    text = f"{text}, the rule {amount(rule)}."
    # A whole array beside the factors; small matrices may have the array alone.
    sparing = 0.0 < rule < _SPARING and kept > 1.0
    yield failed(text, scenario, kept) if sparing else passed(text, kept)


def _kept(course: Course) -> float:
    arrays = [value.size for value in course.state.values() if value.size > 1]
    return sum(arrays) / (_SHAPE[0] * _SHAPE[1])


CHECKS = (Inquiry("memory of the state", _state, compares=False),)
