"""Finds the known rule, or the variation of one, that takes the same steps as a class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np

from ...optimizer import Optimizer
from ...stepping.instance import Maker, MakerFacts
from . import candidates, settings
from .candidates import Candidate
from .courses import JOINT, ROUNDED, Observed, observe, rule_course, stepped
from .difference import Difference, difference, scaled
from .scenes import STEPS, Scene, large, small
from .settings import Setting

# So many of the nearest are followed over the whole course.
_FOLLOWED = 6


class Match(NamedTuple):
    """A rule beside a class: how far apart they come, and the tolerance that counts as equal.

    rounded: equal but for numbers that the class keeps in float32."""

    candidate: Candidate
    difference: Difference
    tolerance: float

    @property
    def equal(self) -> bool:
        """Whether both take the same steps."""
        return self.difference.worst <= self.tolerance

    @property
    def rounded(self) -> bool:
        """See above."""
        return not self.equal and self.difference.worst <= ROUNDED

    @property
    def same(self) -> bool:
        """Equal, or but for numbers in float32."""
        return self.equal or self.rounded

    @property
    def text(self) -> str:
        """'equals Adam (to 2e-16 in 50 steps)', or how large the rounding is that differs."""
        name, size = self.candidate.title, f"{self.difference.worst:.1g}"
        if self.rounded:
            return f"equals {name} but for {size}, as if a number were kept in float32"
        return f"equals {name} (to {size} in {STEPS} steps)"


@dataclass(frozen=True)
class Asked:
    """A class at one setting, under a falling learning rate or a constant one, and its course on
    the large scene. The small one is stepped when it is first needed."""

    maker: Maker
    facts: MakerFacts
    setting: Setting
    falling: bool
    scene: Scene
    course: Observed

    @cached_property
    def small_scene(self) -> Scene:
        """For a first look."""
        return small(settings.rate_of(self.facts), self.falling, self.facts.matrices_only)

    @cached_property
    def small_course(self) -> Observed:
        """The class on it."""
        return observe(self.maker, self.small_scene, self.setting.arguments)


def ask(maker: Maker, facts: MakerFacts, setting: Setting, falling: bool = True) -> Asked:
    """Steps the class. NotApplicable if it cannot be stepped."""
    scene = large(settings.rate_of(facts), falling, facts.matrices_only)
    course = observe(maker, scene, setting.arguments)
    return Asked(maker, facts, setting, falling, scene, course)


def best(asked: Asked, optimizers: Mapping[str, Optimizer]) -> Match | None:
    """The simplest rule that takes the same steps, or the nearest known rule if none does.

    None if no known rule can be set to the class's numbers."""
    known = candidates.known(optimizers, asked.setting, asked.facts)
    versions = candidates.other_versions(optimizers, asked.setting, asked.facts)
    near = sorted(((_apart(each, asked), each) for each in (*known, *versions)), key=_distance)
    rounded: Match | None = None
    for group in (
        (each for size, each in near if size <= _slack(each, asked)),
        candidates.written_otherwise(optimizers, asked.setting, asked.facts),
        candidates.variations(known),
    ):
        found = _first_same(group, asked)
        if found and found.equal:
            return found
        rounded = rounded or found
    if rounded:
        return rounded
    followed = [match(each, asked) for _, each in near[:_FOLLOWED]]
    return min(followed, key=lambda each: each.difference.worst, default=None)


def named(title: str, asked: Asked, optimizers: Mapping[str, Optimizer]) -> Match | None:
    """The candidate of this title over the whole course; None if there is none at this setting."""
    known = candidates.known(optimizers, asked.setting, asked.facts)
    every = chain(
        known,
        candidates.other_versions(optimizers, asked.setting, asked.facts),
        candidates.written_otherwise(optimizers, asked.setting, asked.facts),
        candidates.variations(known),
    )
    found = next((each for each in every if each.title == title), None)
    return match(found, asked) if found else None


def match(candidate: Candidate, asked: Asked) -> Match:
    """The candidate over the whole course."""
    tolerance = _tolerance(candidate, asked.course)
    try:
        course = rule_course(candidate.rule, candidate.hyper, asked.scene)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return Match(candidate, Difference(np.inf, None), tolerance)
    found = difference(asked.course.steps, course, asked.scene.start, tolerance)
    return Match(candidate, found, tolerance)


def _first_same(group: Iterable[Candidate], asked: Asked) -> Match | None:
    """The simplest of those that take the same steps; exact equality is preferred."""
    passing = [each for each in group if _agrees(each, asked)]
    rounded: Match | None = None
    for candidate in sorted(passing, key=lambda each: each.cost):
        found = match(candidate, asked)
        if found.equal:
            return found
        rounded = rounded or (found if found.rounded else None)
    return rounded


def _distance(each: tuple[float, Candidate]) -> tuple[float, tuple[int, int]]:
    return each[0], each[1].cost


def _tolerance(candidate: Candidate, course: Observed) -> float:
    return max(course.tolerance, JOINT if candidate.rule.joint else 0.0)


def _slack(candidate: Candidate, asked: Asked) -> float:
    return max(_tolerance(candidate, asked.small_course), ROUNDED)


def _agrees(candidate: Candidate, asked: Asked) -> bool:
    """Whether it takes the same steps on the small scene; stops at the first that is another."""
    scene, slack = asked.small_scene, _slack(candidate, asked)
    try:
        for theirs, ours in zip(
            asked.small_course.steps, stepped(candidate.rule, candidate.hyper, scene), strict=True
        ):
            if any(scaled(theirs[n], ours[n], at) > slack for n, at in scene.start.items()):
                return False
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return False
    return True


def _apart(candidate: Candidate, asked: Asked) -> float:
    """The worst scaled difference on the small scene."""
    scene = asked.small_scene
    try:
        course = rule_course(candidate.rule, candidate.hyper, scene)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return np.inf
    return difference(asked.small_course.steps, course, scene.start, np.inf).worst
