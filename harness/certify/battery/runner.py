"""Does the checks, one after another."""

from __future__ import annotations

import importlib
import pkgutil
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial

import numpy as np

from ...optimizer import Optimizer
from ...output.escaping import LONGEST
from ...stepping.instance import Maker, NotApplicable
from ..check import Check
from ..finding import Finding
from . import checks as files
from .bench import Bench
from .inquiry import Inquiry
from .said import Raised, Said, not_applicable, told

# Errors by which a library says no.
_REFUSALS = (ValueError, NotImplementedError)
# Done first: it tells if the class cannot be stepped at all.
_FIRST = "steps that do nothing"


def battery(maker: Maker, rule: Optimizer | None, budget_s: float = 20.0) -> Iterator[Finding]:
    """One Finding a line. rule: the known optimizer that it claims to be, None for unknown.

    A check that has not begun after budget_s seconds is not applicable; none but the long run is
    cut off. Without a rule only what can never be right fails."""
    end = time.monotonic() + budget_s
    for check in checks(maker, rule):
        yield from check.find(end - time.monotonic())


def checks(maker: Maker, rule: Optimizer | None) -> Sequence[Check]:
    """The same, check by check; nothing is made or stepped before the first is begun."""
    battery = _Battery(maker, rule)
    return [
        Check("battery", inquiry.name, partial(battery.findings, inquiry))
        for inquiry in inquiries()
    ]


@cache
def inquiries() -> tuple[Inquiry, ...]:
    """In the order in which they are done."""
    found: list[Inquiry] = []
    for module in sorted(pkgutil.iter_modules(files.__path__), key=lambda m: m.name):
        found += importlib.import_module(f"{files.__name__}.{module.name}").CHECKS
    return tuple(sorted(found, key=lambda inquiry: (inquiry.late, inquiry.name != _FIRST)))


@dataclass(frozen=True)
class _Battery:
    """What the checks of one class share: the bench, made when it is needed."""

    maker: Maker
    rule: Optimizer | None

    def findings(self, inquiry: Inquiry, left_s: float) -> Iterable[Finding]:
        """left_s: seconds."""
        if left_s <= 0.0:
            return [self._finding(inquiry, not_applicable("no time left"))]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bench, problem = self._bench
            bench.deadline.end = time.monotonic() + left_s
            if problem and inquiry.name != _FIRST and problem.outcome == "failed":
                problem = not_applicable("It cannot be stepped.")
            said = [problem] if problem else _said(bench, inquiry)
            return [self._finding(inquiry, one) for one in said]

    @cached_property
    def _bench(self) -> tuple[Bench, Said | None]:
        """In float64, or float32 if the class steps in that alone; and why it steps in neither."""
        wide = Bench(self.maker, self.rule)
        problem = _problem(wide)
        narrow = replace(wide, dtype="float32")
        if problem is None or _problem(narrow):
            return wide, problem
        return narrow, None

    def _finding(self, inquiry: Inquiry, said: Said) -> Finding:
        failure = said.outcome == "failed" and said.shown is not None
        return Finding(
            part="battery",
            check=said.check or inquiry.name,
            outcome=said.outcome,
            text=said.text,
            size=said.size if said.size is not None and np.isfinite(said.size) else None,
            script=_script(self.maker, said) if failure else "",
        )


def _problem(bench: Bench) -> Said | None:
    """Why it cannot be stepped."""
    try:
        _ = bench.first
    except NotApplicable as reason:
        return not_applicable(str(reason))
    except Raised as raised:
        return Said("failed", f"It raises {told(raised.error)}", shown=raised.scenario)
    return None


def _said(bench: Bench, inquiry: Inquiry) -> list[Said]:
    try:
        if inquiry.compares and bench.again:
            return [not_applicable("Two equal instances differ, so no comparison tells.")]
        return list(inquiry.find(bench))
    except NotApplicable as reason:
        return [not_applicable(str(reason))]
    except Raised as raised:
        if _refuses(bench, inquiry, raised.error):
            return [not_applicable(f"It refuses that ({told(raised.error)}).")]
        return [Said("failed", f"It raises {told(raised.error)}", shown=raised.scenario)]


def _refuses(bench: Bench, inquiry: Inquiry, error: Exception) -> bool:
    """Whether it says no: by an error of its own package, or by one for that if it may."""
    package = bench.facts.label.partition(".")[0]
    own = type(error).__module__.partition(".")[0] == package
    return own or (inquiry.refusing and isinstance(error, _REFUSALS))


def _script(maker: Maker, said: Said) -> str:
    """As long as a text may be: the last actions are left out of a longer one."""
    assert said.shown is not None
    head = "".join(f"# {line}\n" for line in said.hint.splitlines())
    actions = said.shown.actions
    for count in range(len(actions), 0, -1):
        cut = "" if count == len(actions) else f"# {len(actions) - count} actions are left out.\n"
        text = head + cut + maker.script(replace(said.shown, actions=actions[:count]))
        if len(text) <= LONGEST:
            return text
    return ""
