"""The page of `gradrace compare`: two sides in turns, or two folders of stored results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ...paired import PairedResult
from ...paired import text as paired_text
from ...paired.words import WORDS
from ...results.compare import Comparison
from ...results.compared_text import figure_row
from .document import Chapter, Document, grid

_FILE, _COMMAND = "compared.html", "gradrace compare"
_BAD = ("regression", "failed", "slower", "larger", "worse")


def of_sides(result: PairedResult, versions: bool) -> Document:
    """Two sides that were run; versions: of one thing."""
    words = [paired_text.word(cell, versions, result.quantity) for cell in result.cells]
    counts = Counter(words)
    told = ", ".join(f"{n} {word}" for word, n in counts.items())
    chips = tuple(("failed" if word in _BAD else "ok", f"{n} {word}") for word, n in counts.items())
    rows = [
        {**paired_text.row(cell, versions, result.quantity), "note": cell.reason}
        for cell in sorted(result.cells, key=lambda cell: cell.decision == "ok")
        if cell.decision != "skipped"
    ]
    left_out = (f"Skipped: {line}." for line in paired_text.skipped(result))
    parts = [row for cell in result.cells for row in paired_text.part_rows(cell)]
    threshold = f"threshold {result.rule.threshold:.3g}, {result.seconds:.0f} s"
    says = tuple(f"{name}: {paired_text.described(side)}" for name, side in _sides(result))
    chapters = [
        Chapter(
            "cells", "B against A", (threshold, *left_out), grid(WORDS[result.quantity].title, rows)
        ),
        Chapter("parts", "Where a step goes", (), grid("", parts), folded=True),
    ]
    cautions = tuple(f"Caution: {warning}." for warning in paired_text.warnings(result))
    title = f"{result.b['label']} against {result.a['label']}: {told}"
    shown = tuple(chapter for chapter in chapters if chapter.grids)
    return Document(_FILE, _COMMAND, title, (*says, *cautions), chips, shown)


def _sides(result: PairedResult) -> tuple[tuple[str, dict[str, object]], ...]:
    return (("A", result.a), ("B", result.b))


def of_folders(result: Comparison, a: Path, b: Path, threshold: float) -> Document:
    """Stored results, unpaired."""
    verdicts = result.rows["verdict"]
    counts = {str(word): int(n) for word, n in verdicts.value_counts().items()}
    told = ", ".join(f"{n} {word}" for word, n in counts.items())
    chips = tuple(("failed" if word in _BAD else "ok", f"{n} {word}") for word, n in counts.items())
    quiet = verdicts.isin(("same", "within the threshold"))
    changed, rest = (
        [figure_row(row) for row in result.rows[chosen].to_dict("records")]
        for chosen in (~quiet, quiet)
    )
    alone = [
        {str(key): str(value) for key, value in row.items()}
        for row in result.alone.to_dict("records")
    ]
    chapters = (
        Chapter("changed", "What changed", (), grid("Figures of B against A", changed)),
        Chapter("alone", "On one side only", (), grid("", alone)),
        Chapter(
            "rest", f"The same or within the threshold ({len(rest)})", (), grid("", rest), True
        ),
    )
    says = (f"A: {a}", f"B: {b}", f"Threshold {threshold:.0%}, unpaired: made at different times.")
    shown = tuple(chapter for chapter in chapters if chapter.grids)
    return Document(_FILE, _COMMAND, f"B against A: {told}", says, chips, shown)
