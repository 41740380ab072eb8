"""A bisection for people: its answer in a line, and rows of tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..errors import ExitCode
from ..paired import Quantity
from . import Bisection, Change

_HASH = 10
QUANTITIES: Mapping[Quantity, str] = {
    "step": "time of a step",
    "first_call": "time of the first call",
    "memory": "peak of memory",
    "energy": "energy of a step",
}
_CODES = {
    "found": ExitCode.OK,
    "none": ExitCode.NOTHING_MATCHED,
    "unconfirmed": ExitCode.INCONCLUSIVE,
    "stopped": ExitCode.INCONCLUSIVE,
    "failed": ExitCode.NOTHING_MEASURED,
}


def exit_code(result: Bisection) -> ExitCode:
    """The answer to the shell."""
    return _CODES[result.outcome]


def short(result: Bisection, version: str) -> str:
    """A commit's first digits, or the name and version of a release."""
    name = result.question.releases
    return f"{name} {version}" if name else version[:_HASH]


def interval(ratio: float | None, low: float | None, high: float | None) -> str:
    """As '1.052 [1.046, 1.058]'; '' without a ratio."""
    if ratio is None:
        return ""
    return f"{ratio:.3f}" if low is None else f"{ratio:.3f} [{low:.3f}, {high:.3f}]"


def answer(result: Bisection) -> str:
    """The outcome in a sentence."""
    found = [change for change in result.changes if change.confirmed]
    if result.outcome == "found":
        return "; ".join(_told(result, change) for change in found)
    said = {
        "none": "nothing to bisect",
        "unconfirmed": "nothing is named",
        "stopped": "not finished",
        "failed": "nothing could be measured",
    }
    return f"{said[result.outcome]}: {result.reason}"


def _told(result: Bisection, change: Change) -> str:
    which = short(result, change.version)
    if change.among:
        names = ", ".join(short(result, version) for version in change.among)
        which = f"one of {names} (those before the last cannot be run)"
    subject = f" ({change.about})" if change.about and not change.among else ""
    if change.step is not None:
        values = f"{change.before_loss!r} before, {change.loss!r} now"
        return f"{which}{subject} changes the losses from step {change.step}: {values}"
    size = interval(change.ratio, change.low, change.high)
    against = short(result, change.before)
    what = QUANTITIES[result.question.measure]
    return f"{which}{subject} multiplies the {what} by {size}, measured again against {against}"


def sentences(result: Bisection) -> Iterator[str]:
    """What else a reader must know."""
    asked = result.question
    ends = f"{short(result, asked.good)} to {short(result, asked.bad)}, {result.total} versions"
    whole = interval(result.ratio, result.low, result.high)
    what = QUANTITIES[result.question.measure]
    yield f"{ends}{f'; over all, the {what} is multiplied by {whole}' if whole else ''}"
    if result.outcome == "found" and result.reason:
        yield result.reason
    for rest in result.rest:
        size = f" of {interval(rest.ratio, None, None)}" if rest.ratio else ""
        yield f"a further change{size} lies between {rest.older} and {rest.newer}: {rest.reason}"
    yield from result.notes
    count = f"{result.launches} launches, " if result.launches else ""
    yield f"{count}{result.seconds:.0f} s; log: {result.log}"


def change_rows(result: Bisection) -> list[dict[str, str]]:
    """What was found, confirmed or not."""
    rows = []
    for change in result.changes:
        losses = "" if change.step is None else f"{change.before_loss!r} -> {change.loss!r}"
        rows.append(
            {
                "changed by": short(result, change.version),
                "subject": change.about,
                "against": short(result, change.before),
                "ratio": interval(change.ratio, change.low, change.high),
                "share of the whole": "" if change.share is None else f"{change.share:.0%}",
                "step": "" if change.step is None else str(change.step),
                "losses": losses,
                "launches": str(change.launches) if change.launches else "",
                "found again": "yes" if change.confirmed else f"no: {change.reason}",
                "or one of": ", ".join(short(result, each) for each in change.among[:-1]),
            }
        )
    return rows


_PLACES = {"older": "older end", "newer": "newer end", "neither": "neither end"}


def tested_rows(result: Bisection) -> list[dict[str, str]]:
    """Every version that was tested, from GOOD to BAD."""
    return [
        {
            "version": each.version,
            "like": _PLACES.get(each.place, each.place),
            "ratio to GOOD": interval(each.ratio, None, None),
            "launches": str(each.launches) if each.launches else "",
            "note": each.reason,
        }
        for each in result.tested
    ]
