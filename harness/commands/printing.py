"""What `gradrace compare` prints: verdicts on two sides, and changes between stored results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..output.terminal import print_table, say

if TYPE_CHECKING:
    from ..paired import PairedResult, PairVerdict
    from ..results.compare import Comparison

# Verdicts between different things: neither is the one to be kept.
_WORDS = {"regression": "slower", "improvement": "faster", "ok": "about equal"}


def print_result(result: PairedResult, versions: bool) -> None:
    """Both sides, a row for each cell and part, reasons and warnings."""
    for letter, side in (("A", result.a), ("B", result.b)):
        say(f"{letter}  {_described(side)}")
    title = f"B against A, paired, threshold {result.rule.threshold:.3g}, {result.seconds:.0f} s"
    print_table(title, [_row(cell, versions) for cell in result.cells])
    if parts := [row for cell in result.cells for row in _part_rows(cell)]:
        print_table("Where a step goes", parts)
    for cell in result.cells:
        if cell.reason:
            say(f"{cell.cell}: {_word(cell, versions)}: {cell.reason}")
    for warning in _warnings(result):
        say(f"warning: {warning}")


def print_stored(result: Comparison, threshold: float, show_all: bool) -> None:
    """Figures that changed, or all of them, and how many have which verdict."""
    verdicts = result.rows["verdict"]
    rows = result.rows[show_all | ~verdicts.isin(("same", "within the threshold"))]
    table = [_formatted(row) for row in rows.to_dict("records")]
    print_table(f"B against A, threshold {threshold:.0%}, unpaired", table)
    if len(result.alone):
        print_table("On one side only", result.alone.to_dict("records"))
    counts = verdicts.value_counts().to_dict()
    say(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


def _described(side: dict[str, Any]) -> str:
    details = [f"{key} {value}" for key, value in side.items() if key not in ("label", "versions")]
    versions = [f"{name} {version}" for name, version in side["versions"].items()]
    return f"{side['label']}  ({', '.join([*details, *versions])})"


def _row(cell: PairVerdict, versions: bool) -> dict[str, str]:
    from ..paired.text import figures

    word = _word(cell, versions) + (" (found twice)" if cell.confirmed else "")
    return {"cell": cell.cell, "verdict": word, **figures(cell)}


def _word(cell: PairVerdict, versions: bool) -> str:
    return cell.decision if versions else _WORDS.get(cell.decision, cell.decision)


def _part_rows(cell: PairVerdict) -> list[dict[str, str]]:
    from ..paired.text import micros

    rows = []
    for part in dict.fromkeys([*cell.a_parts_s, *cell.b_parts_s]):
        a, b = cell.a_parts_s.get(part), cell.b_parts_s.get(part)
        ratio = f"{b / a:.3f}" if a and b and a > 0 and part != "remainder" else ""
        times = {"a, µs/step": micros(a), "b, µs/step": micros(b), "b / a": ratio}
        rows.append({"cell": cell.cell, "part": part, **times})
    return rows


def _warnings(result: PairedResult) -> list[str]:
    found, cells = [], len(result.cells)
    detectable = [cell.detectable for cell in result.cells if cell.detectable is not None]
    if weak := [each for each in detectable if each > result.rule.threshold]:
        found.append(
            f"in {len(weak)} of {cells} cells this many launches, so far apart, find only slowdowns"
            f" above the threshold with power 0.8 (up to {max(weak):.1%}): a quieter machine or a"
            " larger --budget finds smaller ones"
        )
    if contended := sum(cell.contended for cell in result.cells):
        found.append(f"other processes held the core while {contended} of {cells} cells were timed")
    return found


def _formatted(row: dict[Any, Any]) -> dict[Any, Any]:
    change = row["change"]
    sides = {side: _figure(row["figure"], row[side]) for side in ("a", "b")}
    return row | sides | {"change": "" if change != change else f"{change:+.1%}"}


def _figure(figure: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value != value:
        return "–"
    never = figure == "steps_to_target" and value == float("inf")
    return "not reached" if never else f"{value:.4g}"
