"""The page of `gradrace why`: what grew, the cause first."""

from __future__ import annotations

from collections.abc import Iterator

from ...paired.text import described, part_rows
from ...why import CellChange, WhyResult, text
from .document import Chapter, Document, grid

_UNITS = (
    "Microseconds a step, without operations inside; in brackets the least and the greatest of the"
    " launches."
)


def document(result: WhyResult) -> Document:
    """Of the whole answer."""
    title = text.headline(result.cells[0]) if len(result.cells) == 1 else _counted(result)
    says = tuple(f"{name}: {described(side)}" for name, side in (("A", result.a), ("B", result.b)))
    chips = tuple(
        ("failed" if cell.causes else "ok", f"{cell.verdict.cell}: {_chip(cell)}")
        for cell in result.cells
    )
    chapters = tuple(
        chapter for number, cell in enumerate(result.cells) for chapter in _cell(number, cell)
    )
    return Document("why.html", "gradrace why", title, says, chips, chapters)


def _parts(cell: CellChange) -> list[dict[str, str]]:
    return [{**row, "cell": ""} for row in part_rows(cell.verdict)]


def _counted(result: WhyResult) -> str:
    return f"What grew from {result.a['label']} to {result.b['label']}: {len(result.cells)} cells"


def _chip(cell: CellChange) -> str:
    if change := text.main_operation(cell):
        return change.part or "one operation"
    return cell.causes[0].kind if cell.causes else "no named cause"


def _cell(number: int, cell: CellChange) -> Iterator[Chapter]:
    causes = [text.cause_row(n, cause) for n, cause in enumerate(cell.causes, 1)]
    says: tuple[str, ...] = (text.sentence(cell),)
    if not causes and cell.launches:
        says += ("No count explains the change; see the operations below.",)
    yield Chapter(f"cell-{number}", cell.verdict.cell, says, grid("Causes", causes))
    yield Chapter(
        f"changes-{number}",
        f"The {len(text.change_rows(cell))} largest changes",
        (_UNITS,),
        grid("Operations", text.change_rows(cell)),
    )
    yield Chapter(f"parts-{number}", "Where a step goes", (), grid("Parts", _parts(cell)))
    yield Chapter(
        f"counts-{number}",
        "Counts",
        tuple(f"Caution: {note}." for note in text.cautions(cell)),
        grid("Counts", [text.count_row(pair) for pair in cell.counts]),
    )
    files = tuple(f"Trace: {file}" for file in (*cell.a_traces, *cell.b_traces))
    if files:
        yield Chapter(f"traces-{number}", "Traces for Perfetto or TensorBoard", files, folded=True)
