"""The known rule that a class follows, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...optimizer import Optimizer
from ...stepping.instance import Maker, MakerFacts, NotApplicable
from ..finding import Finding, Outcome
from . import settings
from .difference import told
from .said import apart, arguments_text, finite, listed, source
from .scenes import STEPS
from .search import Asked, Match, ask, best, named
from .settings import Setting

CHECK = "nearest known rule"
# Beyond this a rule has little to do with the class.
_NEAR = 0.5


def nearest(
    maker: Maker, optimizers: Mapping[str, Optimizer], arguments: Mapping[str, Any] = {}
) -> Finding:
    """Which of these optimizers' rules, or which variation of one, takes the same steps.

    arguments: those that the maker gives every instance.

    Passed if there is one; its sentence names every departure. Not applicable if there is none (the
    sentence names the nearest, with the first difference) or if the class cannot be stepped."""
    facts = settings.facts_of(maker, arguments)
    try:
        asked, found = _found(maker, facts, settings.probing(facts), optimizers)
    except NotApplicable as error:
        return _finding("not applicable", f"it could not be stepped: {error}")
    if found is None:
        return _finding("not applicable", "no known rule can be set to its numbers")
    if not found.same:
        return _unknown(facts, asked, found)
    parts = [
        _equal(found, asked),
        *_otherwise(maker, facts, optimizers),
        _own(maker, facts, optimizers, found),
    ]
    return _finding("passed", "; ".join(filter(None, parts)), found.difference.worst)


def _finding(outcome: Outcome, text: str, size: float | None = None) -> Finding:
    return Finding(part="rule", check=CHECK, outcome=outcome, text=text, size=finite(size))


def _found(
    maker: Maker, facts: MakerFacts, setting: Setting, optimizers: Mapping[str, Optimizer]
) -> tuple[Asked, Match | None]:
    """Under a falling rate; at a constant one too if nothing equals that."""
    asked = ask(maker, facts, setting)
    found = best(asked, optimizers)
    if found is not None and found.same:
        return asked, found
    constant = ask(maker, facts, setting, falling=False)
    other = best(constant, optimizers)
    return (constant, other) if other is not None and other.same else (asked, found)


def _equal(found: Match, asked: Asked) -> str:
    text = found.text
    departs = [*found.candidate.departures, found.candidate.decay]
    if any(departs):
        text += f", which is how it differs from {source(found.candidate.optimizer)}"
    if not asked.falling:
        text += ", at a constant learning rate alone: under a falling one it takes other steps"
    return text


def _otherwise(
    maker: Maker, facts: MakerFacts, optimizers: Mapping[str, Optimizer]
) -> Iterator[str]:
    """The rules with what is off by default: momentum and weight decay, then each flag."""
    on = settings.probing(facts, switched_on=True)
    if names := settings.off(facts):
        yield _with(listed(names), maker, facts, on, optimizers)
    for flag in settings.flags(facts):
        flagged = Setting({**on.arguments, flag: True}, on.values)
        yield _with(listed([*names, flag]), maker, facts, flagged, optimizers)


def _with(
    words: str, maker: Maker, facts: MakerFacts, on: Setting, optimizers: Mapping[str, Optimizer]
) -> str:
    try:
        _, found = _found(maker, facts, on, optimizers)
    except NotApplicable as error:
        return f"with {words} it cannot be stepped: {error}"
    if found is None:
        return f"with {words} no known rule can be set to its numbers"
    if not found.same:
        near = f"{found.candidate.title}, {apart(found.difference.worst)} apart"
        return f"with {words} it equals no known rule; nearest is {near}"
    return f"with {words} it {found.text}"


def _own(maker: Maker, facts: MakerFacts, optimizers: Mapping[str, Optimizer], found: Match) -> str:
    """Whether the rule that was found holds at the class's own numbers too."""
    try:
        asked = ask(maker, facts, settings.setting(facts, {}), falling=False)
    except NotApplicable as error:
        return f"at its own numbers it cannot be stepped: {error}"
    again = named(found.candidate.title, asked, optimizers)
    if again is None or again.same or again.difference.first is None:
        return ""
    first = told(again.difference.first, facts.label, "the rule", asked.scene.start)
    return f"but at its own numbers it differs {first}"


def _unknown(facts: MakerFacts, asked: Asked, found: Match) -> Finding:
    size = found.difference.worst
    name = found.candidate.title
    if size > _NEAR:
        text = (
            f"no known rule is near: the nearest, {name}, is {apart(size)} apart in {STEPS} steps"
        )
    else:
        text = f"no known rule; nearest is {name}, {apart(size)} apart in {STEPS} steps"
    text += " (largest difference by distance moved)"
    if asked.setting.arguments:
        text += f", at {arguments_text(asked.setting.arguments)}"
    first = found.difference.first
    if first is not None and size <= _NEAR:
        text += f": {told(first, facts.label, 'that rule', asked.scene.start)}"
    return _finding("not applicable", text, size)
