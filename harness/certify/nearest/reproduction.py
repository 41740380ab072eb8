"""The smallest script found that shows how a class differs from a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from ...plan import Weights
from ...stepping.instance import Maker
from .candidates import Candidate
from .courses import observe, rule_course
from .difference import Difference, Place, difference
from .scenes import Scene, small

# A script prints so many tensors at most.
_LONGEST = 10


def script(
    maker: Maker, arguments: Mapping[str, Any], rule: Candidate, scene: Scene, place: Place
) -> str:
    """Does with the library alone what differs, and says in comments what the rule gives.

    "" if nothing small differs. scene, place: of a difference that was found."""
    for smaller in _smaller(scene, place):
        with suppress(Exception):
            course = rule_course(rule.rule, rule.hyper, smaller)
            observed = observe(maker, smaller, arguments)
            found = difference(observed.steps, course, smaller.start, max(observed.tolerance, 1e-9))
            if found.first is not None:
                return _written(maker, arguments, rule, smaller, found, course)
    return ""


def _written(
    maker: Maker,
    arguments: Mapping[str, Any],
    rule: Candidate,
    scene: Scene,
    found: Difference,
    course: list[Weights],
) -> str:
    assert found.first is not None, "it differs"
    steps = found.first.step
    text = maker.script(scene.first(steps).scenario(arguments)).rstrip()
    lines = [f"# {rule.title} gives:"]
    for step, weights in enumerate(course[:steps], start=1):
        for name, value in weights.items():
            lines.append(f"# step {step}: {name} = {np.array2string(value, separator=', ')}")
    return "\n".join([text, *(each.replace("\n", "\n#   ") for each in lines), ""])


def _smaller(scene: Scene, place: Place) -> Iterator[Scene]:
    rate = scene.rates[0]
    if scene.start[place.tensor].ndim == 1 or "vector" in scene.start:
        for steps in (1, 2, 3):
            yield _round_numbers((1,), rate, steps)
        yield _round_numbers((2,), rate, 3)
        yield _element(scene, place)
    yield _round_numbers((2, 2), rate, 3)
    yield small(rate, falling=False).only("matrix")
    yield small(rate, falling=True).only("matrix")
    yield scene.only(place.tensor).first(min(place.step, 2))


def _round_numbers(shape: tuple[int, ...], rate: float, steps: int) -> Scene:
    """Weights of 1, 2, …, the gradients small and large, of both signs."""
    start = np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
    factors = (1.0, 0.5, -0.25)
    signs = np.where(np.arange(start.size) % 2, -0.001, 1.0).reshape(shape)
    gradients = tuple({"w": signs * factors[step]} for step in range(steps))
    return Scene({"w": start}, gradients, (rate,) * steps)


def _element(scene: Scene, place: Place) -> Scene:
    """The element that differs first, by itself."""

    def alone(weights: Weights) -> Weights:
        return {"w": np.array([weights[place.tensor][place.element]])}

    steps = min(place.step, _LONGEST)
    gradients = tuple(alone(each) for each in scene.gradients[:steps])
    return Scene(alone(scene.start), gradients, scene.rates[:steps])
