"""A whole bisection: the ends, the search, and the confirmation of what was found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..machine import this_machine
from ..paired import Pair
from ..paired.run import MeasuredPair
from ..sweep import Sweep
from . import Bisection, Change, Outcome, Question, Rest, Tested
from .line import Row
from .log import Log
from .search import Found, Span, Spent, search
from .timed import Clock, Timed, Watch, rule_of
from .traced import Traced

_RESUME = "go on with a larger --budget and --resume {log}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a bisection needs; budget_s: seconds after which nothing new begins."""

    question: Question
    row: Row
    log: Log
    budget_s: float
    watch: Watch

    def result(self, outcome: Outcome, reason: str, clock: Clock, **fields: Any) -> Bisection:
        """With the fields that every result has."""
        return Bisection(
            outcome=outcome,
            reason=reason,
            question=self.question,
            total=len(self.row.ids) - 1,
            launches=clock.launches,
            seconds=clock(),
            log=str(self.log.file),
            machine=this_machine(),
            **fields,
        )

    @property
    def resume(self) -> str:
        """How to go on after the time has ended."""
        return _RESUME.format(log=self.log.file)


def by_clock(job: Job, pairs: Sequence[Pair]) -> Bisection:
    """Follows the pair that changed most between GOOD and BAD. UserError if an end cannot run."""
    clock = Clock(job.budget_s)
    rule = rule_of(job.question, job.budget_s)
    timed = Timed(job.row, pairs, rule, job.log, clock, job.watch, job.question.measure)
    try:
        ends = timed.ends()
    except Spent:
        return job.result("stopped", f"no time to compare GOOD and BAD; {job.resume}", clock)
    cell = ends[timed.followed]
    fields = {"cell": pairs[timed.followed].name, **_figures(cell)}
    if not cell.confirmed:
        return job.result(*_no_change(ends, pairs), clock, **fields)
    notes: list[str] = []
    if len(ends) > 1:
        notes.append(_others(ends, pairs, timed.followed))
    found = search(timed.last, timed.place, timed.size, timed.worth)
    changes, spent = _confirmed(timed, found)
    rest = [
        Rest(
            older=job.row.label(span.older),
            newer=job.row.label(span.newer),
            ratio=math.exp(timed.step(span)),
            reason="not searched: the time ended" if span in found.open else "not followed",
        )
        for span in (*found.open, *found.rest, *spent)
    ]
    outcome, reason = _outcome(changes, bool(found.open or spent), job.resume)
    return job.result(
        outcome,
        reason,
        clock,
        changes=tuple(changes),
        rest=tuple(rest),
        tested=in_order(timed.tested),
        notes=(*notes, *_hints(job.row, found)),
        **fields,
    )


def _hints(row: Row, found: Found) -> list[str]:
    """How to look further into what was found."""
    return [hint for span in found.ends if (hint := row.hint(span.newer))]


def _figures(cell: MeasuredPair) -> dict[str, Any]:
    if not cell.judged:
        return {}
    return {name: getattr(cell.judged, name) for name in ("ratio", "low", "high", "detectable")}


def _no_change(ends: Sequence[MeasuredPair], pairs: Sequence[Pair]) -> tuple[Outcome, str]:
    """Why there is nothing to bisect."""
    if all(each.failure for each in ends):
        return "failed", ends[0].reason
    judged = [each for each in ends if each.judged]
    weak = max(each.judged.detectable for each in judged if each.judged)
    least = f"such a comparison finds a change of {weak:.1%} four times out of five"
    if found := [each for each in judged if each.decision == "suspected"]:
        return "unconfirmed", f"GOOD against BAD: {found[0].reason}; {least}"
    if all(each.decision == "ok" for each in judged):
        return "none", f"GOOD and BAD differ by less than the threshold; {least}"
    return "unconfirmed", f"between GOOD and BAD neither a difference nor its absence; {least}"


