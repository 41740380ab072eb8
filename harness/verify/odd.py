"""Who is the odd one out: a case's verdicts told once, not pair by pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .verdict import REFEREE, Side, Verdict


def failures(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Each case that FAILED, in a line: who differs from those that agree; pair by pair if nobody
    stands alone."""
    cases = dict.fromkeys((v.level, v.case) for v in verdicts if v.verdict == "FAILED")
    for level, case in cases:
        yield from _told([v for v in verdicts if (v.level, v.case) == (level, case)])


def _told(of_case: Sequence[Verdict]) -> Iterator[str]:
    failed = [verdict for verdict in of_case if verdict.verdict == "FAILED"]
    # One that could not compute the case fails with everybody, for the same reason.
    broken = [verdict for verdict in failed if _is_broken(verdict)]
    for reason in dict.fromkeys(verdict.reason for verdict in broken):
        yield f"{failed[0].level}/{failed[0].case}: {reason}"
    failed = [verdict for verdict in failed if verdict not in broken]
    groups = _agreeing([v for v in of_case if v not in broken])
    most, *others = sorted(groups, key=len, reverse=True) or [[]]
    if len(most) < 2 or (others and len(others[0]) == len(most)):
        yield from map(describe, failed)
        return
    for odd in (side for group in others for side in group):
        if pairs := [v for v in failed if odd in (v.a, v.b) and _other(v, odd) in most]:
            yield _odd_one(odd, most, min(pairs, key=lambda v: _other(v, odd).framework != REFEREE))


def _is_broken(verdict: Verdict) -> bool:
    """Whether a side gave no numbers at all."""
    named = verdict.reason.partition(": ")[0]
    return not verdict.place and named in (verdict.a.label, verdict.b.label)


def _odd_one(odd: Side, most: Sequence[Side], verdict: Verdict) -> str:
    agree = [_called(side) for side in most]
    listed = f"{', '.join(agree[:-1])} and {agree[-1]}"
    line = f"{verdict.level}/{verdict.case}: {odd.label} differs, {listed} agree"
    return f"{line}{_how(verdict, ', first at')}"


def _called(side: Side) -> str:
    """The referee is the rule itself."""
    return "the NumPy rule" if side.framework == REFEREE else side.label


def _other(verdict: Verdict, side: Side) -> Side:
    return verdict.b if verdict.a == side else verdict.a


def _agreeing(verdicts: Sequence[Verdict]) -> list[list[Side]]:
    """Groups of sides that are equal to each other, directly or over others."""
    groups: dict[Side, list[Side]] = {}
    for verdict in verdicts:
        for side in (verdict.a, verdict.b):
            groups.setdefault(side, [side])
        one, other = groups[verdict.a], groups[verdict.b]
        if verdict.verdict == "equal" and one is not other:
            one += other
            groups |= dict.fromkeys(other, one)
    return list({id(group): group for group in groups.values()}.values())


def describe(verdict: Verdict) -> str:
    """A verdict that is not equal, in one line: first step and tensor that part, and how far."""
    line = f"{verdict.level}/{verdict.case}: {verdict.a.label} and {verdict.b.label}"
    return f"{line}{_how(verdict, ' part first at')}"


def _how(verdict: Verdict, first_at: str) -> str:
    """Where the two sides part first, how far they are apart, and the reason."""
    line = ""
    if verdict.place:
        place = verdict.place
        step = f"step {place.step}, " if place.step is not None else ""
        entry = f"[{', '.join(map(str, place.entry))}]" if place.entry else ""
        line += f"{first_at} {step}{place.tensor}{entry}: {place.a} and {place.b}"
        line += f" ({verdict.a.framework}, {verdict.b.framework})"
    if verdict.worst is not None:
        line += f"; worst difference {verdict.worst:.1e}, allowed {verdict.tolerance:.0e}"
    return f"{line}. {verdict.reason}" if verdict.reason else line
