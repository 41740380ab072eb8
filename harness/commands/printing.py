"""What `gradrace compare` prints: verdicts on two sides, and changes between stored results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..output.terminal import print_table, say

if TYPE_CHECKING:
    from ..paired import PairedResult
    from ..results.compare import Comparison


def print_result(result: PairedResult, versions: bool) -> None:
    """Both sides, a row for each cell and part, reasons and warnings."""
    from ..paired import text
    from ..paired.words import WORDS

    for letter, side in (("A", result.a), ("B", result.b)):
        say(f"{letter}  {text.described(side)}")
    judged = f"threshold {result.rule.threshold:.3g}, {result.seconds:.0f} s"
    title = f"{WORDS[result.quantity].title}, B against A, paired, {judged}"
    shown = [cell for cell in result.cells if cell.decision != "skipped"]
    print_table(title, [text.row(cell, versions, result.quantity) for cell in shown])
    if parts := [row for cell in result.cells for row in text.part_rows(cell)]:
        print_table("Where a step goes", parts)
    for cell in shown:
        if cell.reason:
            say(f"{cell.cell}: {text.word(cell, versions, result.quantity)}: {cell.reason}")
    for line in text.skipped(result):
        say(f"skipped: {line}")
    for warning in text.warnings(result):
        say(f"warning: {warning}")


def print_stored(result: Comparison, threshold: float, show_all: bool) -> None:
    """Figures that changed, or all of them, and how many have which verdict."""
    from ..results.compared_text import figure_row

    verdicts = result.rows["verdict"]
    rows = result.rows[show_all | ~verdicts.isin(("same", "within the threshold"))]
    table = [figure_row(row) for row in rows.to_dict("records")]
    print_table(f"B against A, threshold {threshold:.0%}, unpaired", table)
    if len(result.alone):
        print_table("On one side only", result.alone.to_dict("records"))
    counts = verdicts.value_counts().to_dict()
    say(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