def _others(ends: Sequence[MeasuredPair], pairs: Sequence[Pair], followed: int) -> str:
    changed = sum(each.confirmed for each in ends)
    return (
        f"{changed} of {len(ends)} cells changed; {pairs[followed].name} changed most and was"
        " followed"
    )


def _confirmed(timed: Timed, found: Found) -> tuple[list[Change], list[Span]]:
    """Each end of the search, timed afresh; and the spans for which no time was left."""
    changes, spent = [], []
    whole = timed.step(Span(0, timed.last))
    for span in found.ends:
        try:
            measured = timed.against(span)
        except Spent:
            spent.append(span)
            continue
        share = timed.step(span)
        expected = "regression" if share > 0 else "improvement"
        figures = _figures(measured)
        figures.pop("detectable", None)
        if measured.judged:
            figures["share"] = math.log(measured.judged.ratio) / whole
        agreed = measured.decision == expected
        reason = measured.reason
        if not agreed and not reason:
            reason = f"expected a ratio of {math.exp(share):.3f}, and it was not found again"
        launches = len(measured.launches)
        fields = {**figures, "launches": launches, "confirmed": agreed, "reason": reason}
        changes.append(_change(timed.row, span, timed.tested, fields))
    return changes, spent


def _change(row: Row, span: Span, tested: dict[int, Tested], fields: dict[str, Any]) -> Change:
    between = range(span.older + 1, span.newer)
    return Change(
        version=row.ids[span.newer],
        before=row.ids[span.older],
        about=row.about(span.newer),
        among=tuple(row.ids[i] for i in (*between, span.newer)) if between else (),
        **fields,
    )


def _outcome(changes: Sequence[Change], stopped: bool, resume: str) -> tuple[Outcome, str]:
    if any(change.confirmed for change in changes):
        return "found", f"part of the range was not searched; {resume}" if stopped else ""
    if stopped:
        return "stopped", f"the time ended before a change was found; {resume}"
    return "unconfirmed", "what the search found was not found again in launches of its own"


def by_losses(job: Job, sweep: Sweep) -> Bisection:
    """Follows the run whose losses differ at the earliest step. UserError if an end cannot run."""
    clock = Clock(job.budget_s)
    traced = Traced(job.row, sweep, job.log, clock, job.watch)
    differing = traced.ends()
    if not differing:
        total = len(job.question.cells)
        runs = "the run" if total == 1 else f"all {total} runs"
        return job.result("none", f"the losses of {runs} are equal bit by bit", clock)
    notes: list[str] = []
    if len(job.question.cells) > 1:
        count = f"{len(differing)} of {len(job.question.cells)}"
        notes.append(f"{count} runs differ; {traced.cell} differs first and was followed")
    # The earliest change first: it is the one that made GOOD's losses differ.
    found = search(len(job.row.ids) - 1, traced.place, lambda span: -span.older)
    changes = [_change(job.row, s, traced.tested, traced.change(s)) for s in found.ends]
    rest = [
        Rest(older=job.row.label(a), newer=job.row.label(b), reason="not followed")
        for a, b in (*found.open, *found.rest)
    ]
    outcome, reason = _outcome(changes, bool(found.open), job.resume)
    return job.result(
        outcome,
        reason,
        clock,
        cell=traced.cell,
        changes=tuple(changes),
        rest=tuple(rest),
        tested=in_order(traced.tested),
        notes=(*notes, *_hints(job.row, found)),
    )


def in_order(tested: dict[int, Tested]) -> tuple[Tested, ...]:
    """From GOOD to BAD."""
    return tuple(tested[index] for index in sorted(tested))


def default_log(output: Path, question: Question, moment: str) -> Path:
    """Where a log lies if nobody says otherwise. moment: digits that no earlier log has."""
    kind = "losses-" if question.losses else ""
    name = question.releases or "commits"
    return output / "bisect" / f"{moment}-{kind}{name}-{question.good[:8]}-{question.bad[:8]}.jsonl"
