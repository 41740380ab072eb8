"""The page of `gradrace bisect`: the commit or release, and every version that was tested."""

from __future__ import annotations

from ...bisect import Bisection, text
from .document import Chapter, Document, grid

_CHIPS = {"found": "ok", "none": "ok", "failed": "failed"}


def document(result: Bisection) -> Document:
    """Of a whole bisection."""
    asked = result.question
    chapters = (
        Chapter("changes", "Changes", (), grid("", text.change_rows(result))),
        Chapter("tested", "Versions tested", (), grid("", text.tested_rows(result))),
        Chapter(
            "question",
            "Question, versions and machine",
            (
                f"Suite {asked.suite}; cells: {', '.join(asked.cells)}.",
                *(f"{name} {value}" for name, value in {**asked.rule, **asked.versions}.items()),
                asked.machine,
            ),
            folded=True,
        ),
    )
    shown = tuple(chapter for chapter in chapters if chapter.grids or chapter.folded)
    chips = ((_CHIPS.get(result.outcome, "skipped"), result.outcome),)
    says = (f"Cell: {result.cell}." if result.cell else "", *text.sentences(result))
    return Document(
        "bisect.html",
        "gradrace bisect",
        text.answer(result),
        tuple(filter(None, says)),
        chips,
        shown,
    )
