"""One recording: HEAD against each anchor, in pairs, with the same number of launches for all.

Precision is wanted, not a verdict: no cell ends early because it looks clear, since that would make
the ratios of a history depend on their own noise. Launches are taken in rounds, and a budget ends
between rounds, for all cells at once."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from .. import git
from ..importpath import Plugin
from ..machine import this_machine
from ..machine.place import machine_type
from ..output.escaping import one_line
from ..paired import Decision, Pair, PairVerdict, Quantity, Side, StopRule, sides
from ..paired.choose import SuiteFilter, registry_of, same_cells
from ..paired.decide import judge
from ..paired.run import compare_pairs
from ..registry import Framework, Registry
from ..statistics.intervals import t_interval
from ..version import __version__
from . import Point
from .anchors import COMMAND, OPTION, Anchor, Commit, chosen, head

# Launches of a round: even, so that each side begins as often as the other.
_ROUND = 4
# With so little time, `compare_pairs` looks once, after the first launches.
_NO_TIME = 1e-9
_FOUND: Mapping[Decision, str] = {"regression": "slowdown", "improvement": "speed-up"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """anchors: as the user names them, none for the usual one. launches: of every cell and anchor.

    budget_s: wall seconds after which no round begins; each anchor has its share. quantities: each
    is measured by itself."""

    part: SuiteFilter
    load: Sequence[Plugin] = ()
    anchors: Sequence[str] = ()
    launches: int = 8
    budget_s: float = 1800.0
    threshold: float = 0.05
    machine: str = ""
    quantities: Sequence[Quantity] = ("step",)


@dataclass(frozen=True)
class Recording:
    """points: of all cells, failed and skipped ones too. seconds: wall time. launches: of the cell
    that has the most."""

    points: tuple[Point, ...]
    seconds: float

    @property
    def launches(self) -> int:
        return max((len(point.log_ratios) for point in self.points), default=0)


def record(
    request: Request, known: Sequence[Point] = (), watch: Callable[[str], None] = lambda line: None
) -> Recording:
    """Measures the current repository's HEAD. known: points recorded so far, for the usual anchor.

    In the repository of gradrace each commit runs its own gradrace; see paired.sides.of_commits.
    UserError: no repository, no anchor, no cells; exit code 3 if one side cannot be imported."""
    began = time.monotonic()
    repository = git.repository(COMMAND)
    commit, anchors = head(repository), chosen(repository, request.anchors, known)
    registry = registry_of(request.load, request.part)
    pairs = same_cells(registry, request.part)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    machine = request.machine or machine_name()
    points: list[Point] = []
    budget = request.budget_s / (len(anchors) * len(request.quantities))
    for anchor in anchors:
        with _sides(anchor, registry.plugins) as (a, b):
            a = replace(a, label=anchor.label or a.label)
            for quantity in request.quantities:
                watch(f"HEAD against {anchor.label or anchor.python}: {quantity}")
                found = _measure(pairs, (a, b), request, budget, quantity, watch)
                about = _About(commit, anchor, at, machine, quantity, registry, request.threshold)
                points += about.points(pairs, found)
    return Recording(tuple(points), time.monotonic() - began)


def machine_name(environ: Mapping[str, str] = os.environ) -> str:
    """A name that is the same every night: hosted runners get a new host name for each job."""
    if environ.get("RUNNER_ENVIRONMENT") == "github-hosted":
        name = f"github-{environ.get('ImageOS') or environ.get('RUNNER_OS', 'hosted')}"
    else:
        name = this_machine().host
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:100]
    return plain or "machine"


def _sides(anchor: Anchor, plugins: Sequence[Plugin]) -> AbstractContextManager[tuple[Side, Side]]:
    """HEAD's own files, not the working tree's: what is recorded is a commit."""
    if anchor.commit:
        return sides.of_commits(anchor.commit, "HEAD", plugins, (OPTION, "HEAD"))
    git.refuse_dirty(git.repository(COMMAND))
    return sides.of_interpreters(anchor.python, None, plugins)


@dataclass
class _Taken:
    """The verdicts of one pair, one a round; versions of both sides."""

    rounds: list[PairVerdict] = field(default_factory=list)

    @property
    def log_ratios(self) -> np.ndarray:
        """float64[launches]."""
        return np.array([x for each in self.rounds for x in each.log_ratios])

    @property
    def lost(self) -> PairVerdict | None:
        """The round in which the pair failed or was skipped."""
        return next((r for r in self.rounds if r.decision in ("failed", "skipped")), None)

    def value(self, name: str) -> float | None:
        """The geometric mean over launches."""
        known = [(getattr(each, name), each.launches) for each in self.rounds]
        if any(value is None or value <= 0 for value, _ in known):
            return None
        logs = sum(math.log(value) * launches for value, launches in known)
        return math.exp(logs / sum(launches for _, launches in known))


@dataclass(frozen=True)
class _Found:
    pairs: Sequence[_Taken]
    versions: tuple[dict[str, str], dict[str, str]]


def _measure(
    pairs: Sequence[Pair],
    both: tuple[Side, Side],
    request: Request,
    budget_s: float,
    quantity: Quantity,
    watch: Callable[[str], None],
) -> _Found:
    """Rounds of launches until there are enough, or the next would not fit into the budget."""
    began, taken = time.monotonic(), [_Taken() for _ in pairs]
    versions: tuple[dict[str, str], dict[str, str]] = ({}, {})
    longest = 0.0
    for number, launches in enumerate(rounds(request.launches)):
        live = [index for index, each in enumerate(taken) if each.lost is None]
        started = time.monotonic()
        if not live or (number and started + longest > began + budget_s):
            break
        rule = StopRule(first_look=launches, budget_s=_NO_TIME, confirm=False)
        say = partial(_say, watch, number + 1)
        chosen_pairs = [pairs[index] for index in live]
        result = compare_pairs(chosen_pairs, *both, rule, say, quantity=quantity)
        for index, verdict in zip(live, result.cells, strict=True):
            taken[index].rounds.append(verdict)
        for all_, side in zip(versions, (result.a, result.b), strict=True):
            all_ |= side["versions"]
        longest = max(longest, time.monotonic() - started)
    return _Found(taken, versions)


def _say(watch: Callable[[str], None], number: int, line: str) -> None:
    watch(f"round {number}, {line}")


def rounds(launches: int) -> list[int]:
    """So many launches in rounds of an even number, the rest in the last: 11 are 4 and 7."""
    count = max(1, launches // _ROUND)
    return [_ROUND] * (count - 1) + [launches - _ROUND * (count - 1)]


@dataclass(frozen=True)
class _About:
    """What all points of one comparison share."""

    commit: Commit
    anchor: Anchor
    at: str
    machine: str
    quantity: Quantity
    registry: Registry
    threshold: float

    def points(self, pairs: Sequence[Pair], found: _Found) -> list[Point]:
        """A point for each pair. Those with figures are judged together, as of one night."""
        live = [index for index, taken in enumerate(found.pairs) if taken.lost is None]
        rule = StopRule(threshold=self.threshold)
        judged = judge([found.pairs[index].log_ratios for index in live], rule, look=1)
        decisions = {i: judgement.decision for i, judgement in zip(live, judged, strict=True)}
        return [
            self._point(pair, taken, found.versions, decisions.get(index))
            for index, (pair, taken) in enumerate(zip(pairs, found.pairs, strict=True))
        ]

    def _point(
        self,
        pair: Pair,
        taken: _Taken,
        versions: tuple[dict[str, str], dict[str, str]],
        decision: Decision | None,
    ) -> Point:
        framework = self.registry.frameworks[pair.b.framework]
        anchor, own = (_of_framework(framework, each) for each in versions)
        shared: dict[str, Any] = {
            "cell": pair.name,
            "quantity": self.quantity,
            "at": self.at,
            "commit": self.commit.hash,
            "commit_at": self.commit.at,
            "subject": one_line(self.commit.subject)[:500],
            "anchor": self.anchor.label or _label(anchor) or self.anchor.python,
            "anchor_commit": self.anchor.commit,
            "machine": self.machine,
            "machine_type": machine_type(pair.b.device),
            "versions": own,
            "anchor_versions": anchor,
            "gradrace": __version__,
        }
        if decision is None:
            lost = taken.lost
            assert lost is not None, "pairs without a decision were lost"
            return Point(**shared, decision=lost.decision, reason=lost.reason)
        return Point(**shared, **_figures(taken, decision))


def _figures(taken: _Taken, decision: Decision) -> dict[str, Any]:
    logs = taken.log_ratios
    ratio, low, high = map(math.exp, t_interval(logs)[:3])
    reason = ""
    if decision in _FOUND:
        reason = f"a {_FOUND[decision]} of {abs(ratio - 1):.1%} was found once"
    return {
        "decision": "suspected" if decision in _FOUND else decision,
        "reason": reason,
        "ratio": ratio,
        "low": low,
        "high": high,
        "log_ratios": tuple(logs.tolist()),
        "a_value": taken.value("a_value"),
        "b_value": taken.value("b_value"),
        "contended": 2 * sum(each.contended for each in taken.rounds) > len(taken.rounds),
    }


def _of_framework(framework: Framework, versions: Mapping[str, str]) -> dict[str, str]:
    """The versions of what the framework requires, and of Python."""
    names = {name for requirement in framework.requires for name in requirement.split("|")}
    return {name: of for name, of in versions.items() if name in names | {"python"}}


def _label(versions: Mapping[str, str]) -> str:
    """An interpreter's name in a history: the versions it holds."""
    return ", ".join(f"{name} {of}" for name, of in sorted(versions.items()) if name != "python")
