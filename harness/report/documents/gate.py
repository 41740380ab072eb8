"""The page of `gradrace gate`: the verdict, what changed, and folded away all the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ...gate import GateResult, text
from ...paired import text as paired_text
from ...paired.words import WORDS
from .document import Chapter, Document, grid

_CHIPS = {
    **dict.fromkeys(("differs", "failed", "regression"), "failed"),
    **dict.fromkeys(("changed", "unchecked", "suspected", "inconclusive", "skipped"), "skipped"),
}


def document(result: GateResult) -> Document:
    """Of a whole gate."""
    head = text.head(result)
    says = (result.outcome.removeprefix(f"{head}: "),) if result.outcome != head else ()
    chapters = (*_losses(result), *_times(result), _environment(result))
    return Document(
        "gate.html", f"gradrace gate {result.suite}", head, says, _chips(result), chapters
    )


def _chips(result: GateResult) -> tuple[tuple[str, str], ...]:
    losses, times = result.convergence, result.timing
    counts = Counter[str](check.verdict for check in (losses.checks if losses else ()))
    found = [(_CHIPS.get(word, "ok"), f"losses: {n} {word}") for word, n in counts.items()]
    measured = WORDS[times.quantity].title.lower() if times else "step times"
    counts = Counter[str](cell.decision for cell in (times.cells if times else ()))
    found += [(_CHIPS.get(word, "ok"), f"{measured}: {n} {word}") for word, n in counts.items()]
    return tuple(found)


def _losses(result: GateResult) -> Iterator[Chapter]:
    found = result.convergence
    if found is None:
        yield Chapter("losses", "Losses", (f"Not checked: {result.convergence_reason}",))
        return
    rows = grid("What changed", [text.check_row(check) for check in text.changed_checks(found)])
    says = tuple(f"Not checked: {line}." for line in text.unchecked(found))
    yield Chapter("losses", "Losses", (f"{text.sentence_on_losses(found)}.", *says), rows)
    how = tuple(f"{each.framework}: {each.reason}" for each in found.frameworks)
    yield Chapter("how", "How losses were compared", how, folded=True)
    if quiet := [text.check_row(check) for check in text.quiet_checks(found)]:
        title = f"Runs without a finding ({len(quiet)})"
        yield Chapter("other-checks", title, (), grid("", quiet), folded=True)


def _times(result: GateResult) -> Iterator[Chapter]:
    found = result.timing
    if found is None:
        yield Chapter("times", "Step times", (f"Not measured: {result.timing_reason}",))
        return
    reliability = f"Reliability: {result.calibration}."
    left_out = (f"Skipped: {line}." for line in paired_text.skipped(found))
    rows = [text.cell_row(cell, found.quantity) for cell in text.changed_cells(found)]
    says = (f"{text.sentence_on_times(found)}.", reliability, *left_out)
    yield Chapter("times", WORDS[found.quantity].title, says, grid("What changed", rows))
    if quiet := [text.cell_row(cell, found.quantity) for cell in text.quiet_cells(found)]:
        title = f"Cells without a finding ({len(quiet)})"
        yield Chapter("other-cells", title, (), grid("", quiet), folded=True)


def _environment(result: GateResult) -> Chapter:
    return Chapter("machine", "Versions and machine", text.environment(result), folded=True)
