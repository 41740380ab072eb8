"""The whole comparison: launches until every verdict stands or the budget is spent, and differences
found twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ..machine import this_machine
from . import CellVerdict, Decision, Pair, PairedResult, Side, StopRule
from .decide import Judgement, judge, launches_at
from .measure import Failure, Launch, Launcher, Outcome

# One launch of these cells, given by their indices.
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
) -> PairedResult:
    """Runs both sides of every pair against each other on this machine, and judges them by the
    rule.

    breakdown: the parts of a step are timed in the same launches, where sessions offer them. No
    cell is ever missing from the result. UserError where nothing can be started at all. Ctrl-C ends
    all processes and passes through."""
    started, began = datetime.now(UTC), time.monotonic()
    launcher = Launcher(pairs, a, b, rule.pairs, breakdown)
    found = search(len(pairs), launcher, rule, watch)
    details = [
        {"label": side.label, **side.details, "versions": versions}
        for side, versions in zip((a, b), launcher.versions, strict=True)
    ]
    return PairedResult(
        started_at=started.isoformat(timespec="milliseconds"),
        seconds=time.monotonic() - began,
        machine=this_machine(),
        rule=rule,
        a=details[0],
        b=details[1],
        cells=tuple(_verdict(pair, cell, rule) for pair, cell in zip(pairs, found, strict=True)),
    )


@dataclass
class Cell:
    """A cell while it is being measured: its launches so far, and what was said of it at the last
    look.
    """

    launches: list[Launch] = field(default_factory=list)
    failure: Failure | None = None
    judged: Judgement | None = None
    looks: int = 0
    decided: bool = False
    decision: Decision = "inconclusive"
    reason: str = ""
    confirmed: bool = False

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
) -> list[Cell]:
    """What is found of `count` cells. clock: seconds since any start.

    Looks are taken at the launches that the rule says, and none is begun whose launches would not
    fit into the budget (with rule.confirm, together with those of a first confirming look): when
    they are taken never depends on the ratios."""
    budget = _Budget(rule.budget_s, clock)
    cells = [Cell() for _ in range(count)]
    reserve = rule.first_look if rule.confirm else 0
    _look_until_decided(dict(enumerate(cells)), measure, rule, budget, reserve, watch)
    flagged = {index: Cell() for index, cell in enumerate(cells) if cell.decision in _DIFFERENT}
    if not rule.confirm or not flagged:
        return cells
    if not budget.allows(rule.first_look):
        for index in flagged:
            what = _DIFFERENT[cells[index].decision]
            _withdraw(
                cells[index],
                f"a {what} was found once, and there was no time to measure it again (--budget)",
            )
        return cells
    watch(f"measuring {_cells(len(flagged))} again that look different")
    _look_until_decided(flagged, measure, rule, budget, 0, watch)
    for index, again in flagged.items():
        cells[index] = _confirmed(cells[index], again)
    return cells


# Verdicts that a second search must find as well.
_DIFFERENT: Mapping[Decision, str] = {"regression": "slowdown", "improvement": "speed-up"}


def _look_until_decided(
    cells: Mapping[int, Cell],
    measure: Measure,
    rule: StopRule,
    budget: _Budget,
    reserve: int,
    watch: Watch,
) -> None:
    """Adds launches, look by look, until all these cells are decided or no further look fits."""
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


def _take(cells: Mapping[int, Cell], measure: Measure, indices: Sequence[int]) -> None:
    for index, outcome in measure(indices).items():
        if isinstance(outcome, Failure):
            cells[index].failure, cells[index].decided = outcome, True
            cells[index].decision = "skipped" if outcome.skipped else "failed"
            cells[index].reason = outcome.reason
        else:
            cells[index].launches.append(outcome)


def _judge(cells: Mapping[int, Cell], rule: StopRule, look: int) -> None:
    """All cells that have figures are the family; those still open take the verdict."""
    family = [cell for cell in cells.values() if cell.failure is None]
    for cell, judged in zip(
        family, judge([cell.log_ratios for cell in family], rule, look), strict=True
    ):
        if not cell.decided:
            cell.judged, cell.looks, cell.decision = judged, look, judged.decision
            cell.decided = judged.decision != "inconclusive"


def _confirmed(first: Cell, second: Cell) -> Cell:
    """What stands after a difference was measured again: the second run's figures, and a verdict
    that both support.
    """
    if second.failure:
        return second
    assert first.judged and second.judged, "cells without failures are judged"
    if second.decision == first.decision:
        second.confirmed = True
    elif second.decision != "ok":
        what, size = _DIFFERENT[first.decision], abs(first.judged.ratio - 1)
        _withdraw(second, f"a {what} of {size:.1%} was found once and not found again")
    return second


def _withdraw(cell: Cell, reason: str) -> None:
    cell.decision, cell.reason = "inconclusive", reason


class _Budget:
    """Wall seconds that may be spent, and what a launch has cost."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock, self._end, self._launch_s = clock, clock() + seconds, 0.0

    def timed(self, launch: Callable[[], None]) -> None:
        began = self._clock()
        launch()
        self._launch_s = self._clock() - began

    def allows(self, launches: int) -> bool:
        """Whether so many launches, each as long as the last one, would end in time."""
        return self._clock() + launches * self._launch_s <= self._end


def _verdict(pair: Pair, cell: Cell, rule: StopRule) -> CellVerdict:
    figures: dict[str, Any] = {}
    if cell.judged:
        judged = cell.judged
        figures = {
            "ratio": judged.ratio,
            "low": judged.low,
            "high": judged.high,
            "p_slower": judged.p_slower,
            "detectable": judged.detectable,
            "cpu_ratio": float(np.exp(np.mean([x.cpu_log_ratio for x in cell.launches]))),
            "a_step_s": _median(cell, "a_step_s"),
            "b_step_s": _median(cell, "b_step_s"),
            "a_parts_s": _parts(cell, "a_parts_s"),
            "b_parts_s": _parts(cell, "b_parts_s"),
        }
    # More than half of the launches, as a launch itself is contended when more than half of its
    # blocks are.
    contended = bool(cell.launches) and bool(
        np.mean([launch.contended for launch in cell.launches]) > 0.5
    )
    return CellVerdict(
        cell=pair.name,
        a=pair.a.id,
        b=pair.b.id,
        decision=cell.decision,
        reason=cell.reason or _why(cell, rule),
        launches=len(cell.launches),
        looks=cell.looks,
        confirmed=cell.confirmed,
        contended=contended,
        log_ratios=tuple(cell.log_ratios.tolist()),
        **figures,
    )


def _why(cell: Cell, rule: StopRule) -> str:
    """Why a cell that was measured to the end of the budget is not decided."""
    if cell.decision != "inconclusive" or not cell.judged:
        return ""
    return (
        f"{len(cell.launches)} launches show neither a difference nor that it is below"
        f" {rule.threshold:.1%}; they would find a slowdown of {cell.judged.detectable:.1%} four"
        " times out of five"
    )


def _median(cell: Cell, name: str) -> float:
    return float(np.median([getattr(launch, name) for launch in cell.launches]))


def _parts(cell: Cell, name: str) -> dict[str, float]:
    launches: list[Mapping[str, float]] = [getattr(launch, name) for launch in cell.launches]
    return (
        {part: float(np.median([parts[part] for parts in launches])) for part in launches[0]}
        if launches
        else {}
    )


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"
