"""Symmetries: mirrored, and scaled by powers of two, which are exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ....plan import Weights
from ....stepping.scenario import Course, Scenario
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount, length, parting
from ..said import Said, failed, passed

# Within this share a class's answer to a scale is its rule's.
_SHARE = 0.05


def _mirror(bench: Bench) -> Iterator[Said]:
    """Weights and gradients with the other sign."""
    scenario = bench.scenario([_times(g, -1.0) for g in bench.gradients], _times(bench.start, -1.0))
    found = bench.differs(_mirrored(bench.run(scenario)))
    if bench.close(found):
        yield passed("With all signs turned it goes the mirrored way.", found.size if found else 0)
    elif found:
        expected, plain = bench.expected(scenario), bench.expected(bench.scenario())
        symmetric = expected and plain and _alike(bench, plain, _mirrored(expected))
        text = f"With all signs turned it does not go the mirrored way: {found}."
        yield failed(text, scenario, found.size) if symmetric else passed(text, found.size)


def _mirrored(course: Course) -> Course:
    return course._replace(steps=tuple(_times(step, -1.0) for step in course.steps))


def _alike(bench: Bench, one: Course, other: Course) -> bool:
    found = parting(one.steps, other.steps, bench.start)
    return found is None or found.size < 1e-9


def _gradient_scale(bench: Bench) -> Iterator[Said]:
    scenario = bench.scenario([_times(g, 1024.0) for g in bench.gradients])
    yield _scaled(bench, scenario, "With gradients times 1024")


def _weight_scale(bench: Bench) -> Iterator[Said]:
    scenario = bench.scenario(start=_times(bench.start, 4.0))
    yield _scaled(bench, scenario, "With weights times 4")


def _scaled(bench: Bench, scenario: Scenario, what: str) -> Said:
    ratio = _ratio(scenario.start, bench.run(scenario), bench.start, bench.plain)
    text = f"{what} it goes {amount(ratio)} times as far"
    expected, plain = bench.expected(scenario), bench.expected(bench.scenario())
    if expected is None or plain is None:
        return passed(f"{text}.", ratio)
    rule = _ratio(scenario.start, expected, bench.start, plain)
    if np.isfinite(ratio) and abs(ratio - rule) <= _SHARE * abs(rule):
        return passed(f"{text}, as the rule does.", ratio)
    return failed(f"{text}, the rule {amount(rule)} times.", scenario, ratio)


def _ratio(start: Weights, course: Course, usual_start: Weights, usual: Course) -> float:
    way = _way(start, course)
    return way / max(_way(usual_start, usual), 1e-300)


def _way(start: Weights, course: Course) -> float:
    return length({name: course.steps[-1][name] - start[name] for name in start})


def _times(named: Mapping[str, np.ndarray | None], factor: float) -> dict[str, np.ndarray]:
    return {name: factor * np.asarray(value) for name, value in named.items()}


CHECKS = (
    Inquiry("all signs turned", _mirror),
    Inquiry("scale of the gradients", _gradient_scale, compares=False),
    Inquiry("scale of the weights", _weight_scale, compares=False),
)
