"""A class beside the NumPy rule that it claims to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...optimizer import Optimizer, ReferenceRule
from ...stepping.instance import Maker, MakerFacts, NotApplicable
from ..finding import Finding, Outcome
from . import settings
from .candidates import Candidate
from .difference import told
from .reproduction import script
from .said import arguments_text, finite, listed
from .search import Asked, Match, ask, best, match
from .settings import Setting


def against(
    maker: Maker,
    optimizer: Optimizer,
    hyper: Mapping[str, float],
    arguments: Mapping[str, Any] = {},
) -> Iterator[Finding]:
    """Whether the class takes the steps of the optimizer's rule: 50, in float64, to 1e-12.

    hyper: the rule's, over its defaults; the class is set to the same numbers. arguments: those
    that the maker gives every instance. A failed finding names the first difference, the variation
    that the class follows if one is known, and a script. ValueError for a hyperparameter that the
    rule lacks."""
    numbers = optimizer.hypers(hyper)
    if optimizer.rule is None:
        text = f"{optimizer.title} has no NumPy rule"
        yield Finding(part="rule", check="own numbers", outcome="not applicable", text=text)
        return
    side = _Side(maker, settings.facts_of(maker, arguments), optimizer, optimizer.rule)
    other = {**numbers, **side.probing()}
    yield side.compared("own numbers", numbers, falling=False)
    yield side.compared("other numbers, falling learning rate", other, falling=True)
    if side.decays_by_itself:
        yield side.decay(other)


@dataclass(frozen=True)
class _Side:
    maker: Maker
    facts: MakerFacts
    optimizer: Optimizer
    rule: ReferenceRule

    def probing(self) -> dict[str, float]:
        """Numbers far from the defaults, as far as they make sense for the rule."""
        known = self.optimizer.hyper
        wanted = {name: value for name, value in settings.PROBING.items() if name in known}
        return {n: v for n, v in wanted.items() if known[n].low <= v <= known[n].high}

    @property
    def decays_by_itself(self) -> bool:
        """The class has a weight decay, and the rule has none."""
        return "weight_decay" in settings.own(self.facts) and (
            "weight_decay" not in self.optimizer.hyper
        )

    def compared(self, check: str, hyper: Mapping[str, float], falling: bool) -> Finding:
        """One finding."""
        arguments, lacking = settings.arguments_of(self.optimizer, hyper, self.facts)
        values = {**hyper, "weight_decay": hyper.get("weight_decay", 0.0)}
        try:
            asked = ask(self.maker, self.facts, Setting(arguments, values), falling)
        except NotApplicable as error:
            return _finding(check, "not applicable", f"it could not be stepped: {error}")
        found = match(Candidate(self.optimizer, self.rule, hyper), asked)
        note = f"; at {arguments_text(arguments)}" if arguments else ""
        if lacking:
            note += f"; it has no argument for {listed(lacking)}"
        if found.same:
            return _finding(check, "passed", f"{found.text}{note}", found.difference.worst)
        return self._differs(check, asked, found, note)

    def _differs(self, check: str, asked: Asked, found: Match, note: str) -> Finding:
        place = found.difference.first
        assert place is not None, "they differ"
        text = f"differs from {self.optimizer.title} " + told(
            place, self.facts.label, "the rule", asked.scene.start
        )
        explained = best(asked, {self.optimizer.name: self.optimizer})
        same = explained is not None and explained.same
        if explained is not None and same:
            text += f"; it {explained.text}"
        outcome, why = self._documented(same)
        arguments, candidate = asked.setting.arguments, found.candidate
        shown = script(self.maker, arguments, candidate, asked.scene, place)
        text += f"{why}{note}"
        return _finding(check, outcome, text, found.difference.worst, shown)

    def _documented(self, explained: bool) -> tuple[Outcome, str]:
        """The verdict on a class that differs, and what our own file says of that."""
        framework = settings.binding_of(self.optimizer, self.facts)
        if framework is None:
            return "failed", ""
        if why := self.optimizer.differs.get(framework):
            return "failed", f"; known: {why}"
        binding = self.optimizer.bindings[framework]
        corrections = binding.corrections
        if not corrections and (binding.native_target or not isinstance(binding.target, str)):
            how = (
                "; known: gradrace builds the rule of parts there, as the class does not follow it"
            )
            return "passed" if explained else "not applicable", how
        if not corrections:
            return "failed", ""
        why = "; ".join(f"{each.name}: {each.why}" for each in corrections)
        # A run under the canonical rule is corrected for it, so it is no news.
        return "passed" if explained else "not applicable", f"; known and corrected: {why}"

    def decay(self, hyper: Mapping[str, float]) -> Finding:
        """Which weight decay the class has, if the rule has none."""
        arguments, _ = settings.arguments_of(self.optimizer, hyper, self.facts)
        strength = settings.PROBING["weight_decay"]
        alone = settings.setting(self.facts, {"weight_decay": strength}).arguments
        setting = Setting({**arguments, **alone}, {**hyper, "weight_decay": strength})
        try:
            asked = ask(self.maker, self.facts, setting)
        except NotApplicable as error:
            return _finding("weight decay", "not applicable", f"it could not be stepped: {error}")
        found = best(asked, {self.optimizer.name: self.optimizer})
        if found is not None and found.same:
            return _finding("weight decay", "passed", found.text, found.difference.worst)
        text = "no known kind of weight decay explains its steps"
        return _finding("weight decay", "not applicable", text)


def _finding(
    check: str, outcome: Outcome, text: str, size: float | None = None, script: str = ""
) -> Finding:
    return Finding(
        part="rule", check=check, outcome=outcome, text=text, size=finite(size), script=script
    )
