"""The known rules and their variations, at the numbers of a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from ...optimizer import Hypers, Optimizer, ReferenceRule
from ...stepping.instance import MakerFacts
from .forms import (
    ADAM_AXES,
    ADAM_RULES,
    MOMENTUM_AXES,
    MOMENTUM_RULES,
    NUMBERS,
    Axis,
    Form,
    adam_form,
    departures,
    forms,
    momentum_form,
)
from .said import listed
from .settings import Setting, hyper_of, number
from .twists import DECAYS, TWISTS, decayed, twisted
from .versions import VERSIONS


@dataclass(frozen=True)
class Candidate:
    """A known optimizer's rule, and how this variation departs from it, for people.

    decay: the words of its weight decay, "" if it is the optimizer's own."""

    optimizer: Optimizer
    rule: ReferenceRule
    hyper: Hypers
    departures: tuple[str, ...] = ()
    decay: str = ""

    @property
    def cost(self) -> tuple[int, int]:
        """The lower, the simpler the explanation."""
        return len(self.departures) + bool(self.decay), len(self.optimizer.hyper)

    @property
    def title(self) -> str:
        """'AdamW with epsilon inside the root and no bias correction'."""
        words = [*self.departures, *([self.decay] if self.decay else [])]
        return self.optimizer.title + (f" with {listed(words)}" if words else "")


def known(
    optimizers: Mapping[str, Optimizer], setting: Setting, facts: MakerFacts
) -> list[Candidate]:
    """Every known rule, with every kind of weight decay that the class may have."""
    bases = _bases(optimizers, setting, facts)
    return [each for base in bases for each in _with_decays(base, setting)]


def other_versions(
    optimizers: Mapping[str, Optimizer], setting: Setting, facts: MakerFacts
) -> list[Candidate]:
    """The versions of single rules that papers, codes and libraries disagree about."""
    found: list[Candidate] = []
    for base in _bases(optimizers, setting, facts):
        for version in VERSIONS.get(base.optimizer.name, ()):
            changed = replace(base, rule=version.rule(base.rule), departures=(version.words,))
            if not version.decays:
                found += _with_decays(changed, setting)
            elif strength := setting.values.get("weight_decay"):
                found.append(replace(changed, hyper={**base.hyper, "weight_decay": strength}))
    return found


def _bases(
    optimizers: Mapping[str, Optimizer], setting: Setting, facts: MakerFacts
) -> Iterator[Candidate]:
    for optimizer in optimizers.values():
        hyper = hyper_of(optimizer, setting, facts)
        if optimizer.rule is not None and hyper is not None:
            yield Candidate(optimizer, optimizer.rule, hyper)


def variations(candidates: list[Candidate]) -> Iterator[Candidate]:
    """Each of these with each twist."""
    for candidate in candidates:
        for twist in TWISTS.values():
            departures = (*candidate.departures, twist.words)
            yield replace(candidate, rule=twisted(candidate.rule, twist), departures=departures)


def written_otherwise(
    optimizers: Mapping[str, Optimizer], setting: Setting, facts: MakerFacts
) -> Iterator[Candidate]:
    """All forms of Adam and of momentum, each by the name of the known rule that it is nearest to.

    Forms with a momentum that the class has no number for are left out."""
    hyper = {name: number(name, setting, facts) or 0.0 for name in NUMBERS}
    buffered = bool(setting.values.get("momentum"))
    moments = bool(hyper["beta2"])
    yield from _formed(optimizers, hyper, _adam_forms(buffered, moments), setting)
    yield from _formed(optimizers, hyper, _momentum_forms(bool(hyper["momentum"])), setting)


# A form's rule, the known rule's name, and how it departs from that.
_Named = tuple[ReferenceRule, tuple[tuple[str, tuple[str, ...]], ...]]


def _formed(
    optimizers: Mapping[str, Optimizer],
    hyper: Hypers,
    named: tuple[_Named, ...],
    setting: Setting,
) -> Iterator[Candidate]:
    for rule, names in named:
        name, words = next(((n, words) for n, words in names if n in optimizers), ("", ()))
        if name:
            plain = Candidate(optimizers[name], rule, hyper, words)
            for candidate in _with_decays(plain, setting):
                yield _as_adamw(candidate, optimizers)


def _as_adamw(candidate: Candidate, optimizers: Mapping[str, Optimizer]) -> Candidate:
    """Adam with decoupled decay goes by its name."""
    decoupled = candidate.decay == DECAYS["decoupled"].words
    if candidate.optimizer.name != "adam" or not decoupled or "adamw" not in optimizers:
        return candidate
    return replace(candidate, optimizer=optimizers["adamw"], decay="")


def _with_decays(candidate: Candidate, setting: Setting) -> Iterator[Candidate]:
    """With its own weight decay if it has one, and with every other."""
    strength = setting.values.get("weight_decay", 0.0)
    owns = "weight_decay" in candidate.optimizer.hyper
    takes = "weight_decay" in candidate.hyper and not candidate.departures
    if takes or not strength:
        yield candidate
    if not strength:
        return
    hyper = {**candidate.hyper, "weight_decay": 0.0} if owns else candidate.hyper
    for decay in DECAYS.values():
        # The forms have the decoupled decay that AdamW has as its own.
        words = "" if owns and decay is DECAYS["decoupled"] else decay.words
        if takes and not words:
            continue
        rule = decayed(candidate.rule, decay, strength)
        yield Candidate(candidate.optimizer, rule, hyper, candidate.departures, words)


@cache
def _adam_forms(buffered: bool, moments: bool) -> tuple[_Named, ...]:
    """buffered, moments: the class has a momentum, and a decay of the second moment."""
    return tuple(
        (adam_form(form), _names(form, ADAM_RULES, ADAM_AXES))
        for form in forms(ADAM_AXES)
        if (buffered or form["buffer"] == "none") and (moments or form["second"] == "sum")
    )


@cache
def _momentum_forms(moved: bool) -> tuple[_Named, ...]:
    """moved: the class has a momentum."""
    return tuple(
        (momentum_form(form), _names(form, MOMENTUM_RULES, MOMENTUM_AXES))
        for form in forms(MOMENTUM_AXES)
        if moved or form["sum"] == "none"
    )


def _names(
    form: Form, rules: Mapping[str, Form], axes: tuple[Axis, ...]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The known rules with the form's departures from each, the nearest first."""
    found = [(name, departures(form, rule, axes)) for name, rule in rules.items()]
    return tuple(sorted(found, key=lambda each: len(each[1])))
