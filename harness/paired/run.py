"""The whole comparison: launches until every verdict stands or the budget is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ..machine import this_machine
from . import Decision, Pair, PairedResult, PairVerdict, Quantity, Side, StopRule
from .decide import Judgement, judge, launches_at, launches_to_find
from .measure import Launch, Outcome
from .processes import Failure
from .quantities import launcher as launcher_of
from .words import WORDS, Words

# One launch of these pairs, given by their indices.
Measure = Callable[[Sequence[int]], Mapping[int, Outcome]]
# Takes a line for people now and then.
Watch = Callable[[str], None]


def compare_pairs(
    pairs: Sequence[Pair],
    a: Side,
    b: Side,
    rule: StopRule,
    watch: Watch = lambda line: None,
    breakdown: bool = False,
    quantity: Quantity = "step",
) -> PairedResult:
    """Measures both sides of every pair on this machine, and judges them by the rule.

    breakdown: the same launches time the parts of a step, if sessions offer them. No pair is ever
    missing from the result. UserError if nothing can be started, or the quantity cannot be measured
    here. Ctrl-C ends all processes and passes through."""
    started, began = datetime.now(UTC), time.monotonic()
    launcher = launcher_of(quantity, pairs, (a, b), rule, breakdown)
    found = search(len(pairs), launcher, rule, watch, words=WORDS[quantity])
    details = [
        {"label": side.label, **side.details, "versions": versions}
        for side, versions in zip((a, b), launcher.versions, strict=True)
    ]
    return PairedResult(
        quantity=quantity,
        started_at=started.isoformat(timespec="milliseconds"),
        seconds=time.monotonic() - began,
        machine=this_machine(),
        rule=rule,
        a=details[0],
        b=details[1],
        cells=tuple(
            _verdict(pair, cell, rule, quantity) for pair, cell in zip(pairs, found, strict=True)
        ),
    )


@dataclass
class MeasuredPair:
    """A pair in work: its launches so far, and its state after the last look."""

    launches: list[Launch] = field(default_factory=list)
    failure: Failure | None = None
    judged: Judgement | None = None
    looks: int = 0
    decided: bool = False
    decision: Decision = "inconclusive"
    reason: str = ""
    confirmed: bool = False
    settle_s: float | None = None

    @property
    def log_ratios(self) -> np.ndarray:
        """float64[launches]."""
        return np.array([launch.log_ratio for launch in self.launches])


def search(
    count: int,
    measure: Measure,
    rule: StopRule,
    watch: Watch = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
    words: Words = WORDS["step"],
) -> list[MeasuredPair]:
    """The outcome for `count` pairs. clock: seconds since any start. words: for the reasons.

    Looks are taken after the launches that the rule says. None is begun whose launches would not
    fit into the budget (with rule.confirm, together with those of a first confirming look): the
    time of a look never depends on the ratios."""
    budget = _Budget(rule.budget_s, clock)
    cells = [MeasuredPair() for _ in range(count)]
    reserve = rule.first_look if rule.confirm else 0
    _look_until_decided(dict(enumerate(cells)), measure, rule, budget, reserve, watch)
    flagged = {
        index: MeasuredPair() for index, cell in enumerate(cells) if cell.decision in _DIFFERENT
    }
    if not rule.confirm or not flagged:
        return cells
    if not budget.allows(rule.first_look):
        for cell in (cells[index] for index in flagged):
            found = f"a {words.change(cell.decision)} was found once"
            _suspect(cell, cell.launches, f"{found}, with no time to measure again", rule, budget)
        return cells
    watch(f"measuring {_cells(len(flagged))} again: they look different")
    _look_until_decided(flagged, measure, rule, budget, 0, watch)
    for index, again in flagged.items():
        cells[index] = _confirmed(cells[index], again, rule, budget, words)
    return cells


# Verdicts that a second search must find, too.
_DIFFERENT: tuple[Decision, ...] = ("regression", "improvement")


def _look_until_decided(
    cells: Mapping[int, MeasuredPair],
    measure: Measure,
    rule: StopRule,
    budget: _Budget,
    reserve: int,
    watch: Watch,
) -> None:
    """Adds launches, look by look, until all are decided or no further look fits."""
    look, done = 1, 0
    while open_ := [index for index, cell in cells.items() if not cell.decided]:
        needed = launches_at(rule, look) - done
        if look > 1 and not budget.allows(needed + reserve):
            return
        for _ in range(needed):
            open_ = [index for index in open_ if not cells[index].decided]
            if open_:
                watch(f"launch {done + 1} of {launches_at(rule, look)}: {_cells(len(open_))}")
                budget.timed(lambda open_=open_: _take(cells, measure, open_))  # type: ignore[misc]
            done += 1
        _judge(cells, rule, look)
        look += 1


def _take(cells: Mapping[int, MeasuredPair], measure: Measure, indices: Sequence[int]) -> None:
    for index, outcome in measure(indices).items():
        if isinstance(outcome, Failure):
            cells[index].failure, cells[index].decided = outcome, True
            cells[index].decision = "skipped" if outcome.skipped else "failed"
            cells[index].reason = outcome.reason
        else:
            cells[index].launches.append(outcome)


def _judge(cells: Mapping[int, MeasuredPair], rule: StopRule, look: int) -> None:
    """All pairs with figures are the family; those still open take the verdict."""
    family = [cell for cell in cells.values() if cell.failure is None]
    judgements = judge([cell.log_ratios for cell in family], rule, look)
    for cell, judged in zip(family, judgements, strict=True):
        if not cell.decided:
            cell.judged, cell.looks, cell.decision = judged, look, judged.decision
            cell.decided = judged.decision != "inconclusive"


def _confirmed(
    first: MeasuredPair, second: MeasuredPair, rule: StopRule, budget: _Budget, words: Words
) -> MeasuredPair:
    """The second search's figures, with a verdict that both support."""
    if second.failure:
        return second
    assert first.judged and second.judged, "cells without failures are judged"
    what, size = words.change(first.decision), abs(first.judged.ratio - 1)
    if second.decision == first.decision:
        second.confirmed = True
    elif second.decision in _DIFFERENT:
        opposite = f"and then a {words.change(second.decision)}"
        second.decision = "inconclusive"
        second.reason = (
            f"a {what} of {size:.1%} was found first {opposite}: the machine is unsteady"
        )
    elif second.decision != "ok":
        reason = f"a {what} of {size:.1%} was found once and not found again"
        _suspect(second, [*first.launches, *second.launches], reason, rule, budget)
    return second


