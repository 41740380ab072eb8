"""Two implementations beside each other, each stepped in a process of its own."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...plan import Weights
from ...spec import Dtype, Frozen
from ...stepping.instance import Maker, MakerFacts, NotApplicable
from ..finding import Finding, Outcome
from . import settings
from .courses import ROUNDED, TOLERANCES, observe
from .difference import difference, told
from .said import arguments_text, finite, listed
from .scenes import STEPS, large


class Probe(Frozen):
    """One course of a class.

    values: the numbers it was set to, by meaning. arguments: the same, as the class takes them, for
    people. tensors: name -> float64[steps, ...], little-endian, in base64. reason: why there is
    none. The text is in pieces, as longer ones are cut when they are read."""

    check: str
    values: Mapping[str, float] = {}
    arguments: str = ""
    dtype: Dtype = "float64"
    tensors: Mapping[str, tuple[str, ...]] = {}
    reason: str = ""

    def steps(self, start: Weights) -> list[Weights]:
        """The tensors of `start` after each step. ValueError if their number is another."""
        whole = {
            name: _unpacked(pieces).reshape(-1, *start[name].shape)
            for name, pieces in self.tensors.items()
            if name in start
        }
        count = min((len(each) for each in whole.values()), default=0)
        return [{name: each[step] for name, each in whole.items()} for step in range(count)]


class Probes(Frozen):
    """What an implementation does on the fixed scenes: `to_json()`, and back by `model_validate`.

    rate: of its first step."""

    label: str
    distribution: str
    rate: float
    courses: tuple[Probe, ...]


# check, the meanings that are switched on, whether the rate falls.
_CHECKS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("same numbers", (), False),
    ("same numbers, falling learning rate", (), True),
    ("with momentum", ("momentum",), True),
    ("with weight decay", ("weight_decay",), True),
)
# Characters of a piece of base64.
_PIECE = 2048
_SWITCHED = ("momentum", "weight_decay")


def probes(maker: Maker) -> Probes:
    """Steps the class at numbers that are the same for every class, as far as it has them."""
    facts = maker.facts()
    known = settings.own(facts)
    courses = tuple(
        _probe(maker, facts, check, switched, falling)
        for check, switched, falling in _CHECKS
        if all(meaning in known for meaning in switched)
    )
    label, distribution = facts.label, facts.distribution
    return Probes(
        label=label, distribution=distribution, rate=settings.rate_of(facts), courses=courses
    )


def _probe(
    maker: Maker, facts: MakerFacts, check: str, switched: tuple[str, ...], falling: bool
) -> Probe:
    off = {meaning: 0.0 for meaning in _SWITCHED if meaning not in switched}
    set_ = settings.setting(facts, {**settings.PROBING, **off})
    text = arguments_text(set_.arguments)
    try:
        scene = large(settings.rate_of(facts), falling, facts.matrices_only)
        course = observe(maker, scene, set_.arguments)
    except NotApplicable as error:
        return Probe(check=check, values=set_.values, arguments=text, reason=str(error))
    tensors = {name: _packed([each[name] for each in course.steps]) for name in scene.start}
    return Probe(
        check=check, values=set_.values, arguments=text, dtype=course.dtype, tensors=tensors
    )


def _packed(steps: Sequence[np.ndarray]) -> tuple[str, ...]:
    text = base64.b64encode(np.stack(steps).astype("<f8").tobytes()).decode("ascii")
    return tuple(text[begin : begin + _PIECE] for begin in range(0, len(text), _PIECE))


def _unpacked(pieces: Sequence[str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode("".join(pieces)), "<f8")


def alike(a: Probes, b: Probes) -> Iterator[Finding]:
    """Whether two implementations take the same steps; one finding a course.

    Not applicable if the other lacks the argument, or if their default rates differ so much that
    they were stepped with others."""
    theirs = {probe.check: probe for probe in b.courses}
    for probe in a.courses:
        other = theirs.get(probe.check)
        if other is None:
            meaning = probe.check.removeprefix("with ")
            yield _finding(
                probe.check, "not applicable", f"{b.label} has no argument for {meaning}"
            )
        elif a.rate != b.rate:
            text = f"{a.label} was stepped with rate {a.rate:g}, {b.label} with {b.rate:g}"
            yield _finding(probe.check, "not applicable", text)
        else:
            yield _compared(a, b, probe, other)


def _compared(a: Probes, b: Probes, one: Probe, other: Probe) -> Finding:
    for side, probe in ((a, one), (b, other)):
        if probe.reason:
            text = f"{side.label} could not be stepped: {probe.reason}"
            return _finding(one.check, "not applicable", text)
    start = large(a.rate, falling=False).start
    start = {name: start[name] for name in start if name in one.tensors and name in other.tensors}
    if not start:
        return _finding(one.check, "not applicable", "they take no tensors of the same shape")
    tolerance = max(TOLERANCES[one.dtype], TOLERANCES[other.dtype])
    found = difference(one.steps(start), other.steps(start), start, tolerance)
    note = _note(a, b, one, other)
    if found.first is None:
        text = f"the same {STEPS} steps as {b.label} (to {found.worst:.1g})"
        return _finding(one.check, "passed", text + note, found.worst)
    if found.worst <= ROUNDED:
        text = f"the same steps as {b.label} but for numbers in float32 ({found.worst:.1g})"
        return _finding(one.check, "passed", text + note, found.worst)
    text = f"differs {told(found.first, a.label, b.label, start)}; at most {found.worst:.2g}"
    return _finding(one.check, "failed", text + note, found.worst)


def _note(a: Probes, b: Probes, one: Probe, other: Probe) -> str:
    """The numbers that both were set to, and those that only one of them has."""
    note = f"; at {one.arguments}" if one.arguments else ""
    for side, mine, theirs in ((a, one, other), (b, other, one)):
        alone = sorted(n for n in mine.values if n not in theirs.values and mine.values[n])
        if alone:
            note += f"; only {side.label} has {listed(alone)}"
    return note


def _finding(check: str, outcome: Outcome, text: str, size: float | None = None) -> Finding:
    return Finding(part="rule", check=check, outcome=outcome, text=text, size=finite(size))