def _suspect(
    cell: MeasuredPair, launches: Sequence[Launch], reason: str, rule: StopRule, budget: _Budget
) -> None:
    """The verdict, and how long it would take to settle it, judged by these launches."""
    needed = launches_to_find(np.array([launch.log_ratio for launch in launches]), rule)
    cell.decision = "suspected"
    if needed:
        # Two searches; the launches of one pair take no longer than the last ones did.
        cell.settle_s = 2 * needed * budget.launch_s
        settled = f"about --budget {_rounded_up(cell.settle_s)} for this cell alone would settle it"
    else:
        settled = "launches here lie too far apart to settle it: a quieter machine would"
    cell.reason = f"{reason}; {settled}"


def _rounded_up(seconds: float) -> int:
    """To the next ten seconds; at least ten."""
    return 10 * max(1, math.ceil(seconds / 10))


class _Budget:
    """Wall seconds that may be spent, and the seconds of the last launch."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock, self._end, self.launch_s = clock, clock() + seconds, 0.0

    def timed(self, launch: Callable[[], None]) -> None:
        began = self._clock()
        launch()
        self.launch_s = self._clock() - began

    def allows(self, launches: int) -> bool:
        """Whether so many launches, each as long as the last one, would end in time."""
        return self._clock() + launches * self.launch_s <= self._end


def _verdict(pair: Pair, cell: MeasuredPair, rule: StopRule, quantity: Quantity) -> PairVerdict:
    figures: dict[str, Any] = {}
    if cell.judged:
        names = ("ratio", "low", "high", "detectable")
        figures = {name: getattr(cell.judged, name) for name in names}
        figures |= {name: _geometric_mean(cell, name) for name in ("a_value", "b_value")}
        figures |= {name: _parts(cell, name) for name in ("a_parts_s", "b_parts_s")}
    if cell.judged and quantity != "memory":
        figures["cpu_ratio"] = float(np.exp(np.mean([x.cpu_log_ratio for x in cell.launches])))
    # As a launch is contended if more than half of its blocks are.
    contended = 2 * sum(launch.contended for launch in cell.launches) > len(cell.launches)
    return PairVerdict(
        cell=pair.name,
        a=pair.a.id,
        b=pair.b.id,
        decision=cell.decision,
        reason=cell.reason or _why(cell, rule, WORDS[quantity]),
        launches=len(cell.launches),
        looks=cell.looks,
        settle_s=cell.settle_s,
        confirmed=cell.confirmed,
        contended=contended,
        log_ratios=tuple(cell.log_ratios.tolist()),
        **figures,
    )


def _why(cell: MeasuredPair, rule: StopRule, words: Words) -> str:
    """Why the budget ended without a decision."""
    if cell.decision != "inconclusive" or not cell.judged:
        return ""
    return (
        f"{len(cell.launches)} launches show neither a difference nor that it is below"
        f" {rule.threshold:.1%}; they would find a {words.more} of"
        f" {cell.judged.detectable:.1%} four times out of five"
    )


def _geometric_mean(cell: MeasuredPair, name: str) -> float:
    return float(np.exp(np.mean(np.log([getattr(launch, name) for launch in cell.launches]))))


def _parts(cell: MeasuredPair, name: str) -> dict[str, float]:
    launches: list[Mapping[str, float]] = [getattr(launch, name) for launch in cell.launches]
    names = launches[0] if launches else {}
    return {part: float(np.median([parts[part] for parts in launches])) for part in names}


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"
